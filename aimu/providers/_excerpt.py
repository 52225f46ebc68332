"""Shows the beginning of an unexpected body in an error text, without the key. Pure."""

from __future__ import annotations

from aimu._core.secrets import Secrets

_READ = 2000  # bytes
_SHOWN = 300  # characters
_SHOWN_MARKUP = 160


def excerpt(body: bytes, secrets: Secrets | None = None) -> str:
    """Return the beginning of a body on one line.

    Args:
        body: The body, or its beginning.
        secrets: The key and the like, which services may repeat; hidden before anything is cut off.
    """
    text = body[:_READ].decode("utf8", "replace")
    if secrets:
        text = secrets.hide(text, cut=True)
    text = " ".join(text.split())
    if not text:
        return "an empty body"
    if text[:1] == "<":
        return "an HTML or XML page: " + text[:_SHOWN_MARKUP]
    return text[:_SHOWN]
