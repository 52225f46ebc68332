"""The calls behind an opening mark: name and arguments in each of the syntaxes, whole or broken.

Owns a call's own text; where calls may begin is the reader's matter. A broken call is one whose arguments are the raw
text, so that whoever runs it can tell the model. What cannot be closed is cut at the first mark that it swallowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias, final

from attrs import frozen

from aimu._core.json_text import DEPTH
from aimu.engines._formats.literals import bare_object, python_calls, python_object
from aimu.engines._formats.marks import BLANKS, HEAD, CallMarks, Syntax, is_strong, look
from aimu.engines._formats.source import Marks, Source, Steps, marks_of
from aimu.engines._formats.table import Table
from aimu.engines._formats.tagged import tagged
from aimu.engines._formats.values import (
    Tools,
    argument_text,
    code_tool,
    dumps,
    guessed_name,
    json_calls,
    loads,
    offered_name,
    plain_name,
    properties_of,
)

Call: TypeAlias = tuple[str, str]
"""A name, and arguments as JSON text where they are whole."""

_PAIRS = {"{": "}", "[": "]", "(": ")"}
_AHEAD = 80
_FENCE = re.compile(r"\s*```\w*\s*")
_NEXT_VALUE = re.compile(r"[\s,;]*(?=[{\[](?!/?[A-Z_]+\]))")
_NEXT_PYTHON = re.compile(r"[\s,;]*+(?=\[?\s*+[\w.\-]++\s*+\()")
_PYTHON_NAME = re.compile(r"\s*+\[?\s*+([\w.\-]+)")
_STRAY = re.compile(r"\s{0,8}[}\]]{1,8}")


@frozen
class Brackets:
    """What opens, closes and quotes in a syntax; `escapes` tells that a backslash escapes in strings."""

    outside: Marks
    inside: Mapping[str, Marks]
    stops: frozenset[str]
    escapes: bool = True

    @classmethod
    def of(cls, signs: str, quotes: tuple[str, ...], stops: Iterable[str], *, escapes: bool = True) -> Brackets:
        marks = frozenset(stops)
        inside = {quote: Marks([quote, "\\"] if escapes else [quote]) for quote in quotes}
        return cls(Marks([*signs, *quotes, *marks]), inside, marks, escapes)


@frozen
class Span:
    """A value in brackets; `lacks` are those that were not closed when a mark or the end of the text came."""

    text: str
    whole: bool
    deep: bool
    lacks: str
    stopped: bool


def balanced(source: Source, brackets: Brackets) -> Steps[Span]:
    """Take the value that begins here, up to the bracket that closes it."""
    parts: list[str] = []
    stack: list[str] = []
    deep = 0
    while True:
        mark = yield from source.until(brackets.outside, parts.append, brackets.stops)
        if mark is None or mark in brackets.stops:
            return Span("".join(parts), False, deep > 0, "".join(reversed(stack)), mark is not None)
        parts.append(mark)
        if mark in brackets.inside:
            yield from _string(source, brackets.inside[mark], parts)
        elif mark in _PAIRS:
            if len(stack) < DEPTH:
                stack.append(_PAIRS[mark])
            else:
                deep += 1
        elif deep:
            deep = max(1, deep - 1)  # never whole again
        elif stack:
            stack.pop()
        if not stack:
            return Span("".join(parts), True, False, "", False)


def _string(source: Source, ends: Marks, parts: list[str]) -> Steps[None]:
    while True:
        mark = yield from source.until(ends, parts.append)
        if mark is None:
            return
        parts.append(mark)
        if mark != "\\":
            return
        yield from source.peek(1)
        parts.append(source.take(min(source.at + 1, len(source.text))))


@final
class Bodies:
    """Reads calls from a source, for the marks of a table and the tools that were offered."""

    def __init__(self, source: Source, table: Table, tools: Tools) -> None:
        self._source, self._table, self._tools = source, table, tools
        self._json, self._python = _brackets(table, "{}[]", '"'), _brackets(table, "{}[]()", "\"'")

    def read(self, mark: str) -> Steps[list[Call] | None]:
        """The calls behind an opening mark that was taken; None where there are none."""
        ahead = yield from self._source.peek(HEAD)
        for strict in (True, False):
            for marks, index in self._table.entries[mark]:
                head = look(marks, index, strict, ahead, len(ahead) < HEAD)
                if head is None:
                    continue
                name = head["name"] or "" if "name" in head.re.groupindex else ""
                if not is_strong(mark) and name and name not in self._tools:
                    continue
                self._source.take(self._source.at + min(head.end(), len(ahead)))
                return (yield from self._body(marks, name))
        return None

    def bare(self, python: bool) -> Steps[tuple[list[Call] | None, str]]:
        """Calls without marks, None where it is something else, and the text that was taken."""
        span = yield from balanced(self._source, self._python if python else self._json)
        calls = self._python_calls(span.text) if python else self._json_calls(span, None)
        if calls is None and not python and (found := offered_name(span.text)):
            calls = [(plain_name(found[1], self._tools), span.text.strip())]
        return calls, span.text

    def plain(self, name: str) -> Steps[Call]:
        """The arguments of a call, an object that comes next."""
        span = yield from balanced(self._source, self._json)
        text = span.text + span.lacks if span.stopped else span.text
        return name, text if not span.deep and loads(text) is not None else self._cut(span.text).strip()

    def addressed(self, name: str, closes: tuple[str, ...]) -> Steps[Call]:
        """The message to a tool."""
        source, ends = self._source, marks_of(*closes, *sorted(self._table.starts))
        blanks = yield from source.blanks()
        if (yield from source.peek(1)) == "{":
            span = yield from balanced(source, self._json)
            if loads(span.text) is not None:
                yield from source.until(ends, _nothing, left=self._table.starts)
                return plain_name(name, self._tools), span.text
            parts = [span.text]
        else:
            parts = [blanks]
        yield from source.until(ends, parts.append, left=self._table.starts)
        name = plain_name(name, self._tools)
        return name, argument_text("".join(parts), properties_of(name, self._tools))

    def _body(self, marks: CallMarks, name: str) -> Steps[list[Call]]:
        match marks.syntax:
            case Syntax.JSON:
                calls = yield from self._json_values(marks)
            case Syntax.PYTHON if marks.code and (name := code_tool(self._tools)) and not self._offered_next():
                calls = [(name, argument_text((yield from self._rest()), properties_of(name, self._tools)))]
            case Syntax.PYTHON:
                calls = yield from self._python_values()
            case Syntax.NAMED:
                calls = yield from self._named(marks, name)
            case Syntax.TAGGED:
                calls = [(yield from tagged(self._source, marks, plain_name(name, self._tools), self._tools))]
        yield from self.close(marks.closing)
        return calls

    def close(self, closing: tuple[str, ...]) -> Steps[None]:
        """Take what closes calls, and a bracket or a fence too many."""
        source, closers = self._source, marks_of(*closing)
        strays = 1
        while True:
            ahead = yield from source.peek(_AHEAD)
            start = len(ahead) - len(ahead.lstrip(BLANKS))
            found = closers.match(ahead, start, len(ahead) < _AHEAD)
            if isinstance(found, tuple):
                source.take(source.at + found[0])
            elif ahead.startswith("```", start):
                source.take(source.at + start + 3)
            elif self._table.hidden.match(ahead, start, len(ahead) < _AHEAD) is not None:
                return  # the next call
            elif strays and (stray := _STRAY.match(ahead)):
                source.take(source.at + stray.end())
                strays -= 1
            else:
                return

    # JSON

    def _json_values(self, marks: CallMarks) -> Steps[list[Call]]:
        source, calls = self._source, list[Call]()
        between = ""
        while True:
            span = yield from balanced(source, self._json)
            found = self._json_calls(span, marks)
            offered = found is not None and (marks.closing or all(name in self._tools for name, _ in found))
            if calls and not offered and source.give_back(between + span.text):
                return calls
            if found is None:
                raw = self._cut(span.text)
                return [*calls, (guessed_name(raw), raw.strip())]
            calls += found
            stray = _STRAY.match((yield from source.peek(16)))
            if stray:
                source.take(source.at + stray.end())
            more = _NEXT_VALUE.match((yield from source.peek(16)))
            if more is None:
                return calls
            between = source.take(source.at + more.end())

    def _json_calls(self, span: Span, marks: CallMarks | None) -> list[Call] | None:
        keys = (marks.name_key, marks.arguments_key) if marks is not None else ("", "")
        if span.deep or not span.text:
            return None
        text = span.text if span.whole else span.text + span.lacks if span.stopped else ""
        value = loads(text)
        if value is None:
            value = python_object(text)
        calls = json_calls(value, self._tools, *keys)
        if calls is None and marks is not None and isinstance(value, dict) and "name" not in value:
            return [(plain_name("", self._tools), span.text.strip())]
        return calls

    def _cut(self, raw: str) -> str:
        """What a broken call is without the marks that it swallowed; they and all behind them are read once more."""
        marks = self._table.hidden_in_thinking if self._source.recording else self._table.hidden
        found = marks.find(raw, 0, True)
        if isinstance(found, tuple) and self._source.give_back(raw[found[0] :]):
            return raw[: found[0]]
        return raw

    # Python

    def _python_values(self) -> Steps[list[Call]]:
        source, calls = self._source, list[Call]()
        while True:
            span = yield from balanced(source, self._python)
            found = self._python_calls(span.text) if span.whole else None
            if found is None:
                raw = self._cut(span.text)
                name = _PYTHON_NAME.match(raw)
                return [*calls, (plain_name(name[1] if name else "", self._tools), raw.strip())]
            calls += found
            more = _NEXT_PYTHON.match((yield from source.peek(HEAD)))
            if more is None:
                return calls
            source.take(source.at + more.end())

    def _python_calls(self, text: str) -> list[Call] | None:
        try:
            return python_calls(text, self._tools)
        except ValueError:
            return None

    def _offered_next(self) -> bool:
        """Whether the call that comes next is one of an offered tool."""
        found = _PYTHON_NAME.match(self._source.text, self._source.at)
        return found is not None and plain_name(found[1], self._tools) in self._tools

    # A name, then an object

    def _rest(self) -> Steps[str]:
        """The text up to the next mark of a call."""
        rest: list[str] = []
        yield from self._source.until(self._table.hidden, rest.append, left=self._table.stops)
        return "".join(rest)

    def _named(self, marks: CallMarks, name: str) -> Steps[list[Call]]:
        source = self._source
        name = plain_name(name, self._tools)
        fence = _FENCE.match((yield from source.peek(24)))
        if fence:
            source.take(source.at + fence.end())
        blanks = yield from source.blanks()
        if (yield from source.peek(1)) != "{":
            text = blanks + (yield from self._rest())
            text = text.rstrip().removesuffix("```") if fence else text
            return [(name, argument_text(text, properties_of(name, self._tools)))]
        span = yield from balanced(
            source, _brackets(self._table, "{}[]", "", marks.quote) if marks.quote else self._json
        )
        if marks.quote:
            try:
                return [(name, dumps(bare_object(span.text, marks.quote)))]
            except ValueError:
                pass
        text = span.text + span.lacks if span.stopped else span.text
        if not span.deep and loads(text) is not None:
            return [(name, text)]
        return [(name, self._cut(span.text).strip())]


@lru_cache(maxsize=1024)
def _brackets(table: Table, signs: str, quotes: str, quote: str = "") -> Brackets:
    return Brackets.of(signs, (quote,) if quote else tuple(quotes), table.stops, escapes=not quote)


def _nothing(text: str) -> None:
    """What stands between a call's arguments and its end says nothing."""
