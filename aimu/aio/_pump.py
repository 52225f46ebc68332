"""A task beside its reader: it fills a bounded channel, and ends when the reader leaves.

Owns the task group, the channel and the failure of whatever is read inside `async with`: an entered stream, a map. No
scope is held across a yield. What is sent, and what becomes of it, is the business of those two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar, final

import anyio

from aimu._core.groups import single_failure

T = TypeVar("T")


@final
class Pump(Generic[T]):
    """Runs `fill`, which sends; the reader receives. At most `buffer` items wait between them.

    An exception of `fill` is raised by the reader's step behind the last item, plain.
    """

    def __init__(self, fill: Callable[[], Awaitable[None]], buffer: int) -> None:
        self._fill = fill
        self._group = anyio.create_task_group()
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._error: Exception | None = None
        self.left = False
        self.send, self._receive = anyio.create_memory_object_stream[T](buffer)

    async def start(self) -> None:
        await self._group.__aenter__()
        self._group.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self._scope, self.send:
                try:
                    await self._fill()
                except Exception as exc:  # noqa: BLE001 - the reader's next step raises it, plain
                    self._error = exc
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    async def receive(self) -> T:
        """The next item. Raises StopAsyncIteration at the end."""
        try:
            try:
                return self._receive.receive_nowait()
            except anyio.WouldBlock:
                return await self._receive.receive()
        except anyio.EndOfStream:
            if self._error is not None:
                error, self._error = self._error, None
                raise error from error.__cause__
            raise StopAsyncIteration from None

    def ready(self) -> list[T]:
        """The items that need no waiting."""
        items: list[T] = []
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                items.append(self._receive.receive_nowait())
        return items

    async def cancel(self) -> None:
        """Stop `fill` and wait for its end, from any task."""
        self._scope.cancel()
        with anyio.CancelScope(shield=True):  # it ends as soon as its provider lets go
            await self._ended.wait()

    async def leave(self) -> None:
        """Stop `fill` and close everything, in the task that started it."""
        self.left = True
        self._scope.cancel()
        try:
            with single_failure(levels=1):  # this group, not one that was raised inside
                # The exception of the reader's block is not shown to the task group, which would wrap it.
                await self._group.__aexit__(None, None, None)
        finally:
            self._receive.close()  # after the producers: a send into a closed channel would be an error of theirs
