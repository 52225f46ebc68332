"""Suggestions for error texts: the known name that a misspelt one is nearest to."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 100  # characters that are compared: the comparison is quadratic, and no name is longer
_SHORTEST = 4  # characters of a name that counts as resembling another because it is a part of it


def nearest(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return up to `most` of the known names that resemble `word`, in any case, the most similar first."""
    names = {name.lower(): name for name in reversed(list(known))}
    word = word[:_LONGEST].lower()
    found = get_close_matches(word, names, most)
    if not found and len(word) >= _SHORTEST:
        within = [name for name in names if len(name) >= _SHORTEST and (name in word or word in name)]
        found = sorted(within, key=lambda name: abs(len(name) - len(word)))[:most]
    return [names[name] for name in found]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return the part of an error text that suggests the known name nearest to `word`; empty if none resembles it."""
    found = nearest(str(word), known)
    return f"; did you mean {found[0]!r}?" if found else ""
