"""Shows the beginning of an unexpected body in an error text, without the key. Pure."""

from __future__ import annotations

from aimu._core.secrets import hide

_READ = 2000  # bytes
_SHOWN = 300  # characters
_SHOWN_MARKUP = 160


def excerpt(body: bytes, secret: str | None = None) -> str:
    """Return the beginning of a body on one line.

    Args:
        body: The body, or its beginning.
        secret: The key, which services may repeat; it is hidden before anything is cut off.
    """
    text = body[:_READ].decode("utf8", "replace")
    if secret:
        text = hide(secret, text, cut=True)
    text = " ".join(text.split())
    if not text:
        return "an empty body"
    if text[:1] == "<":
        return "an HTML or XML page: " + text[:_SHOWN_MARKUP]
    return text[:_SHOWN]
