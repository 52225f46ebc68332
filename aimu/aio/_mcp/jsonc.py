"""JSON as people write it in configuration files: with comments, trailing commas and a byte order mark."""

from __future__ import annotations

import re
from typing import Any

from aimu._core.json_text import read_json

_TEXT = r'"(?:[^"\\]|\\.)*(?:\\?\Z|")'
_COMMENT = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
# A text is matched first, so that what looks like a comment in it stays. What has no end goes on to that of the file.
_TOKEN = re.compile(rf"{_TEXT}|{_COMMENT}|,(?=(?:\s|{_COMMENT})*[\]}}])", re.DOTALL)


def loads(text: str) -> Any:
    """Return the value.

    Raises:
        ValueError: It is not JSON; lines and columns are those of the text.
    """
    return read_json(_TOKEN.sub(_blank, text.removeprefix("\ufeff")))


def _blank(match: re.Match[str]) -> str:
    """Return a text as it is, and spaces for anything else, so that errors name the right place."""
    found = match[0]
    return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
