"""Calls between marks that nobody has described: tags before JSON, Python or a name, where the name is an offered one.

Used only where neither the table nor the template tells the marks. Looks at the beginning of such a call; the reader
takes it.
"""

from __future__ import annotations

import re
from typing import final

from attrs import frozen

from aimu.engines._formats.values import Tools, plain_name

MOST = 256
"""How many characters may be looked at."""
_TAG = r"<[^<>\s][^<>\n]{0,60}>"
_TAGS = re.compile(rf"(?:{_TAG}\s{{0,8}})+")
_UNFINISHED = re.compile(r"<(?:[^<>\s][^<>\n]{0,60})?")
_TAGGED = rf"\s{{0,8}}(?:{_TAG}\s{{0,8}})*"
_NAME = re.compile(rf"([\w.\-]{{1,64}}(?::\d+)?){_TAGGED}(?:```\w{{0,8}}\s{{0,8}})?(?=\{{)")
_MAYBE_NAME = re.compile(rf"[\w.\-]{{0,64}}(?::\d*)?{_TAGGED}(?:<[^<>\n]{{0,61}}|`{{0,3}}\w{{0,8}}\s{{0,8}})?")
_WORD = re.compile(r"[\w.\-]+")
_CLOSING = re.compile(r"\s{0,8}(<(?:/[^<>\n]{1,60}|[^<>\n]{0,60}(?:end|END|suffix|close)[^<>\n]{0,20})>)")


@final
@frozen
class Guess:
    """`end` is where the call's own text begins; `name` is "" where it stands in that text."""

    end: int
    name: str


def guess(ahead: str, final: bool, tools: Tools) -> Guess | bool | None:
    """What begins with a tag: a call whose name stands apart, tags before what may be a call, or text.

    None while more may matter. A Guess without a name says where to look on.
    """
    tags = _TAGS.match(ahead)
    rest = ahead[tags.end() :] if tags else ahead
    if not tags or (rest[:1] == "<" and not final):
        return None if not final and _UNFINISHED.fullmatch(rest) else False
    if not rest:
        return None if not final else False
    if rest[0] in "{[":
        return Guess(tags.end(), "")
    word = _WORD.match(rest)
    if word is None or not any(
        f"{before}{name}".startswith(word[0]) for name in tools for before in ("", "functions.")
    ):
        return False
    named = _NAME.match(rest)
    if named:
        name = plain_name(named[1], tools)
        return Guess(tags.end() + named.end(), name) if name in tools else False
    return None if not final and _MAYBE_NAME.fullmatch(rest) else False


def closing(ahead: str) -> int:
    """The length of a tag that may close such a call."""
    found = _CLOSING.match(ahead)
    return found.end() if found else 0
