"""Keeps secrets out of the logs of the libraries that send requests: they show URLs, and headers of responses.

Hides in those logs only what the library was given, and only while someone holds it.
"""

from __future__ import annotations

import logging
from weakref import WeakSet

from aimu._core.escaping import traceback_text
from aimu._core.forks import FreshLock
from aimu._core.secrets import Secrets

_LOGGERS = ("httpcore2.http11", "httpx2", "mcp.client.sse", "mcp.client.streamable_http")
_given: WeakSet[Secrets] = WeakSet()
_adding = FreshLock()


def keep_out_of_logs(secrets: Secrets) -> None:
    """Hide these in the logs of httpx2, of httpcore2 and of the transports of mcp, until they are garbage-collected."""
    if not secrets:
        return
    with _adding.lock:
        _given.add(secrets)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide)  # a logger takes the same filter only once


def _hide(record: logging.LogRecord) -> bool:
    with _adding.lock:
        given = list(_given)
    record.msg, record.args = _hidden(record.getMessage(), given), ()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not record.exc_text:
        record.exc_text = _hidden(traceback_text(error), given)  # a formatter prefers it
    return True


def _hidden(text: str, given: list[Secrets]) -> str:
    for secrets in given:
        text = secrets.hide(text)
    return text
