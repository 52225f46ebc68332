"""How a family of models marks thinking, answer and tool calls in its text: plain values, and where marks stand.

A `Row` says what the reader looks for; it comes from the table in `rows`, or from a template (`derive`). Reads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import final

from attrs import frozen

BLANKS = " \t\r\n"
ANY = "*"
"""Stands for an id between two opening marks: a few characters without brackets."""
HEAD = 256
"""How many characters behind an opening mark may be looked at to tell which call begins there."""
NAME = r"[^\s<>{}\[\]()\"'`,=|｜]{1,128}?"

_END = "\x00"  # stands for the end of the text in what `head_of` looks at
_RUN = re.compile(r"\s+")
_FENCE = r"(?:```\w*\s*)?"


class Syntax(StrEnum):
    """How a call's name and arguments are written."""

    JSON = "json"
    """An object that holds both, or several, or an array of such."""
    NAMED = "named"
    """The name, then an object with the arguments."""
    TAGGED = "tagged"
    """The name, then a mark before and behind each key and value."""
    PYTHON = "python"
    """`name(key=value)`, or a list of such."""


@final
@frozen(kw_only=True)
class CallMarks:
    """How calls are marked.

    `opening` are the marks before a call, outermost first; any of them may open it and each may be missing. `closing`
    are those behind it, innermost first. `prefix` stands before a name and is not a part of it; an id may follow the
    name behind `ident`; `naming` ends it. `key` and `value` are the marks around them for TAGGED. `quote` is the mark
    around strings in an object whose keys are bare (NAMED). With `code`, what is no call of an offered tool is code for
    one that runs it (PYTHON). `name_key` and `arguments_key` are what JSON calls use
    beside the usual keys.
    """

    syntax: Syntax
    opening: tuple[str, ...]
    closing: tuple[str, ...] = ()
    prefix: str = ""
    ident: str = ""
    naming: str = ""
    key: tuple[str, str] = ("", "")
    value: tuple[str, str] = ("", "")
    quote: str = ""
    code: bool = False
    name_key: str = ""
    arguments_key: str = ""

    @property
    def entries(self) -> tuple[int, ...]:
        """Which of the opening marks a call may begin with."""
        strong = tuple(index for index, mark in enumerate(self.opening) if is_strong(mark))
        return strong or ((0,) if self.opening else ())


@final
@frozen
class Thinking:
    """Marks around thinking; `label` may follow the opening one. A `kept` opening is a part of the thought."""

    opening: str
    closing: str
    label: str = ""
    kept: bool = False


@final
@frozen
class Header:
    """Messages with a header: `starts` begin one, `end` ends it and begins the body, which one of `closes` ends.

    A header that names one of `thinking` begins thinking; one with a recipient a call; another one the answer.
    """

    starts: tuple[str, ...]
    end: str
    closes: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()


@final
@frozen(kw_only=True)
class Row:
    """A family. `answer` are pairs around the answer, `dropped` marks that are no text, such as the end of a turn.

    `bare` tells that calls may be unmarked JSON or Python anywhere in the answer, not only as the whole of it.
    With `guessed`, tags that no row has may stand around calls. `signs` are texts in a template that tell the family,
    any of which is enough.
    """

    name: str
    calls: tuple[CallMarks, ...] = ()
    thinking: tuple[Thinking, ...] = ()
    answer: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    header: Header | None = None
    bare: bool = False
    guessed: bool = False
    signs: tuple[str, ...] = ()


def is_strong(mark: str) -> bool:
    """Whether a mark is one that ordinary text does not hold."""
    return len(mark) > 2 and mark != ANY and any(sign in mark for sign in "<[|｜]")


@lru_cache(maxsize=4096)
def pattern(mark: str) -> str:
    """A regular expression for a mark; where it has blanks, any up to 16 of them stand, or none."""
    if mark == ANY:
        return r"[^<>\[\]{}\s]{0,64}?"
    return r"\s{0,16}".join(map(re.escape, _RUN.split(mark)))


@lru_cache(maxsize=4096)
def head_of(marks: CallMarks, entry: int, strict: bool) -> re.Pattern[str] | None:
    """What stands between the opening mark `entry` and a call's arguments; None where there is nothing to tell it.

    The strict one looks at the beginning of the arguments too.
    """
    rest = "".join(rf"(?:\s*{pattern(mark)})?" for mark in marks.opening[entry + 1 :])
    closing = _either(marks.closing)
    if marks.syntax is Syntax.JSON:
        return re.compile(rf"{rest}\s*{_FENCE}(?=[{{\[](?!/?[A-Z_]+\]))") if strict else None
    if marks.syntax is Syntax.PYTHON and marks.code and not strict:
        return re.compile("")
    if marks.syntax is Syntax.PYTHON:
        return re.compile(rf"{rest}\s*{_FENCE}(?=\[?\s*[\w.\-]{{1,128}}\s*\()") if strict else None
    name = rf"\s*(?:{pattern(marks.prefix)})?(?P<name>{NAME}){'?' if is_strong(marks.naming) else ''}"
    ident = rf"(?:{pattern(marks.ident)}[^\[<]{{0,64}}?)?" if marks.ident else ""
    begins = (
        rf"\s*(?:{pattern(marks.key[0])}|{closing}|{_END})"
        if marks.syntax is Syntax.TAGGED
        else rf"\s*{_FENCE}(?:[{{\[\"]|{closing}|{_END})"
        if marks.naming
        else r"\s*\{"
    )
    if not strict and not marks.naming:
        return None
    naming = pattern(marks.naming) if marks.naming.strip() else r"\n" if marks.naming else ""
    return re.compile(rf"{rest}{name}{ident}\s*?{naming}" + (f"(?={begins})" if strict else ""))


def look(marks: CallMarks, entry: int, strict: bool, text: str, ended: bool) -> re.Match[str] | None:
    """The match of `head_of` at the beginning of `text`, which is the whole rest where `ended`."""
    found = head_of(marks, entry, strict)
    return found.match(text + _END if ended else text) if found is not None else None


def _either(marks: Iterable[str]) -> str:
    return "(?:" + "|".join([pattern(mark) for mark in marks if mark] or [r"(?!)"]) + ")"
