"""JSON as people write it in configuration files: with comments, trailing commas and a byte order mark."""

from __future__ import annotations

import json
import re
from typing import Any

# A text is matched first, so that what looks like a comment in it stays.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[\]}])', re.DOTALL)


def loads(text: str) -> Any:
    """Return the value.

    Raises:
        ValueError: It is not JSON; lines and columns are those of the text.
    """
    return json.loads(_TOKEN.sub(_blank, text.removeprefix("\ufeff")))


def _blank(match: re.Match[str]) -> str:
    """Return a text as it is, and spaces for anything else, so that errors name the right place."""
    found = match[0]
    return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
