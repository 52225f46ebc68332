"""Rendered text in pieces that belong together, so that what two texts have in common does not end within a mark."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\s+|<[^<>]*>?|\[/?[A-Z_ ]+\]|[^\s<\[>]*>|[^\s<\[>]+|\[")
_BETWEEN = re.compile(r"(?<=[>\]])\s+(?=[<\[\]])|(?<=>)(?=<)|(?<=[A-Z]\])(?=\[[A-Z])")


def tokens(text: str, terminator: str = "") -> list[str]:
    """Tags, words and blanks; with a `terminator`, the tag that ends each mark, all up to it is one."""
    found = _TOKEN.findall(text)
    if not terminator:
        return found
    joined = [""]
    for token in found:
        joined[-1] += token
        if token == terminator:
            joined.append("")
    return [token for token in joined if token]


def common_prefix(first: str, second: str, terminator: str = "") -> str:
    common = []
    for one, other in zip(tokens(first, terminator), tokens(second, terminator), strict=False):
        if one != other:
            break
        common.append(one)
    return "".join(common)


def common_suffix(first: str, second: str, terminator: str = "") -> str:
    common: list[str] = []
    for one, other in zip(reversed(tokens(first, terminator)), reversed(tokens(second, terminator)), strict=False):
        if one != other:
            break
        common.append(one)
    return "".join(reversed(common))


def split_marks(text: str, terminator: str = "") -> list[str]:
    """The marks in a text that is nothing but marks."""
    if terminator:
        return [mark.strip() for mark in tokens(text, terminator) if mark.strip()]
    return [mark for mark in _BETWEEN.split(text.strip()) if mark]
