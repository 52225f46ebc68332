"""Streams read from sync code: an iterator and a context manager over an async one.

A run goes on during the reader's steps only; inside a running loop (a notebook), while it is entered, also between
them, as far as the buffer allows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, final

import anyio

from aimu._core.chunks import StreamChunk
from aimu._sync import bridge
from aimu._sync.twin import Facade, sync_of
from aimu.aio._stream import Stream as AsyncStream

if TYPE_CHECKING:
    from aimu._sync.stream import Stream

T = TypeVar("T")


def perform(pending: Coroutine[Any, Any, T] | AsyncStream) -> T | Stream:
    """What a run of the async surface is on this one: its result, or its stream."""
    if isinstance(pending, AsyncStream):
        stream: Stream = sync_of(pending)
        return stream
    return bridge.run(pending)


class Reader(Facade, Generic[T]):
    """An async iterator that is also a context manager, as sync ones; on the loop where it was begun."""

    def _hold(self, aio: Any) -> None:
        super()._hold(aio)
        self._level: bridge.Level | None = None
        self._taken: deque[T] = deque()
        self._holder: _Holder | None = None

    def __iter__(self) -> Self:
        self.__aio__.__aiter__()
        return self

    def __next__(self) -> T:
        if not self._taken:
            try:
                self._taken.extend(self._run(self._take()))
            except StopAsyncIteration:
                raise StopIteration from None
        return self._taken.popleft()

    async def _take(self) -> list[T]:
        return [await anext(self.__aio__)]

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._taken.clear()  # of a reader that leaves or closes; whoever reads on has taken everything
        if self._level is None:
            self._level = bridge.here()
        return self._level.run(coroutine)

    def __enter__(self) -> Self:
        try:
            self._run(self._enter())
        except BaseException:  # Ctrl-C may come when it is entered already
            if self._holder is not None:
                self._run(self._holder.leave())
            raise
        return self

    async def _enter(self) -> None:
        self._holder = _Holder(self.__aio__)
        await self._holder.enter()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._holder is not None
        self._run(self._holder.leave())


@final
class _Holder:
    """Holds a block open: a task group is left by the task that entered it, and each call is a task of its own."""

    def __init__(self, block: AbstractAsyncContextManager[Any]) -> None:
        self._block = block
        self._entered, self._leaving, self._left = anyio.Event(), anyio.Event(), anyio.Event()
        self._failure: Exception | None = None
        self._task: object = None

    async def enter(self) -> None:
        self._task = bridge.spawn(self._hold())
        await self._entered.wait()
        self._check()

    async def _hold(self) -> None:
        try:
            async with self._block:
                self._entered.set()
                await self._leaving.wait()
        except Exception as exc:  # noqa: BLE001 - raised by whoever enters or leaves
            self._failure = exc
        finally:
            self._entered.set()
            self._left.set()

    async def leave(self) -> None:
        self._leaving.set()
        await self._left.wait()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


class StreamReader(Reader[StreamChunk]):
    """A stream of a run; a dropped one is closed at once."""

    @abstractmethod
    def close(self) -> None: ...

    def __next__(self) -> StreamChunk:
        try:
            return super().__next__()
        except KeyboardInterrupt:  # it may have come between two pieces, where nothing was cancelled
            self.close()
            raise

    async def _take(self) -> list[StreamChunk]:
        return [await anext(self.__aio__), *self.__aio__._ready()]

    def __del__(self) -> None:
        # The loop stands still between steps: without this a dropped stream goes on until the next call.
        level = getattr(self, "_level", None)
        if level is not None and level.free and self._holder is None:
            self.close()
