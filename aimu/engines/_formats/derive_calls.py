"""The marks of calls in a template: what stands before a name, between name, keys and values, and behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, final

from attrs import evolve, field, frozen

from aimu.engines._formats.marks import ANY, CallMarks, Syntax, is_strong
from aimu.engines._formats.probing import (
    IDS,
    KEYS,
    NAMES,
    NO_CALLS,
    NUMBER,
    OTHER,
    RESULT,
    USER,
    VALUE,
    Probe,
    assistant,
    call,
    result,
    user,
)
from aimu.engines._formats.tokens import common_prefix, common_suffix, split_marks
from aimu.engines._formats.values import ARGUMENT_KEYS, NAME_KEYS
from aimu.engines._formats.writing import Plan

_FENCE = re.compile(r"```\w*\s*$")
_NUMBERED = re.compile(r":\d+")
_ONE = f'{{"{KEYS[0]}": "{VALUE}"}}'
_OTHER = f'{{"{KEYS[0]}": "{OTHER}"}}'


@final
@frozen
class Calls:
    """Where calls are looked for.

    `start` begins the text of each reply, `leading` are marks of thinking and answer that may stand before a call,
    `ended` ends a turn, `header` ends the header of a message, `terminator` each mark.
    """

    probe: Probe
    plan: Plan
    start: str = field(kw_only=True)
    leading: Sequence[str] = field(kw_only=True)
    ended: str = field(kw_only=True)
    header: str = field(kw_only=True)
    terminator: str = field(kw_only=True)

    def text(self, *calls: Any) -> str:
        """The text of calls, without what stands before them; "" where the template shows none."""
        for rest in ([], [result(number) for number in range(len(calls))]):
            found = self.probe([user, assistant("", *calls), *rest], self.plan)
            behind = found[found.find(USER) + len(USER) :] if found is not None and USER in found else ""
            if NAMES[0] in behind:
                return self._from_call(behind.partition(RESULT)[0])
        return ""

    def _from_call(self, text: str) -> str:
        text = text[len(common_prefix(text, self.start)) :]
        longest = sorted(filter(None, self.leading), key=len, reverse=True)
        while mark := next((mark for mark in longest if text.lstrip().startswith(mark)), None):
            text = text.lstrip()[len(mark) :]
        rest = text.partition(self.header)[2] if self.header else ""
        return rest if NAMES[0] in rest.partition(VALUE)[0] else text

    def marks(self, text: str) -> list[str]:
        return split_marks(text, self.terminator)

    def closing(self, text: str) -> tuple[str, ...]:
        """The marks that close calls in what stands behind the last value."""
        text = text.rstrip().removesuffix(self.ended.strip())
        text = text[: len(text) - len(common_suffix(text, self.ended, self.terminator))]
        turn = [mark for mark in self.marks(self.ended) if is_strong(mark)]
        found: list[str] = []
        for mark in self.marks(text):
            if mark in turn or not is_strong(mark):
                break
            found.append(mark)
        return tuple(found)

    def opening(self, text: str) -> tuple[tuple[str, ...], str]:
        """The marks before a call, and what stands between the last one and a name."""
        marks: list[str] = []
        for mark in self.marks(text.replace(NAMES[0], ANY).replace(IDS[0], ANY)):
            before, found, rest = mark.partition(ANY)
            marks += [part for part in (before, found and ANY, rest) if part]
        prefix = ""
        if len(marks) > 1 and not is_strong(marks[-1]) and marks[-1] != ANY:
            prefix = marks.pop()
        elif marks and (tail := re.search(r"(?<=[>\]])\s*([\w.:]+)$", marks[-1])):
            prefix, marks[-1] = tail[1], marks[-1][: tail.start()]
        return tuple(marks), prefix


def call_marks(calls: Calls) -> CallMarks | None:
    """The marks of a template's calls; None where it shows none."""
    if calls.plan.calls == "text" or NO_CALLS in calls.plan.lost:
        return None
    text = calls.text(call())
    for find in (_json, _named, _bare, _python, _tagged):
        marks = find(calls, text)
        if marks is not None:
            return marks
    return None


def _value_at(text: str, at: int) -> tuple[Any, int] | None:
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, at)
    except (ValueError, RecursionError):
        return None


def _json(calls: Calls, text: str) -> CallMarks | None:
    """Calls that are JSON with the name in it."""
    stop = text.find(NAMES[0])
    for found in re.finditer(r"[{\[]", text[: max(stop, 0)]):
        value = _value_at(text, found.start())
        if value is None or NAMES[0] not in json.dumps(value[0]) or KEYS[0] not in json.dumps(value[0]):
            continue
        keys = _keys(value[0][0] if isinstance(value[0], list) else value[0])
        if keys is None:
            return None
        opening = tuple(calls.marks(_FENCE.sub("", text[: found.start()].rstrip()).strip()))
        tail = text[value[1] :].strip().removeprefix("```")
        return CallMarks(
            syntax=Syntax.JSON,
            opening=opening,
            closing=calls.closing(tail),
            name_key="" if keys[0] in NAME_KEYS else keys[0],
            arguments_key="" if keys[1] in ARGUMENT_KEYS else keys[1],
        )
    return None


def _keys(value: Any) -> tuple[str, str] | None:
    """The keys of name and arguments in an object."""
    if not isinstance(value, dict):
        return None
    if NAMES[0] in value:
        return "name", "arguments"
    name = next((key for key, item in value.items() if item == NAMES[0]), None)
    if name is None:
        return next(filter(None, (_keys(item) for item in value.values())), None)
    for key, item in value.items():
        if (isinstance(item, dict) and KEYS[0] in item) or (isinstance(item, str) and KEYS[0] in item):
            return name, key
    return None


def _named(calls: Calls, text: str) -> CallMarks | None:
    """Calls whose name stands before JSON with the arguments."""
    key = text.find(f'"{KEYS[0]}"')
    at = text.rfind("{", 0, max(key, 0))
    value = _value_at(text, at) if at >= 0 else None
    name = text.rfind(NAMES[0], 0, max(at, 0))
    if value is None or name < 0 or not isinstance(value[0], dict) or KEYS[0] not in value[0]:
        return None
    opening, prefix = calls.opening(text[:name])
    between = text[name + len(NAMES[0]) : at].strip()
    ident, found, naming = between.partition(IDS[0])
    if not found:
        ident, naming = "", _NUMBERED.sub("", between, count=1) if _NUMBERED.match(between) else between
    tail = text[value[1] :].strip().removeprefix("```")
    return CallMarks(
        syntax=Syntax.NAMED,
        opening=opening,
        prefix=prefix,
        ident=ident.strip(),
        naming=naming.strip(),
        closing=calls.closing(tail),
    )


def _bare(calls: Calls, text: str) -> CallMarks | None:
    """Calls whose name stands before an object with bare keys."""
    shape = rf"{NAMES[0]}\s*\{{\s*{KEYS[0]}\s*:\s*(\S*?){VALUE}(\S*?)\s*,\s*{KEYS[1]}\s*:\s*{NUMBER}\s*\}}"
    found = re.search(shape, text)
    if found is None or found[1] != found[2] or not found[1]:
        return None
    opening, prefix = calls.opening(text[: found.start()])
    return CallMarks(
        syntax=Syntax.NAMED,
        opening=opening,
        prefix=prefix,
        quote=found[1],
        closing=calls.closing(text[found.end() :]),
    )


def _python(calls: Calls, text: str) -> CallMarks | None:
    found = re.search(
        rf"\[?\s*{NAMES[0]}\(\s*{KEYS[0]}\s*=\s*(['\"]){VALUE}\1\s*,\s*{KEYS[1]}\s*=\s*{NUMBER}\s*\)\s*\]?", text
    )
    if found is None:
        return None
    opening = tuple(calls.marks(text[: found.start()].strip()))
    return CallMarks(syntax=Syntax.PYTHON, opening=opening, closing=calls.closing(text[found.end() :]))


def _tagged(calls: Calls, text: str) -> CallMarks | None:
    """Calls whose keys and values stand between marks."""
    first = text.find(KEYS[0])
    name = text.rfind(NAMES[0], 0, max(first, 0))
    value = text.find(VALUE, first)
    second = text.find(KEYS[1], value)
    number = text.find(str(NUMBER), second)
    if min(first, name, value, second, number) < 0:
        return None
    behind_name = text[name + len(NAMES[0]) : first]
    behind_key = text[first + len(KEYS[0]) : value]
    behind_value = text[value + len(VALUE) : second].replace(KEYS[0], ANY)
    tail = text[number + len(str(NUMBER)) :].replace(KEYS[1], ANY)
    key = common_suffix(behind_name, behind_value, calls.terminator).strip()
    closing = behind_value.strip().removesuffix(key).strip()
    if not key or not closing or not tail.strip().startswith(closing):
        return None
    naming = behind_name.strip().removesuffix(key).strip()
    opening, prefix = calls.opening(text[:name])
    ident, naming = _varying(calls, naming)
    key_end, value_start = _around_key(behind_key)
    line = "\n" if behind_key.endswith("\n") else ""
    return CallMarks(
        syntax=Syntax.TAGGED,
        opening=opening,
        prefix=prefix,
        ident=ident,
        naming=naming,
        key=(key, key_end),
        value=(value_start or line, line + closing),
        closing=calls.closing(tail.strip().removeprefix(closing)),
    )


def _varying(calls: Calls, naming: str) -> tuple[str, str]:
    """What stands behind a name, apart from a number in it that counts the calls."""
    second = calls.text(call(0, _ONE), call(1, _OTHER)).partition(NAMES[1])[2]
    counted = re.fullmatch(r"(.*?)\d+(.*)", naming, re.DOTALL)
    if counted is None or second.startswith(naming):
        return "", naming
    return counted[1], counted[2]


def _around_key(text: str) -> tuple[str, str]:
    """The mark behind a key and the one before its value."""
    bare = text.strip()
    if bare.startswith('"'):
        rest = bare[1:]
        return '"', rest[rest.rfind("<") :] if "<" in rest else ">" if rest.endswith(">") else rest
    parts = re.split(r"(?<=>)\s*(?=<)", bare)
    return (parts[0], parts[-1]) if len(parts) > 1 else (bare, "")


def variants(marks: CallMarks) -> list[CallMarks]:
    """What models also write between the outer marks of their calls: JSON, tags, Python."""
    inner = 1 if marks.syntax is Syntax.TAGGED and len(marks.opening) > 1 else 0
    opening = marks.opening[: len(marks.opening) - inner]
    if not any(map(is_strong, opening)):
        return []
    closing = marks.closing[inner:]
    tags = CallMarks(
        syntax=Syntax.TAGGED,
        opening=(*opening, "<function="),
        naming=">",
        key=("<parameter=", ">"),
        value=("\n", "\n</parameter>"),
        closing=("</function>", *closing),
    )
    plain = [CallMarks(syntax=syntax, opening=opening, closing=closing) for syntax in (Syntax.JSON, Syntax.PYTHON)]
    return [other for other in (tags, *plain) if other.syntax is not marks.syntax]


def same(one: CallMarks, other: CallMarks) -> bool:
    """Whether two are the same but for the blanks in their marks, and for marks behind a call that end the turn."""
    size = min(len(one.closing), len(other.closing))
    ident = one.ident if other.ident else ""  # an id is not there to be seen in each
    first, second = (evolve(_bared(marks), closing=_bared(marks).closing[:size], ident=ident) for marks in (one, other))
    return first == second


def _bared(marks: CallMarks) -> CallMarks:
    return evolve(
        marks,
        opening=tuple(map(_one_blank, marks.opening)),
        closing=tuple(map(_one_blank, marks.closing)),
        key=(_one_blank(marks.key[0]), _one_blank(marks.key[1])),
        value=(_one_blank(marks.value[0]), _one_blank(marks.value[1])),
        naming=_one_blank(marks.naming),
    )


def _one_blank(mark: str) -> str:
    return re.sub(r"\s+", " ", mark).strip()
