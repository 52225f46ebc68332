"""The parts of a GBNF grammar, without its text: what `gbnf` reads and writes, and `gbnf_lexemes` cuts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, final

from attrs import frozen

Node: TypeAlias = "Text | Name | Row | Choice | Many | Lexeme"
Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Characters as ranges of code points, first and last."""


@final
@frozen(cache_hash=True)
class Text:
    """Characters one after another, each of some ranges; with a regular expression for each."""

    patterns: tuple[str, ...]
    characters: tuple[Ranges, ...]


@final
@frozen(cache_hash=True)
class Name:
    """A reference to a rule."""

    name: str


@final
@frozen(cache_hash=True)
class Row:
    """Parts one after another."""

    items: tuple[Node, ...]


@final
@frozen(cache_hash=True)
class Choice:
    """One of some parts."""

    items: tuple[Node, ...]


@final
@frozen(cache_hash=True)
class Many:
    """A part several times."""

    item: Node
    least: int
    most: int | None

    @property
    def suffix(self) -> str:
        return f"{{{self.least},{'' if self.most is None else self.most}}}"


@final
@frozen(cache_hash=True)
class Lexeme:
    """A part that is written as one regular expression."""

    node: Node


def names(node: Node) -> Iterator[str]:
    """Yield the names that a part refers to."""
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, Many):
        yield from names(node.item)
    elif isinstance(node, Row | Choice):
        for item in node.items:
            yield from names(item)
