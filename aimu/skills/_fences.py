"""Where the frontmatter of a SKILL.md begins and ends: text in, two lists of lines out.

Knows the `---` lines and the ways in which people get them wrong. `aimu.skills._frontmatter` reads the lines between
them. Each deviation is passed to `note`, which raises an error in strict mode.
"""

from __future__ import annotations

import re
from typing import Protocol

from aimu.skills._loose import extent, is_key

MUST_BEGIN = "must begin with a line '---', then YAML, then another line '---'"
NO_END = "has no second line '---' to end the frontmatter"

_OPEN = re.compile(r"\s*---")
_CLOSE = re.compile(r"(-{3,}|\.\.\.)\s*$|---\s")  # also pandoc's dots, longer rules, and text after the dashes
_INDENTED_CLOSE = re.compile(r"\s+---\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_WINDOW = 60  # a frontmatter that does not come first must have a name or a description within this many lines


class Note(Protocol):
    """Called for each deviation from the format, with what is wrong (a clause about the file) and how to correct it.

    In strict mode it raises SkillError, unless the deviation is `harmless`.
    """

    def __call__(self, problem: str, remedy: str, *, harmless: bool = False) -> None: ...


def split_lines(text: str, note: Note) -> tuple[list[str] | None, list[str]]:
    """Return the lines of the frontmatter (None if there is none) and those of the body."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[0].rstrip() != "---":
        note(MUST_BEGIN, "move the frontmatter to the top of the file, between two lines '---'")
    start, fenced = _start(lines)
    if start is None:
        return None, lines
    opening = lines[start]
    if _OPEN.match(opening):
        rest = opening.strip().lstrip("-")
        lines = [*([rest] if rest.strip() else []), *lines[start + 1 :]]
    else:
        lines = lines[start:]  # the first key, without a line of dashes before it
    source, body = _at_end(lines, note, fenced=fenced)
    last = next((n for n in reversed(range(len(body))) if body[n].strip()), None)
    if fenced and last is not None and _FENCE.match(body[last]):
        body = body[:last]
    return source, body


def _start(lines: list[str]) -> tuple[int | None, bool]:
    """Find the line that opens the frontmatter, and whether a Markdown code fence surrounds it."""
    fenced = comment = False
    for number, line in enumerate(lines):
        bare = line.strip()
        if comment or bare.startswith("<!--"):
            comment = "-->" not in bare
        elif _FENCE.match(line):
            fenced = True
        elif _OPEN.match(line):
            told = number == 0 or any(is_key(below, "name", "description") for below in lines[number + 1 :][:_WINDOW])
            return (number if told else None), fenced
        elif is_key(line, "name", "description"):
            return number, fenced
        elif bare and not bare.startswith("#"):
            return None, fenced
    return None, fenced


def _at_end(lines: list[str], note: Note, *, fenced: bool) -> tuple[list[str], list[str]]:
    exact = next((number for number, line in enumerate(lines) if line.rstrip() == "---"), None)
    end = next((number for number, line in enumerate(lines) if _CLOSE.match(line)), None)
    if exact is None:
        note(NO_END, "write a line '---' between the frontmatter and the instructions")
    elif end != exact:
        note(f"ends its frontmatter with the line {lines[end or 0][:40]!r}", "write a line '---' there")
    if end is None:
        likely = (n for n, line in enumerate(lines) if _INDENTED_CLOSE.match(line) or (fenced and _FENCE.match(line)))
        end = next(likely, None)
    if end is None:
        end = extent(lines, closed=False)
        return lines[:end], lines[end:]
    behind = lines[end].strip().lstrip("-.`~").strip()
    return lines[:end], [*([behind] if behind else []), *lines[end + 1 :]]
