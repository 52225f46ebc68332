"""Hides secrets in texts that leave the program's own hands: error messages, and what a model is told."""

from __future__ import annotations

import re

SHORTEST_SECRET = 8  # shorter ones, such as the "ollama" that local servers accept as a key, are words of usual texts
_CERTAIN = 16  # a secret of this length is hidden inside a longer word too, for example in a percent-encoded URL


def hide(secret: str, text: str) -> str:
    """Return `text` with "***" for each occurrence of `secret`, unless the secret is too short to be one."""
    if len(secret) < SHORTEST_SECRET or secret not in text:
        return text
    if len(secret) >= _CERTAIN:
        return text.replace(secret, "***")
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", "***", text)
