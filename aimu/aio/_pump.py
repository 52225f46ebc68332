"""A pump: an async task that fills a bounded channel for a reader and ends when the reader leaves.

Owns the task group, the channel and the failure of everything that is read inside `async with`: an entered stream, or
the results of `amap`. No scope is held across a yield. Those two decide what is sent and what happens to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar, final

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from aimu._core.escaping import escaping
from aimu._core.groups import single_failure
from aimu.aio._place import Subtasks
from aimu.errors import StreamClosedError

log = escaping(logging.getLogger("aimu.aio"))

T = TypeVar("T")


@final
class Pump(Generic[T]):
    """Runs `fill`, which sends items to the reader. At most `buffer` items wait in between.

    If `fill` raises, the reader gets the exception after the last item, without an ExceptionGroup around it.
    """

    def __init__(self, fill: Callable[[], Awaitable[None]], buffer: int) -> None:
        self._fill = fill
        self._group = anyio.create_task_group()
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._error: Exception | None = None
        self.left = False
        self.tasks: Subtasks | None = None  # the task of the pump and all that it starts; None before `start`
        self._send, self._receive = anyio.create_memory_object_stream[T](buffer)
        self._buffered = buffer > 0
        self._news: anyio.Event | None = None  # what readers wait for

    async def start(self) -> None:
        self.tasks = Subtasks()
        await self._group.__aenter__()
        self._group.start_soon(self._run)

    async def _run(self) -> None:
        assert self.tasks is not None
        self.tasks.join()
        try:
            with self.tasks, self._scope, self._send:
                try:
                    with single_failure(levels=0):
                        await self._fill()
                except Exception as exc:  # noqa: BLE001 - receive() raises it in the reader
                    self._error = exc
                    if self.left:
                        log.warning("a run failed in its clean-up, after its reader had left: %r", exc)
        finally:
            self._ended.set()
            self._wake()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def try_put(self, item: T) -> bool:
        """Send an item unless that needs a wait, and return whether it was sent."""
        try:
            self._send.send_nowait(item)
        except anyio.WouldBlock:
            return False
        if self._news is not None:
            self._wake()
        return True

    async def put(self, item: T) -> None:
        """Send an item, after a wait for room.

        Raises:
            anyio.ClosedResourceError: `fill` has ended.
            anyio.BrokenResourceError: The reader has left.
        """
        await self._send.send(item)
        self._wake()

    def _wake(self) -> None:
        """Wake the readers that wait; they look again."""
        if self._news is not None:
            self._news.set()
            self._news = None

    async def receive(self) -> T:
        """Return the next item; raise the exception of `fill`, or StopAsyncIteration, after the last one.

        Raises:
            StreamClosedError: `fill` itself reads, and would wait for itself.
        """
        try:
            while True:
                try:
                    return self._receive.receive_nowait()
                except anyio.WouldBlock:
                    if self._inside:
                        raise StreamClosedError(
                            "a tool or runner cannot read the chunks or results of the run that it is part of; "
                            "read them outside that run"
                        ) from None
                if not self._buffered:  # an item is sent only to a reader that waits for it there
                    return await self._receive.receive()
                # `receive` would go around the event loop once before it waits. A cancellation that is under way has to
                # come first, because the pump, cancelled too, is about to end the wait.
                news = self._news = self._news or anyio.Event()
                await checkpoint_if_cancelled()
                await news.wait()
        except anyio.EndOfStream:
            if self._error is not None:
                error, self._error = self._error, None
                raise error from error.__cause__
            raise StopAsyncIteration from None

    def ready(self) -> list[T]:
        """Return the items that are available without waiting."""
        items: list[T] = []
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                items.append(self._receive.receive_nowait())
        return items

    async def cancel(self) -> None:
        """Stop `fill` and wait until it has ended; callable from any async task.

        Called by `fill` itself, as when a tool closes the stream of its run, it returns at once, and the caller is
        cancelled at its next wait.
        """
        self._scope.cancel()
        if not self._inside:
            # Not shielded, so that two runs that stop each other cannot wait for each other: `leave` waits for the end.
            await self._ended.wait()

    @property
    def _inside(self) -> bool:
        return self.tasks is not None and self.tasks.around

    def check_leaving(self) -> None:
        """Raise StreamClosedError if this is not the async task that called `start`."""
        if self.tasks is None or not self.tasks.parent.is_current_task:
            raise StreamClosedError(
                "only the async task that entered a block of chunks or results can leave it; "
                "elsewhere, stop the run with aclose(), or cancel that task"
            )

    async def leave(self) -> None:
        """Stop `fill` and close everything; call `check_leaving` before.

        Waits for the clean-up of the run, also in a cancelled task: a task group does. `fill` cannot be what waits
        here, because it runs in another task.
        """
        self.left = True
        self._scope.cancel()
        try:
            with single_failure(levels=1):  # unwraps this group, not a group that `fill` raised
                # The task group does not get the exception of the reader's block, because it would wrap it.
                await self._group.__aexit__(None, None, None)
        finally:
            self._receive.close()  # after the producers have ended, because sending to a closed channel raises in them
