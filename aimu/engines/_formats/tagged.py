"""Arguments whose keys and values stand between marks: XML and its kin.

Takes them up to the marks that close the call; a closing mark may be missing, and one may be a part of a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from aimu.engines._formats.marks import ANY, BLANKS, HEAD, CallMarks, is_strong, pattern
from aimu.engines._formats.schema import tagged_value, typed
from aimu.engines._formats.source import Marks, Source, Steps, marks_of
from aimu.engines._formats.values import Tools, dumps, resolvable_properties_of

_AHEAD = 80
_SPACES = BLANKS + ","
_HINT = re.compile(r'(string|type)\s*=\s*"(\w+)"')

Call: TypeAlias = tuple[str, str]


def tagged(source: Source, marks: CallMarks, name: str, tools: Tools) -> Steps[Call]:
    """The call whose name was taken; its arguments are the raw text where there is some without any mark."""
    properties, definitions = resolvable_properties_of(name, tools)
    ends = [mark for mark in (*marks.closing, *marks.opening) if is_strong(mark)]
    following = marks_of(marks.key[0], *ends)
    arguments: dict[str, Any] = {}
    while True:
        ahead = yield from source.peek(_AHEAD)
        start = len(ahead) - len(ahead.lstrip(_SPACES))
        found = following.match(ahead, start, len(ahead) < _AHEAD)
        if not isinstance(found, tuple) or found[1] != marks.key[0]:
            break
        source.take(source.at + found[0])
        key, hint = yield from _key(source, marks)
        missing = [other for other in properties if other not in arguments and other != key]
        text = yield from _value(source, marks, key, following, missing)
        arguments[key] = typed(_nested(marks, text), properties.get(key), hint, definitions)
    if not arguments and not isinstance(found, tuple) and ahead.strip() and marks.closing:
        raw = yield from _text_before(source, marks.closing, ends)
        if raw:
            return name, raw
    return name, dumps(arguments)


def _key(source: Source, marks: CallMarks) -> Steps[tuple[str, str]]:
    """The key, and what stands beside it about the type."""
    parts, beside = list[str](), list[str]()
    yield from source.until(marks_of(marks.key[1]), parts.append, most=HEAD)
    if marks.value[0].strip():
        yield from source.until(marks_of(marks.value[0]), beside.append, most=HEAD)
    hint = _HINT.search("".join(beside))
    kind = {"true": "string", "false": ""}.get(hint[2], hint[2]) if hint else ""
    return "".join(parts).strip(), kind


def _value(source: Source, marks: CallMarks, key: str, following: Marks, missing: Iterable[str]) -> Steps[str]:
    """The text of a value; the mark that ends it is a part of it where nothing follows that could."""
    parts: list[str] = []
    closings = marks_of(marks.value[1].replace(ANY, key).strip())
    first: int | None = None
    while True:
        mark = yield from source.until(closings, parts.append)
        if mark is None:
            break
        ahead = yield from source.peek(_AHEAD)
        start = len(ahead) - len(ahead.lstrip(_SPACES))
        if start == len(ahead) or following.match(ahead, start, len(ahead) < _AHEAD) is not None:
            return _trimmed(_without_next(source, marks, "".join(parts), missing), marks)
        first = len(parts) if first is None else first
        parts.append(mark)
    raw = "".join(parts)
    if first is not None:
        return _trimmed("".join(parts[:first]) if source.give_back("".join(parts[first + 1 :])) else raw, marks)
    found = following.find(raw, 0, True)
    if isinstance(found, tuple) and source.give_back(raw[found[0] :]):
        raw = raw[: found[0]]
    return _trimmed(raw, marks)


def _without_next(source: Source, marks: CallMarks, raw: str, missing: Iterable[str]) -> str:
    """A value without the next argument, which it holds where the mark between them is missing."""
    if marks.key[0] not in raw or not (names := [*missing]):
        return raw
    names = [re.escape(name) for name in names]
    begins = re.search(rf"{pattern(marks.key[0])}\s*(?:{'|'.join(names)})\s*{pattern(marks.key[1])}", raw)
    if begins is None or not source.give_back(raw[begins.start() :] + source.last):
        return raw
    return raw[: begins.start()]


def _text_before(source: Source, closing: tuple[str, ...], ends: list[str]) -> Steps[str]:
    """The text up to a mark that closes the call; "" where none does soon."""
    rest: list[str] = []
    mark = yield from source.until(marks_of(*ends), rest.append, left=ends, most=HEAD)
    text = "".join(rest)
    return text.strip() if mark in closing or not source.give_back(text) else ""


def _nested(marks: CallMarks, text: str) -> str:
    """A value as JSON text, where its own parts stand between marks with their names."""
    if ANY not in marks.value[1] or not text.lstrip().startswith(marks.key[0]):
        return text
    value = tagged_value(text, marks.key, marks.value[1])
    return text if value is None else dumps(value)


def _trimmed(value: str, marks: CallMarks) -> str:
    """Without the line breaks that belong to the marks."""
    if "\n" in marks.value[0]:
        value = value.removeprefix("\n").removesuffix("\n")
    return value
