"""Half surrogates: parts of a character, which JSON can express and UTF-8 cannot."""

from __future__ import annotations


def whole(text: str) -> str:
    """Return the text with a replacement for each half surrogate; two that belong together become their character."""
    return _joined(text, "replace")


def paired(text: str) -> str:
    """Return the text as JSON gives it back: two halves that belong together become their character."""
    return _joined(text, "surrogatepass")


def _joined(text: str, lone: str) -> str:
    """Join halves that belong together; `lone` says how UTF-16 is decoded where there is one only."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", lone)
    return text
