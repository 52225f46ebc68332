"""Escapes what a model or a service wrote before it reaches a log.

A raw escape sequence controls the terminal, and a line break begins what looks like a line of the program's own log.
The loggers of the library escape all texts and exceptions that they are given, so that no caller needs to.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any, final


def printable(text: str, keep: str = "") -> str:
    """Return the text with all characters escaped that are not printable, also line breaks; those in `keep` stay."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def escaping(logger: logging.Logger) -> logging.Logger:
    """Make a logger escape its arguments and the texts of logged exceptions; return the logger."""
    logger.addFilter(_escape)  # a logger takes the same filter only once
    return logger


def _escape(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(map(_escaped, record.args))
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.exc_text = traceback_text(error)  # a formatter prefers it
    return True


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    return value if value is None or isinstance(value, int | float) else _Shown(value)


@final
class _Shown:
    """An argument of a log record, shown as before, but escaped."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return printable(str(self.value))

    def __repr__(self) -> str:
        return printable(repr(self.value))


def traceback_text(error: BaseException) -> str:
    """Return the traceback with the messages and notes of all exceptions in it escaped."""
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    for written in _written(error):
        text = text.replace(written, printable(written))
    return printable(text, keep="\n\t")


def _written(error: BaseException) -> Iterator[str]:
    """Yield what may span several lines: the messages and notes of an exception, its causes and its group."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from (text for text in (str(one), *getattr(one, "__notes__", ())) if not text.isprintable())
        left += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
