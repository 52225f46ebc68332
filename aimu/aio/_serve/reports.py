"""The progress and log records of a tool, sent to the client in the order in which they are made.

A tool reports without waiting, from any thread; one async task sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, final

import anyio

from aimu._core.slots import loop_caller
from aimu._core.surrogates import whole
from aimu.tools._current import Level

MOST_UNSENT = 1000  # of one call; beyond that the oldest are dropped, since the client reads too slowly


@final
class Reports:
    """The reports of one call.

    Args:
        context: The `fastmcp.Context` of the call.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._unsent: deque[Callable[[], Awaitable[object]]] = deque(maxlen=MOST_UNSENT)
        self._schedule = loop_caller()
        self._news = anyio.Event()
        self._closed = False

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Queue a report of progress; the client gets it if its request asked for progress."""
        text = None if message is None else whole(message)
        self._queue(partial(self._context.report_progress, done, total, text))

    def log(self, level: Level, text: str) -> None:
        """Queue a log record."""
        self._queue(partial(_send_record, self._context, level, whole(text)))

    async def send(self) -> None:
        """Send what is queued until `close`."""
        while True:
            self._news = anyio.Event()
            while self._unsent:
                await self._unsent.popleft()()
            if self._closed:
                return
            await self._news.wait()

    def close(self) -> None:
        """Let `send` return when it has sent everything."""
        self._closed = True
        self._news.set()

    def _queue(self, send: Callable[[], Awaitable[object]]) -> None:
        if self._closed:
            return
        self._unsent.append(send)
        with suppress(RuntimeError):  # the loop has ended
            self._schedule(self._tell)

    def _tell(self) -> None:
        self._news.set()


async def _send_record(context: Any, level: Level, text: str) -> None:
    """Send a log record, if the client wants records of this level.

    `Context.log` would do it, but the SDK warns whoever runs the server that the protocol of 2026-07-28 deprecates
    logging. The function beneath the warning is called, and FastMCP's own note of the level is read.
    """
    from fastmcp.server.context import _MCP_LEVEL_SEVERITY, _get_client_log_level

    session = context.session
    least = _get_client_log_level(session)
    if least is not None and _MCP_LEVEL_SEVERITY[level] < _MCP_LEVEL_SEVERITY[least]:
        return
    send = type(session).send_log_message
    await getattr(send, "__wrapped__", send)(
        session, level=level, data=text, related_request_id=context.origin_request_id
    )
