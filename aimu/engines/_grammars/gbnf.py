"""Translates GBNF, the grammars of llama.cpp, into Lark as llguidance reads it.

Rules that do not refer to themselves become one regular expression with all that they contain. In other rules,
expressions stand between them, and a text is cut into these greedily: such a grammar may allow less than in llama.cpp.
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md (read 2026-11-26, and that of llama-cpp-python
0.3.36).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, final

from attrs import define, field, frozen

from aimu.engines._grammars.patterns import literal

Node: TypeAlias = "_Text | _Name | _Row | _Choice | _Many"

_MOST = 1 << 20
"""Characters of a regular expression; rules that refer to others several times multiply."""
_BLANKS = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANKS_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_RULE = re.compile(r"([a-zA-Z0-9_-]+)[ \t]*::=")
_WORD = re.compile(r"[a-zA-Z0-9_-]+")
_TIMES = re.compile(r"\{[ \t]*(\d+)[ \t]*(?:(,)[ \t]*(\d*)[ \t]*)?\}")
_ESCAPED = re.compile(r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([tnr\\"\[\]]))')
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}


@final
@frozen
class _Text:
    """A regular expression of its own."""

    pattern: str


@final
@frozen
class _Name:
    name: str


@final
@frozen
class _Row:
    items: Sequence[Node]


@final
@frozen
class _Choice:
    items: Sequence[Node]


@final
@frozen
class _Many:
    item: Node
    least: int
    most: int | None

    @property
    def suffix(self) -> str:
        return f"{{{self.least},{'' if self.most is None else self.most}}}"


def lark_of(text: str) -> str:
    """Return the Lark grammar; raise ValueError with a reason if the text is not GBNF with a rule `root`."""
    rules = _Parser(text).rules()
    if "root" not in rules:
        raise ValueError("it has no rule named root")
    for name, node in rules.items():
        if missing := next((each for each in _names(node) if each not in rules), None):
            raise ValueError(f"the rule {name!r} refers to {missing!r}, which is not defined")
    return _Writer(rules).grammar()


@final
@define
class _Parser:
    text: str
    at: int = 0

    def rules(self) -> dict[str, Node]:
        found: dict[str, Node] = {}
        self._skip(lines=True)
        while self.at < len(self.text):
            head = self._take(_RULE)
            if head is None:
                raise self._error("a rule, as in `name ::=`,")
            self._skip(lines=True)
            found[head[1]] = self._choice(nested=False)
            if self.at < len(self.text) and self.text[self.at] not in "\r\n":
                raise self._error("the end of the line")
            self._skip(lines=True)
        return found

    def _choice(self, *, nested: bool) -> Node:
        items = [self._row(nested=nested)]
        while self.text.startswith("|", self.at):
            self.at += 1
            self._skip(lines=True)
            items.append(self._row(nested=nested))
        return items[0] if len(items) == 1 else _Choice(items)

    def _row(self, *, nested: bool) -> Node:
        items: list[Node] = []
        while (item := self._item()) is not None:
            self._skip(lines=nested)
            while (times := self._times()) is not None:
                item = _Many(item, *times)
                self._skip(lines=nested)
            items.append(item)
        return items[0] if len(items) == 1 else _Row(items)

    def _item(self) -> Node | None:
        sign = self.text[self.at : self.at + 1]
        if sign == '"':
            self.at += 1
            return _Text(literal("".join(self._characters('"'))))
        if sign == "[":
            return self._class()
        if sign == ".":
            self.at += 1
            return _Text("(?s:.)")
        if sign == "(":
            self.at += 1
            self._skip(lines=True)
            item = self._choice(nested=True)
            if not self.text.startswith(")", self.at):
                raise self._error("`)`")
            self.at += 1
            return item
        if sign and sign in "<!":
            raise self._error("text, since tokens are not supported,")
        start = self.at
        word = None if _RULE.match(self.text, start) else self._take(_WORD)
        return None if word is None else _Name(word[0])

    def _class(self) -> Node:
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        parts: list[str] = []
        while not self.text.startswith("]", self.at):
            first = self._character()
            if self.text.startswith("-", self.at) and not self.text.startswith("-]", self.at):
                self.at += 1
                parts.append(f"{literal(first)}-{literal(self._character())}")
            else:
                parts.append(literal(first))
        self.at += 1
        if not parts:
            raise self._error("a character in the class before it")
        return _Text(f"[{'^' if negated else ''}{''.join(parts)}]")

    def _characters(self, end: str) -> Iterator[str]:
        while not self.text.startswith(end, self.at):
            yield self._character()
        self.at += 1

    def _character(self) -> str:
        if self.at >= len(self.text):
            raise self._error("a character")
        if self.text[self.at] != "\\":
            self.at += 1
            return self.text[self.at - 1]
        escaped = self._take(_ESCAPED)
        if escaped is None:
            raise self._error("an escape that GBNF has")
        if escaped[4]:
            return _CONTROLS.get(escaped[4], escaped[4])
        code = int(escaped[1] or escaped[2] or escaped[3], 16)
        if code > sys.maxunicode:
            raise ValueError(f"{escaped[0]} is not a character")
        return chr(code)

    def _times(self) -> tuple[int, int | None] | None:
        sign = self.text[self.at : self.at + 1]
        if sign and sign in "*+?":
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        found = self._take(_TIMES)
        if found is None:
            return None
        least = int(found[1])
        return least, least if not found[2] else int(found[3]) if found[3] else None

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found

    def _skip(self, *, lines: bool) -> None:
        self._take(_BLANKS_AND_LINES if lines else _BLANKS)

    def _error(self, wanted: str) -> ValueError:
        line = self.text.count("\n", 0, self.at) + 1
        return ValueError(f"line {line} should have {wanted} at {self.text[self.at : self.at + 20]!r}")


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, _Name):
        yield node.name
    elif isinstance(node, _Many):
        yield from _names(node.item)
    elif isinstance(node, _Row | _Choice):
        for item in node.items:
            yield from _names(item)


@final
@define
class _Writer:
    """Writes rules as Lark; `recursive` are those that reach themselves, and all that use them."""

    rules: Mapping[str, Node]
    recursive: set[str] = field(init=False)
    _patterns: dict[str, str] = field(factory=dict[str, str])
    _terminals: dict[str, str] = field(factory=dict[str, str])

    def __attrs_post_init__(self) -> None:
        uses = {name: set(_names(node)) for name, node in self.rules.items()}
        while leaves := [name for name, others in uses.items() if not others & uses.keys()]:
            for name in leaves:
                del uses[name]
        self.recursive = set(uses)

    def grammar(self) -> str:
        used, waiting, lines = set[str](), ["root"], list[str]()
        while waiting:
            name = waiting.pop()
            if name in used:
                continue
            used.add(name)
            body = self._part(self.rules[name]) if name in self.recursive else self._terminal(self.rules[name])
            lines.append(f"{self._rule(name)}: {body}")
            waiting += [each for each in _names(self.rules[name]) if each in self.recursive]
        return "\n".join(["start: " + self._rule("root"), *lines, *self._terminals.values()]) + "\n"

    def _rule(self, name: str) -> str:
        return f"rule_{list(self.rules).index(name)}"

    def _is_regular(self, node: Node) -> bool:
        return not any(name in self.recursive for name in _names(node))

    def _terminal(self, node: Node) -> str:
        pattern = self._pattern(node)
        if pattern == "":
            return '""'
        name = f"TEXT_{len(self._terminals)}"
        if pattern not in self._terminals:
            self._terminals[pattern] = f"{name}: /{pattern}/"
        return self._terminals[pattern].partition(":")[0]

    def _part(self, node: Node) -> str:
        if self._is_regular(node):
            return self._terminal(node)
        if isinstance(node, _Name):
            return self._rule(node.name)
        if isinstance(node, _Many):
            return f"({self._part(node.item)}){node.suffix}"
        if isinstance(node, _Choice):
            return f"({' | '.join(map(self._part, node.items))})"
        return " ".join(self._joined(node.items)) if isinstance(node, _Row) else ""

    def _joined(self, items: Iterable[Node]) -> Iterator[str]:
        """Yield the parts of a row, neighbours that are regular as one."""
        regular: list[Node] = []
        for item in items:
            if self._is_regular(item):
                regular.append(item)
                continue
            if regular:
                yield self._terminal(_Row(regular))
                regular = []
            yield self._part(item)
        if regular:
            yield self._terminal(_Row(regular))

    def _pattern(self, node: Node) -> str:
        """Return the regular expression of a node that is regular."""
        if isinstance(node, _Text):
            return node.pattern
        if isinstance(node, _Name):
            if node.name not in self._patterns:
                self._patterns[node.name] = f"({self._pattern(self.rules[node.name])})"
            return self._patterns[node.name]
        if isinstance(node, _Many):
            return f"({self._pattern(node.item)}){node.suffix}"
        parts = [self._pattern(item) for item in node.items]
        made = "".join(parts) if isinstance(node, _Row) else f"({'|'.join(parts)})"
        if len(made) > _MOST:
            raise ValueError("it is too large")
        return made
