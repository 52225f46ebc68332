"""Streams for sync code: an iterator and a context manager over an async one.

A run progresses only during the reader's steps. Inside a running loop (a notebook), an entered stream also progresses
between the steps, as far as its buffer allows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, final

import anyio

from aimu._core.chunks import StreamChunk
from aimu._core.processes import stays_in_its_process
from aimu._sync import bridge
from aimu._sync.dropped import Loop, Remains
from aimu._sync.signals import uninterrupted
from aimu._sync.twin import Facade, sync_of
from aimu.aio._place import Subtasks
from aimu.aio._stream import Stream as AsyncStream
from aimu.errors import StreamClosedError

if TYPE_CHECKING:
    from aimu._sync.stream import Stream

T = TypeVar("T")


def perform(pending: Coroutine[Any, Any, T] | AsyncStream) -> T | Stream:
    """Return the result of a run of the async surface, or the sync twin of its stream."""
    if isinstance(pending, AsyncStream):
        stream: Stream = sync_of(pending)
        return stream
    return bridge.run(pending)


@stays_in_its_process("a stream", "read it, and send its answer")
class Reader(Facade, Generic[T]):
    """A sync iterator and context manager over an async one; all its steps run on the loop where it began."""

    if not TYPE_CHECKING:
        __setattr__ = object.__setattr__  # unlike other facades, it has no settings that could be misspelt

    def _hold(self, aio: Any) -> None:
        super()._hold(aio)
        self._loop: Loop | None = None
        self._taken: deque[T] = deque()
        self._holder: _Holder | None = None
        self._remains: Remains | None = None  # while the stream has to be closed or its block to be left

    def __iter__(self) -> Self:
        self.__aio__.__aiter__()
        return self

    def __next__(self) -> T:
        if not self._taken:
            try:
                self._taken.extend(self._step(self._take()))
            except StopAsyncIteration:
                raise StopIteration from None
        return self._taken.popleft()

    async def _take(self) -> list[T]:
        return [await anext(self.__aio__)]

    async def _finish(self) -> None:
        """Leave the block or close the stream, in its loop."""
        if self._remains is not None:
            await self._remains.finish()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine that leaves or closes, unless the end of the loop has already done so."""
        closed = False
        try:
            if self._loop is not None and self._loop.closed:
                coroutine.close()
            else:
                self._step(coroutine)
            closed = self._holder is None
        finally:
            if closed or (self._holder is not None and self._holder.left):
                self._remains = None

    def _step(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._taken.clear()  # drops what remains when a reader leaves or closes; before a read it is empty
        if self._loop is None:
            loop = bridge.here(coroutine)
            loop.streams.add(self)
            self._remains = Remains(self, loop, getattr(self.__aio__, "aclose", None))
            self._loop = loop
        return self._loop.run(coroutine)

    def __enter__(self) -> Self:
        before = self._holder
        try:
            self._step(self._enter())
        except BaseException:  # Ctrl-C may come after the block was entered
            if self._holder is not None and self._holder is not before:
                self._run(self._holder.leave())
            raise
        return self

    async def _enter(self) -> None:
        holder = _Holder(self.__aio__)
        if self._holder is None:  # otherwise this raises, and the block that was entered before stays as it is
            self._holder = holder
            if self._remains is not None:
                self._remains.block = holder
        await holder.enter(self._remains)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Never entered: the async object closes what there is.
        self._run(self.__aio__.__aexit__(None, None, None) if self._holder is None else self._holder.leave())


@final
class _Holder:
    """Holds a block open in an async task of its own.

    The async task that entered a task group must leave it, but each sync call runs in a new one.
    """

    def __init__(self, block: AbstractAsyncContextManager[Any]) -> None:
        self._block = block
        self._entered, self._leaving, self._left = anyio.Event(), anyio.Event(), anyio.Event()
        self._failure: BaseException | None = None
        self._task: object = None
        self._tasks: Subtasks | None = None  # all that the block runs

    async def enter(self, remains: Remains | None) -> None:
        self._task = bridge.spawn(self._hold(remains))
        await self._entered.wait()
        self._check()

    async def _hold(self, remains: Remains | None) -> None:
        self._tasks = Subtasks()
        self._tasks.join()
        try:
            async with self._block:
                self._entered.set()
                await self._leaving.wait()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001 - SystemExit of an async tool too; enter() or leave() raises it
            self._failure = exc
        finally:
            self._entered.set()
            self._left.set()

    @property
    def left(self) -> bool:
        return self._left.is_set()

    def dismiss(self) -> None:
        self._leaving.set()

    async def leave(self) -> None:
        """Leave the block.

        Raises:
            StreamClosedError: What the block itself runs calls this, and would wait for itself.
        """
        if self._tasks is not None and self._tasks.around:
            raise StreamClosedError(
                "a tool or runner cannot leave the block that its run is part of; to stop the run, close its stream"
            )
        self.dismiss()
        await self._left.wait()
        self._check()

    def _check(self) -> None:
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # its traceback holds this frame


class StreamReader(Reader[StreamChunk]):
    """The stream of a run; it closes at once when it is dropped."""

    @abstractmethod
    def close(self) -> None: ...

    def __next__(self) -> StreamChunk:
        try:
            return super().__next__()
        except StopIteration:
            raise
        except BaseException:  # a signal may have come between two chunks, where it cancelled nothing
            with suppress(StreamClosedError, anyio.BusyResourceError):  # it was closed, or is being left behind
                self.close()
            raise

    def _texts(self) -> Iterator[str]:
        return (chunk.content for chunk in self if chunk.is_text())

    async def _take(self) -> list[StreamChunk]:
        return [await anext(self.__aio__), *self.__aio__._ready()]

    def __del__(self) -> None:
        # The loop stands still between steps, so without this a dropped stream would stay open until the next call.
        loop, remains = getattr(self, "_loop", None), self._remains
        if loop is None or remains is None or loop.closed:
            return
        if loop.free:
            with uninterrupted():
                loop.run(remains.finish(), to_its_end=True)
        else:  # in another thread or a running call; dropped generators are finalised when the loop runs
            remains.dismiss()
        self._remains = None
