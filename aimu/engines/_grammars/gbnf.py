"""Translates GBNF, the grammars of llama.cpp, into Lark as llguidance reads it.

Rules that do not refer to themselves become one regular expression with all that they contain. In other rules,
expressions stand between them, as large as `gbnf_lexemes` finds that their ends are clear.
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md (read 2026-11-26, and that of llama-cpp-python
0.3.36).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import final

from attrs import define, field

from aimu._core.acyclic import following
from aimu.engines._grammars.gbnf_lexemes import cut
from aimu.engines._grammars.gbnf_nodes import Choice, Lexeme, Many, Name, Node, Ranges, Row, Text, names
from aimu.engines._grammars.patterns import literal

_MOST = 1 << 20
"""Characters of a regular expression; rules that refer to others several times multiply."""
_BLANKS = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANKS_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_RULE = re.compile(r"([a-zA-Z0-9_-]+)[ \t]*::=")
_WORD = re.compile(r"[a-zA-Z0-9_-]+")
_TIMES = re.compile(r"\{[ \t]*(\d+)[ \t]*(?:(,)[ \t]*(\d*)[ \t]*)?\}")
_ESCAPED = re.compile(r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([tnr\\"\[\]]))')
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}


def lark_of(text: str) -> str:
    """Return the Lark grammar; raise ValueError with a reason if the text is not GBNF with a rule `root`."""
    return _Writer(parse(text)).grammar()


def parse(text: str) -> dict[str, Node]:
    """Return the rules; raises ValueError as `lark_of`."""
    rules = _Parser(text).rules()
    if "root" not in rules:
        raise ValueError("it has no rule named root")
    for name, node in rules.items():
        if missing := next((each for each in names(node) if each not in rules), None):
            raise ValueError(f"the rule {name!r} refers to {missing!r}, which is not defined")
    if not _has_text(rules):
        raise ValueError("no text follows it: the rule root refers to itself without an end")
    return rules


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
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _row(self, *, nested: bool) -> Node:
        items: list[Node] = []
        while (item := self._item()) is not None:
            self._skip(lines=nested)
            while (times := self._times()) is not None:
                item = Many(item, *times)
                self._skip(lines=nested)
            items.append(item)
        return items[0] if len(items) == 1 else Row(tuple(items))

    def _item(self) -> Node | None:
        sign = self.text[self.at : self.at + 1]
        if sign == '"':
            self.at += 1
            return _text(self._characters('"'))
        if sign == "[":
            return self._class()
        if sign == ".":
            self.at += 1
            return Text(("(?s:.)",), (((0, sys.maxunicode),),))
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
        return None if word is None else Name(word[0])

    def _class(self) -> Node:
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        parts, ranges = list[str](), list[tuple[int, int]]()
        while not self.text.startswith("]", self.at):
            first = self._character()
            if self.text.startswith("-", self.at) and not self.text.startswith("-]", self.at):
                self.at += 1
                last = self._character()
                parts.append(f"{literal(first)}-{literal(last)}")
                ranges.append((ord(first), ord(last)))
            else:
                parts.append(literal(first))
                ranges.append((ord(first), ord(first)))
        self.at += 1
        if not parts:
            raise self._error("a character in the class before it")
        pattern = f"[{'^' if negated else ''}{''.join(parts)}]"
        return Text((pattern,), (_all_but(ranges) if negated else tuple(ranges),))

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


def _has_text(rules: Mapping[str, Node]) -> bool:
    """Return whether some text follows the rule `root`, and so comes to an end."""
    needs: dict[str | int, tuple[int, list[str | int]]] = {name: (1, [id(node)]) for name, node in rules.items()}
    waiting = [*rules.values()]
    while waiting:
        node = waiting.pop()
        if id(node) in needs:
            continue
        if isinstance(node, Name):
            needs[id(node)] = 1, [node.name]
            continue
        inner = [*node.items] if isinstance(node, Choice | Row) else []
        inner += [node.item] if isinstance(node, Many) and node.least else []
        needs[id(node)] = 1 if isinstance(node, Choice) else len(inner), [*map(id, inner)]
        waiting += inner
    return "root" in following(needs)


def _text(characters: Iterable[str]) -> Text:
    written = tuple(characters)
    return Text(tuple(map(literal, written)), tuple(((ord(each), ord(each)),) for each in written))


def _all_but(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found, start = list[tuple[int, int]](), 0
    for first, last in sorted(ranges):
        if first > start:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return (*found, (start, sys.maxunicode))


@final
@define
class _Writer:
    """Writes rules as Lark."""

    rules: Mapping[str, Node]
    _numbers: dict[str, int] = field(init=False)
    _patterns: dict[str, str] = field(factory=dict[str, str])
    _terminals: dict[str, str] = field(factory=dict[str, str])

    def __attrs_post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.rules)}

    def grammar(self) -> str:
        shaped = cut(self.rules)
        lines = [f"{self._rule(name)}: {self._part(node)}" for name, node in shaped.items()]
        return "\n".join(["start: " + self._rule("root"), *lines, *self._terminals.values()]) + "\n"

    def _rule(self, name: str) -> str:
        return f"rule_{self._numbers[name]}"

    def _terminal(self, node: Node) -> str:
        pattern = self._pattern(node)
        if pattern == "":
            return '""'
        name = f"TEXT_{len(self._terminals)}"
        if pattern not in self._terminals:
            self._terminals[pattern] = f"{name}: /{pattern}/"
        return self._terminals[pattern].partition(":")[0]

    def _part(self, node: Node) -> str:
        if isinstance(node, Lexeme):
            return self._terminal(node.node)
        if isinstance(node, Name):
            return self._rule(node.name)
        if isinstance(node, Many):
            return f"({self._part(node.item)}){node.suffix}"
        if isinstance(node, Choice):
            return f"({' | '.join(map(self._part, node.items))})"
        return " ".join(map(self._part, node.items)) if isinstance(node, Row) and node.items else '""'

    def _pattern(self, node: Node) -> str:
        """Return the regular expression of a node that is regular."""
        if isinstance(node, Text):
            return "".join(node.patterns)
        if isinstance(node, Name):
            if node.name not in self._patterns:
                self._patterns[node.name] = f"({self._pattern(self.rules[node.name])})"
            return self._patterns[node.name]
        if isinstance(node, Many):
            return f"({self._pattern(node.item)}){node.suffix}"
        parts = [self._pattern(item) for item in node.items] if isinstance(node, Row | Choice) else []
        made = "".join(parts) if isinstance(node, Row) else f"({'|'.join(parts)})"
        if len(made) > _MOST:
            raise ValueError("it is too large")
        return made
