r"""Rewrites regular expressions so that llguidance allows what Python's `re` and pydantic accept, or less.

llguidance reads the syntax of Rust's crate `regex`, but knows `\w` and `\d` for ASCII only, so that `\W` allows letters
with accents. Where it writes a class as JSON, one with control characters also allows `\"` and `\\`, even if they are
not in the class (seen in 1.9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_PIECE = re.compile(r"\\[pP](?:\{[^}]*\}|.)|\\.|\[\^?\]?|.", re.DOTALL)
_FLAGS = re.compile(r"\(\?([a-z]+)\)")
_WORD = r"\p{Alphabetic}\p{M}\p{N}\p{Pc}\p{Join_Control}"
_INSIDE = {r"\W": f"[^{_WORD}]", r"\D": r"\P{Nd}"}
_EXCLUDED = {r"\w": _WORD, r"\d": r"\p{Nd}"}
_ODD = re.compile(r"\\[pPxuU]|[\x00-\x1f]")
_NO_CONTROLS = r"[^\x00-\x08\x0B\x0C\x0E-\x1F]"


def exact(pattern: str) -> str:
    r"""Return a pattern whose `\W`, `\D` and `[^\w]` are those of Unicode; its `\w` and `\d` stay those of ASCII."""
    return _rewritten(pattern, lambda piece: _INSIDE.get(piece, piece), _exact_class)


def in_json(pattern: str) -> str:
    """Return a pattern for texts that are written as JSON: `exact`, without control characters but blanks."""

    def without_controls(piece: str) -> str:
        return f"[{piece}&&{_NO_CONTROLS}]" if piece.startswith("[^") or _ODD.search(piece) else piece

    return _rewritten(
        exact(pattern),
        lambda piece: without_controls(piece) if piece[:2] in (r"\p", r"\P") else piece,
        without_controls,
    )


def whole(pattern: str) -> str:
    """Return a pattern for whole texts in which a pattern is found."""
    flags = _FLAGS.match(pattern)
    inner = "|".join(map(_whole, _alternatives(pattern[flags.end() :] if flags else pattern)))
    return f"(?{flags[1]}:{inner})" if flags else inner


def within_slashes(pattern: str) -> str:
    """Return a pattern to stand between slashes in a grammar in Lark."""
    return re.sub(r"(?s)\\.|[/\n]", lambda found: {"/": r"\/", "\n": r"\n"}.get(found[0], found[0]), pattern)


def literal(text: str) -> str:
    """Return a pattern for a text, also to stand between slashes."""
    return "".join(each if each.isascii() and each.isalnum() else f"\\x{{{ord(each):X}}}" for each in text)


def _whole(pattern: str) -> str:
    pieces = list(_pieces(pattern))
    begins, ends = pieces[:1] == ["^"], pieces[-1:] == ["$"]
    inner = "".join(pieces[begins : len(pieces) - ends])
    return f"{'' if begins else '(?s:.*)'}({inner}){'' if ends else '(?s:.*)'}"


def _alternatives(pattern: str) -> list[str]:
    found, depth = [""], 0
    for piece in _pieces(pattern):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += piece
    return found


def _rewritten(pattern: str, outside: Callable[[str], str], of_class: Callable[[str], str]) -> str:
    return "".join(of_class(piece) if piece[0] == "[" else outside(piece) for piece in _pieces(pattern))


def _pieces(pattern: str) -> Iterator[str]:
    """Yield escapes, whole classes, and single characters."""
    at = 0
    while found := _PIECE.match(pattern, at):
        end = found.end()
        if found[0][0] == "[":
            depth = 1
            while depth and (inner := _PIECE.match(pattern, end)):
                depth += {"[": 1, "]": -1}.get(inner[0][0], 0)
                end = inner.end()
        yield pattern[at:end]
        at = end


def _exact_class(piece: str) -> str:
    words = _EXCLUDED if piece.startswith("[^") else _INSIDE
    parts = (found[0] for found in _PIECE.finditer(piece[1:]))
    return "[" + "".join(words.get(part, part) for part in parts)
