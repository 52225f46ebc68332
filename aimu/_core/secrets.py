"""Hides secrets in texts that leave the program's own hands: error messages, and what a model is told."""

from __future__ import annotations

import re

SHORTEST_SECRET = 8  # shorter ones, such as the "ollama" that local servers accept as a key, are words of usual texts
_CERTAIN = 16  # a secret of this length is hidden inside a longer word too, for example in a percent-encoded URL
_HIDDEN = "***"


def hide(secret: str, text: str, *, cut: bool = False) -> str:
    """Return `text` with "***" for each occurrence of `secret`, unless the secret is too short to be one.

    Of a long secret, its beginning is hidden too, since what repeats it may be cut off.

    Args:
        secret: The secret.
        text: The text.
        cut: Whether the text may end inside the secret: then a shorter beginning of it at the end is hidden as well.
    """
    if len(secret) < SHORTEST_SECRET:
        return text
    if len(secret) >= _CERTAIN:
        text = _hide_beginnings(secret, text)
    elif secret in text:
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", _HIDDEN, text)
    if cut:
        for size in range(min(len(secret), len(text) + 1) - 1, SHORTEST_SECRET - 1, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + _HIDDEN
    return text


def _hide_beginnings(secret: str, text: str) -> str:
    """Hide the secret, and each beginning of it that has at least `_CERTAIN` characters."""
    beginning = secret[:_CERTAIN]
    shown: list[str] = []
    done = 0
    while (at := text.find(beginning, done)) >= 0:
        shown += (text[done:at], _HIDDEN)
        done = at + _CERTAIN
        while done - at < len(secret) and text[done : done + 1] == secret[done - at]:
            done += 1
    return "".join((*shown, text[done:]))
