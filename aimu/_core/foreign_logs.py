"""Keeps secrets out of the logs of the libraries that send requests: they show URLs, and headers of responses.

Hides in those logs only what the library was given, and only while someone holds it. Filters other logs for a block.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from weakref import ref

from aimu._core.escaping import traceback_text
from aimu._core.secrets import Secrets

_LOGGERS = ("httpcore2.http11", "httpx2", "mcp.client.sse", "mcp.client.streamable_http")
# Without a lock, which a signal handler or finalizer that logs would wait for: changing and copying this is atomic.
_given: set[ref[Secrets]] = set()


def keep_out_of_logs(secrets: Secrets) -> None:
    """Hide these in the logs of httpx2, of httpcore2 and of the transports of mcp, until they are garbage-collected."""
    if not secrets:
        return
    _given.add(ref(secrets, _given.discard))
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide)  # a logger takes the same filter only once


@contextmanager
def filtered(name: str, matters: Callable[[logging.LogRecord], bool]) -> Generator[None]:
    """Let a logger log only what matters, until the block ends."""
    logging.getLogger(name).addFilter(matters)
    try:
        yield
    finally:
        logging.getLogger(name).removeFilter(matters)


def _hide(record: logging.LogRecord) -> bool:
    given = [secrets for one in tuple(_given) if (secrets := one()) is not None]
    text = record.getMessage()
    if (shown := _hidden(text, given)) != text:
        record.msg, record.args = shown, ()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not record.exc_text:
        record.exc_text = _hidden(traceback_text(error), given)  # a formatter prefers it
    return True


def _hidden(text: str, given: list[Secrets]) -> str:
    for secrets in given:
        text = secrets.hide(text)
    return text
