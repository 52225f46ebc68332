"""The catalog of skills for a system message, and the search in it.

The catalog has a maximum size. To keep to it, descriptions are shortened, then left out, then names too; `search` finds
the rest. Descriptions are other people's text: each is put on one line, and cannot close the tag around the catalog.

In a system message the catalog is in a tag with the digest of its content. A block is only replaced or removed if its
digest is right, so that it was written here and not changed since. Everything else is the user's text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from math import log
from unicodedata import normalize

from aimu.skills._rules import shortened
from aimu.skills._skill import Skill

_NAME = "available_skills"
_OPEN = re.compile(rf'<{_NAME} digest="([0-9a-f]{{16}})">\n')
_CLOSE = f"\n</{_NAME}>"
_GAP = "\n\n"  # between the user's text and the catalog

_HOW_TO = (
    "You have skills: instructions for particular kinds of task, loaded on demand. When the task fits one of the "
    "descriptions below, call activate_skill with its name before you begin, and follow what it returns. Files that "
    "a skill mentions are listed by list_skill_files and read by read_skill_file."
)
_SEARCH_TO = (
    "This list of {count} skills is shortened. Call search_skills with words of the task to find more of them, and to "
    "read their whole descriptions."
)
_WIDEST, _NARROWEST = 200, 16  # characters of a shortened description; with less room, only names are listed
_TAG = re.compile(rf"<(?=/?{_NAME})", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def one_line(text: str) -> str:
    """Put a text on one line, without control characters."""
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return _TAG.sub("‹", words)


def write(skills: Collection[Skill], limit: int) -> tuple[str, bool]:
    """Return the catalog, and whether it is shortened to keep to `limit` characters; the instructions always stay."""
    if not skills:
        return "", False
    whole = _text(_HOW_TO, (f"- {one_line(skill.name)}: {one_line(skill.description)}" for skill in skills))
    if len(whole) <= limit:
        return whole, False
    how_to = f"{_HOW_TO} {_SEARCH_TO.format(count=len(skills))}"
    names = [f"- {one_line(skill.name)}" for skill in skills]
    room = limit - len(how_to) - 1
    width = (room - sum(len(name) + 3 for name in names)) // len(names)
    if width >= _NARROWEST:
        short = (shortened(one_line(skill.description), min(width, _WIDEST)) for skill in skills)
        return _text(how_to, (f"{name}: {text}" for name, text in zip(names, short, strict=True))), True
    return _text(how_to, _fitting(names, room)), True


def placed(system: str, catalog: str) -> str:
    """Put the catalog into a system message, in place of an earlier one or at the end; an empty one removes it."""
    block = f'<{_NAME} digest="{_digest(catalog)}">\n{catalog}{_CLOSE}' if catalog else ""
    parts: list[str] = []
    done = 0
    for start, end in _earlier(system):
        before = system[done:start]
        parts.append(before + block if block else before.removesuffix(_GAP))
        block, done = "", end
    if not done and block:
        return f"{system}{_GAP}{block}" if system else block
    return "".join(parts) + system[done:]


def search(skills: Iterable[Skill], query: str, limit: int) -> list[Skill]:
    """Return the skills that share words with the query, best first.

    A word counts more if few skills have it, three times in a name, and half if it only matches the beginning of a word
    (in scripts without spaces, any part of it).
    """
    wanted = dict.fromkeys(_words(query))  # in order, so that sums are the same each time
    known = [(skill, set(_words(skill.name)), set(_words(skill.description))) for skill in skills]
    scores = [0.0] * len(known)
    for word in wanted:
        found = [3 * _match(word, name) + _match(word, description) for _, name, description in known]
        holders = sum(score > 0 for score in found)
        if holders:
            weight = log(1 + len(known) / holders)
            scores = [score + weight * more for score, more in zip(scores, found, strict=True)]
    ranked = sorted(zip(scores, known, strict=True), key=lambda pair: (-pair[0], pair[1][0].name))
    return [entry[0] for score, entry in ranked if score > 0][:limit]


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _earlier(system: str) -> Iterator[tuple[int, int]]:
    """Find the catalogs that `placed` wrote; none has an opening tag inside."""
    openings = list(_OPEN.finditer(system))
    ends = [*(opening.start() for opening in openings), len(system)][1:]
    for opening, behind in zip(openings, ends, strict=True):
        end = system.find(_CLOSE, opening.end(), behind)
        if end >= 0 and _digest(system[opening.end() : end]) == opening[1]:
            yield opening.start(), end + len(_CLOSE)


def _text(how_to: str, lines: Iterable[str]) -> str:
    return "\n".join([how_to, "", *lines])


def _fitting(lines: Sequence[str], limit: int) -> list[str]:
    """Return the lines that fit, and one that says how many are left out."""
    if sum(len(line) + 1 for line in lines) <= limit:
        return list(lines)
    used = len(f"- … and {len(lines)} more\n")
    kept: list[str] = []
    for line in lines:
        used += len(line) + 1
        if used > limit:
            break
        kept.append(line)
    return [*kept, f"- … and {len(lines) - len(kept)} more"]


def _words(text: str) -> list[str]:
    return _WORD.findall(normalize("NFKC", text).casefold().replace("_", " "))


def _match(word: str, words: set[str]) -> float:
    if word in words:
        return 1.0
    if len(word) >= 3 and any(
        other.startswith(word) or (len(other) >= 4 and word.startswith(other)) for other in words
    ):
        return 0.5
    if not word.isascii() and any(word in other or (len(other) > 1 and other in word) for other in words):
        return 0.5
    return 0.0
