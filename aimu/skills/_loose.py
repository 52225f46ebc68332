"""Reads `key: value` lines that are not valid YAML, but that people write and other tools accept.

The value of a key is the text up to the next key at the left edge, whatever colons, tabs and quotes it contains. No
anchor, tag or escape is resolved, so any text is safe to read, in time linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import dedent

_KEY = re.compile(r"[\"']?([^\W\d][\w.-]*)[\"']?\s*(?::(?=\s|$)|：)\s*(.*)", re.DOTALL)
_KNOWN = re.compile(r"(name|description|license|compatibility|metadata|allowed-tools):(?=\S)(.*)", re.DOTALL)
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?$")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_TABS = re.compile(r"^\t+", re.MULTILINE)


def is_key(line: str, *keys: str) -> bool:
    """Whether a line begins with `key:` (one of `keys`, when given)."""
    found = _KEY.match(line) or _KNOWN.match(line)
    return found is not None and (not keys or found[1].lower() in keys)


def extent(lines: Sequence[str], *, closed: bool) -> int:
    """Count the lines that belong to the frontmatter; the rest is the beginning of the body.

    The frontmatter ends at the first prose, or at the headings and blank lines above it. If a line '---' follows
    (`closed`), prose directly below a value is part of that value.
    """
    blank = True
    for number, line in enumerate(lines):
        prose = bool(line.strip()) and not line.startswith((" ", "\t", "#", "- ")) and not is_key(line)
        if prose and (blank or not closed):
            end = number
            while end and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
                end -= 1
            return end
        blank = not line.strip() or (blank and line.startswith("#"))
    return len(lines)


def chunks(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return each key at the left edge with its lines, without comments and what precedes the first key."""
    found: list[tuple[str, list[str]]] = []
    for line in dedent("\n".join(lines)).split("\n"):
        match = _KEY.match(line) or _KNOWN.match(line)
        if match:
            found.append((match[1], [line]))
        elif found and not line.startswith("#"):
            found[-1][1].append(line)
    return found


def without_tabs(text: str) -> str:
    """Replace each tab that indents a line by two spaces: YAML allows no tabs there."""
    return _TABS.sub(lambda tabs: "  " * len(tabs[0]), text)


def nested(lines: Sequence[str]) -> list[str] | None:
    """Return the indented `key: value` lines below a key that has no value of its own, or None."""
    if value_of(lines[0]):
        return None
    below = dedent(without_tabs("\n".join(lines[1:]))).split("\n")
    filled = [line for line in below if line.strip()]
    return below if filled and is_key(filled[0]) else None


def value_of(line: str) -> str:
    """Return the text after the colon of a key's line."""
    match = _KEY.match(line) or _KNOWN.match(line)
    return match[2].strip() if match else ""


def text_of(lines: Sequence[str]) -> str:
    """Return the value of a key as plain text, without the quotes around it."""
    first, below = value_of(lines[0]), dedent("\n".join(lines[1:])).strip()
    if _BLOCK.match(first):
        return below if first.startswith("|") else " ".join(below.split())
    text = " ".join(f"{first} {below}".split())
    closing = _QUOTES.get(text[:1])
    if closing is None:
        return text
    if len(text) > 1 and text.endswith(closing):
        return text[1:-1].replace("''", "'") if closing == "'" else text[1:-1].replace('\\"', '"')
    return text if closing in text[1:] else text[1:]  # an opening quote that nobody closed
