"""Cuts the rules of a GBNF grammar into lexemes: regular expressions whose end llguidance finds in only one place.

llguidance takes the longest text that an expression allows, and never less of it. So a part is a lexeme only if no
character that can follow it can also go on with it, or with another lexeme that may stand in the same place. A part
for which this does not hold is written as rules of smaller ones, down to single characters.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import final

from attrs import define, field, frozen

from aimu._core.acyclic import acyclic
from aimu.engines._grammars.gbnf_nodes import Choice, Lexeme, Many, Name, Node, Ranges, Row, Text, names


def cut(rules: Mapping[str, Node]) -> dict[str, Node]:
    """Return the rules that `root` needs, whose regular parts are lexemes."""
    shapes, facts = _Shapes(rules), _Alphabet(rules).facts
    while split := _Conflicts(shapes.shaped(), facts).found() - shapes.split:
        shapes.split |= split
    return shapes.shaped()


@final
@define
class _Shapes:
    """The rules, as far as they are split."""

    rules: Mapping[str, Node]
    split: set[Node] = field(factory=set[Node])
    regular: set[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.regular = acyclic({name: set(names(node)) for name, node in self.rules.items()})

    def shaped(self) -> dict[str, Node]:
        found, waiting = dict[str, Node](), ["root"]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self._shape(self.rules[name])
                waiting += names(found[name])
        return found

    def _is_lexeme(self, node: Node) -> bool:
        return node not in self.split and self.regular.issuperset(names(node))

    def _shape(self, node: Node) -> Node:
        if self._is_lexeme(node):
            return Lexeme(node)
        if isinstance(node, Name):
            return self._shape(self.rules[node.name]) if node.name in self.regular else node
        if isinstance(node, Many):
            return Many(self._shape(node.item), node.least, node.most)
        if isinstance(node, Choice):
            return Choice(tuple(map(self._shape, node.items)))
        if isinstance(node, Text):
            return Row(tuple(map(Lexeme, _single(node))))
        return Row(tuple(self._neighbours(node.items))) if isinstance(node, Row) else node

    def _neighbours(self, items: Iterable[Node]) -> Iterator[Node]:
        """Yield the parts of a row, those that are lexemes as one, unless that is split."""
        run: list[Node] = []
        for item in (*items, None):
            if item is not None and self._is_lexeme(item):
                run.append(item)
                continue
            together = Row(tuple(run))
            if len(run) > 1 and together not in self.split:
                yield Lexeme(together)
            else:
                yield from map(Lexeme, run)
            run = []
            if item is not None:
                yield self._shape(item)


def _single(node: Text) -> Iterator[Text]:
    for pattern, characters in zip(node.patterns, node.characters, strict=True):
        yield Text((pattern,), (characters,))


@final
@frozen
class _Facts:
    """What is known of the texts of a part; sets of characters are bits.

    Attributes:
        empty: Whether it may be empty.
        first: With what it may begin.
        further: What may go on with a text that is whole.
        inner: What may stand behind its first character.
    """

    empty: bool = True
    first: int = 0
    further: int = 0
    inner: int = 0


@final
class _Alphabet:
    """The characters of a grammar, those that it never tells apart as one, as bits; and the facts of its parts."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        ranges = {each for node in rules.values() for part in _all_ranges(node) for each in part}
        self._starts = sorted({edge for first, last in ranges for edge in (first, last + 1)})
        self._known: dict[Node, _Facts] = {}

    def facts(self, node: Node) -> _Facts:
        """Return the facts of a regular part."""
        if node not in self._known:
            self._known[node] = self._of(node)
        return self._known[node]

    def _bits(self, ranges: Ranges) -> int:
        made = 0
        for first, last in ranges:
            made |= (1 << bisect_right(self._starts, last)) - (1 << bisect_left(self._starts, first))
        return made

    def _of(self, node: Node) -> _Facts:
        if isinstance(node, Name):
            return self.facts(self._rules[node.name])
        if isinstance(node, Text):
            bits = [self._bits(ranges) for ranges in node.characters]
            return _row([_Facts(False, each) for each in bits])
        if isinstance(node, Many):
            item = self.facts(node.item)
            more = item.first if node.most != 1 else 0
            further = item.further | (more if node.least != node.most else 0)
            return _whole(_Facts(item.empty or node.least == 0, item.first, further, item.inner | more))
        if isinstance(node, Lexeme):
            return self.facts(node.node)
        parts = [self.facts(item) for item in node.items]
        return _row(parts) if isinstance(node, Row) else _choice(parts)


def _all_ranges(node: Node) -> Iterator[Ranges]:
    if isinstance(node, Text):
        yield from node.characters
    elif isinstance(node, Many):
        yield from _all_ranges(node.item)
    elif isinstance(node, Row | Choice):
        for item in node.items:
            yield from _all_ranges(item)


def _whole(facts: _Facts) -> _Facts:
    """Return facts in which an empty text may go on."""
    return _Facts(facts.empty, facts.first, facts.further | (facts.first if facts.empty else 0), facts.inner)


def _row(parts: Sequence[_Facts]) -> _Facts:
    made = parts[0] if parts else _Facts()
    for part in parts[1:]:
        made = _Facts(
            made.empty and part.empty,
            made.first | (part.first if made.empty else 0),
            part.further | ((made.further | part.first) if part.empty else 0),
            made.inner | part.inner | part.first,
        )
    return _whole(made)


def _inner(parts: Iterable[_Facts]) -> int:
    made = 0
    for part in parts:
        made |= part.inner
    return made


def _choice(parts: Sequence[_Facts]) -> _Facts:
    parts = list({id(part): part for part in parts}.values())
    alike: dict[int, list[_Facts]] = {}
    first = inner = further = 0
    for part in parts:
        alike.setdefault(part.first, []).append(part)
        first, inner, further = first | part.first, inner | part.inner, further | part.further
    empty = [part for part in parts if part.empty]
    if empty:
        further |= inner if len(empty) > 1 else _inner(part for part in parts if part is not empty[0])
    inside = {begin: _inner(several) for begin, several in alike.items()}
    for begin, several in alike.items():  # a text of one part may be the beginning of another part's
        for other, others in inside.items():
            if begin & other and (begin != other or len(several) > 1):
                further |= others
    return _whole(_Facts(bool(empty), first, further, inner))


@final
class _Conflicts:
    """Finds lexemes whose end is not clear in shaped rules, by what may follow each of them."""

    def __init__(self, rules: dict[str, Node], facts: Callable[[Node], _Facts]) -> None:
        self._rules, self._facts = rules, facts
        self._first: dict[str, tuple[bool, frozenset[Lexeme]]] = dict.fromkeys(rules, (False, frozenset()))
        self._behind: dict[str, set[Lexeme]] = {name: set() for name in rules}
        self._follow: dict[Lexeme, set[Lexeme]] = {}
        while self._is_more_to_begin_with():
            pass
        size = -1
        while (now := sum(map(len, (*self._behind.values(), *self._follow.values()))) + len(self._follow)) != size:
            size = now
            for name, node in rules.items():
                self._pass(node, self._behind[name])

    def _is_more_to_begin_with(self) -> bool:
        """Look once at what each rule may begin with; return whether that has changed. `root` is the last."""
        changed = False
        for name in reversed(self._rules):
            first = self._begins(self._rules[name])
            changed = changed or first != self._first[name]
            self._first[name] = first
        return changed

    def found(self) -> set[Node]:
        """Return the parts to split."""
        split = set[Node]()
        together = self._together()
        for lexeme, follow in self._follow.items():
            next_one = 0
            for other in follow:
                next_one |= self._facts(other.node).first
            facts = self._facts(lexeme.node)
            if facts.further & next_one:
                split.add(lexeme.node)
            for other in together[lexeme]:
                if self._facts(other.node).inner & next_one:
                    split.add(other.node)
        return split

    def _begins(self, node: Node) -> tuple[bool, frozenset[Lexeme]]:
        """Return whether a part may be empty, and the lexemes with which it may begin."""
        if isinstance(node, Lexeme):
            return self._facts(node.node).empty, frozenset([node])
        if isinstance(node, Name):
            return self._first[node.name]
        if isinstance(node, Many):
            empty, first = self._begins(node.item)
            return empty or node.least == 0, first
        parts = [self._begins(item) for item in node.items] if isinstance(node, Row | Choice) else []
        if isinstance(node, Choice):
            return any(empty for empty, _ in parts), frozenset().union(*(first for _, first in parts))
        found = frozenset[Lexeme]()
        for empty, first in parts:
            found |= first
            if not empty:
                return False, found
        return True, found

    def _pass(self, node: Node, behind: set[Lexeme]) -> None:
        """Let lexemes and rules know what may stand behind them."""
        if isinstance(node, Lexeme):
            self._follow.setdefault(node, set()).update(behind)
        elif isinstance(node, Name):
            self._behind[node.name] |= behind
        elif isinstance(node, Many):
            self._pass(node.item, behind | self._begins(node.item)[1] if node.most != 1 else behind)
        elif isinstance(node, Choice):
            for item in node.items:
                self._pass(item, behind)
        elif isinstance(node, Row):
            for item in reversed(node.items):
                self._pass(item, behind)
                empty, first = self._begins(item)
                behind = {*first, *(behind if empty else ())}

    def _together(self) -> dict[Lexeme, set[Lexeme]]:
        """Return, for each lexeme, the others that may stand in its place and begin alike; adds to what may follow."""
        first = {lexeme: self._facts(lexeme.node).first for lexeme in self._follow}
        alike = {one: {other for other in first if other != one and first[one] & first[other]} for one in first}
        found: dict[Lexeme, set[Lexeme]] = {lexeme: set() for lexeme in first}
        grown = True
        while grown:
            grown = False
            for place in [self._first["root"][1], *map(frozenset, self._follow.values())]:
                for one in place:
                    if more := (alike[one] & place) - found[one]:
                        found[one] |= more
                        grown = True
            for one, others in found.items():
                for other in others:
                    if not self._follow[other] <= self._follow[one]:
                        self._follow[one] |= self._follow[other]
                        grown = True
        return found
