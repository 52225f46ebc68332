"""What is shown of an unexpected body, without the key, and of an exception in an error text. Pure."""

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


def words_of(exc: BaseException) -> str:
    """Return the text of an exception, or of the nearest cause that has one; on trio, those of TLS have none."""
    told: BaseException | None = exc
    while told is not None and not str(told):
        told = told.__cause__ or told.__context__  # httpcore2 hides the cause
    return "" if told is None else str(told)
