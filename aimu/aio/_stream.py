"""The stream of a run: pulled step by step, or entered and live.

No scope or task group is held across a yield: pulled, the reader's own task makes every step; entered, a pump makes
them, inside `async with`. Owns the deadline, and that a run is settled when its stream is left.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Generator
from contextlib import aclosing
from enum import Enum
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Self, final

import anyio

from aimu._core.chunks import Include, StreamChunk, StreamingContentType, phases
from aimu._core.reply import Usage
from aimu.aio._pump import Pump
from aimu.aio._run import IN_THREAD, Run, RunState, Steps
from aimu.errors import StreamClosedError

BUFFER = 16  # chunks between the pump and the reader: a slow reader slows the run; more buys nothing
DONE = StreamingContentType.DONE


class _State(Enum):
    NEW = "new"
    PULLED = "pulled"
    ENTERED = "entered"
    ENDED = "ended"  # everything was read
    CLOSED = "closed"


PULLED, ENTERED = _State.PULLED, _State.ENTERED


@final
class Stream:
    """The chunks of a run: an async iterator of StreamChunk and an async context manager.

    - Entered, it is live: concurrent workers interleave, and buffering is bounded. However the block is left, the run
      has been stopped and cleaned up before the next line runs.
    - A bare loop pulls the run step by step and may be abandoned anywhere.

    The last chunk is `done`. A stream is read once. A `timeout` counts from the first step or from entering, and raises
    TimeoutError after the chunks that were buffered. Awaiting a stream gives the stream itself.

    Example:
        async with agent.run("Tell me a story.", stream=True) as stream:
            async for chunk in stream:
                if chunk.is_text():
                    print(chunk.content, end="")
        print(stream.usage)
    """

    def __init__(
        self,
        steps: Callable[[Run], Steps],
        *,
        labels: Callable[[], dict[int, str]] = dict,
        include: Include = None,
        timeout: float | None = None,
    ) -> None:
        self._state = _State.NEW
        self._begin = steps
        self._labels = labels
        self._phases = phases(include)
        self._timeout = timeout
        self._run: Run | None = None
        self._steps: Steps | None = None  # pulled
        self._deadline = inf
        self._pump: Pump[StreamChunk] | None = None  # entered
        self._result: str | None = None

    @property
    def result(self) -> str:
        """The answer that a plain run returns.

        Raises:
            StreamClosedError: The stream was not read to its end.
        """
        if self._result is None:
            raise StreamClosedError("the stream has no result: it was not read to its end")
        return self._result

    @property
    def usage(self) -> Usage | None:
        """The tokens that the run has used so far; None if the service does not say."""
        return self._run.state.usage if self._run is not None else None

    def __await__(self) -> Generator[None, None, Self]:
        return self
        yield  # a generator that ends at once

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, StreamChunk]:
        pump = self._pump
        return self._pulled() if pump is None or self._state is not ENTERED else pump.receive()

    def _ready(self) -> list[StreamChunk]:
        """What an entered stream can give without waiting."""
        return self._pump.ready() if self._pump is not None and self._state is ENTERED else []

    def _start(self) -> None:
        self._state = _State.CLOSED  # which it stays when the task is refused here
        state = RunState(self._labels(), active=False, owner=anyio.get_current_task().id)
        self._run = Run(True, None, IN_THREAD.get(), state)
        self._steps = self._begin(self._run)
        self._run.state.steps = weakref.ref(self._steps)
        if self._timeout is not None:
            self._deadline = anyio.current_time() + self._timeout
        self._state = _State.PULLED

    async def _pulled(self) -> StreamChunk:
        run = self._run
        if run is None or run.state.active or run.state.superseded or self._state is not PULLED:
            run = self._startable()
        steps = self._steps
        assert steps is not None
        run.state.active = True
        try:
            while True:
                chunk = await (anext(steps) if self._deadline == inf else self._step_in_time(steps))
                wanted = self._phases is None or chunk.phase in self._phases
                if chunk.phase is DONE:
                    # A `done` is the last thing that steps yield: nothing is awaited in closing them now, and a reader
                    # who stops at it leaves no generator behind.
                    self._result, self._state = str(chunk.content), _State.ENDED
                    await steps.aclose()
                    if not wanted:
                        raise StopAsyncIteration
                if wanted:
                    return chunk
        except BaseException:
            if self._state is PULLED:
                self._state = _State.CLOSED
            run.settle()
            raise
        finally:
            run.state.active = False

    def _startable(self) -> Run:
        """The run of a pulled stream, begun by its first step."""
        if self._state is _State.NEW:
            self._start()
        run = self._run
        if run is not None and run.state.superseded:
            raise StreamClosedError("a newer turn on this conversation took the place of this stream")
        if run is None or self._state is not _State.PULLED:
            raise StopAsyncIteration
        if run.state.active:
            raise anyio.BusyResourceError("reading from")
        return run

    async def _step_in_time(self, steps: Steps) -> StreamChunk:
        left = self._deadline - anyio.current_time()
        if left <= 0:  # a step may have no checkpoint of its own
            await steps.aclose()
            raise TimeoutError
        with anyio.fail_after(left):
            return await anext(steps)

    async def __aenter__(self) -> Self:
        if self._state is not _State.NEW:
            raise StreamClosedError("a stream is entered before it is read, and once")
        self._state = _State.ENTERED
        run: Run
        pump = self._pump = Pump[StreamChunk](lambda: self._fill(run, pump), BUFFER)
        run = self._run = Run(True, partial(self._put, pump), IN_THREAD.get(), RunState(self._labels()))
        await pump.start()
        return self

    async def _fill(self, run: Run, pump: Pump[StreamChunk]) -> None:
        """`drain`, without a coroutine for each chunk."""
        done: StreamChunk | None = None
        try:
            with anyio.fail_after(self._timeout):
                async with aclosing(self._begin(run)) as steps:
                    async for chunk in steps:
                        if chunk.phase is DONE:
                            done = chunk
                        elif not self._taken(pump, chunk):
                            await pump.send.send(chunk)
                assert done is not None, "steps end with a `done`"
                self._result = str(done.content)
                await self._put(pump, done)
        finally:
            run.settle()

    async def _put(self, pump: Pump[StreamChunk], chunk: StreamChunk) -> None:
        try:
            if not self._taken(pump, chunk):
                await pump.send.send(chunk)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            if not pump.ended:
                raise
            # Else it is of a run that a tool began and left behind: nobody is there to see it.

    def _taken(self, pump: Pump[StreamChunk], chunk: StreamChunk) -> bool:
        """Whether nothing is left to do for a chunk: it is in the buffer, or nobody wants it."""
        if self._phases is None or chunk.phase in self._phases:
            try:
                pump.send.send_nowait(chunk)
            except anyio.WouldBlock:
                return False
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = _State.CLOSED
        if self._pump is not None:
            await self._pump.leave()

    async def aclose(self) -> None:
        """Stop the run; what had streamed stays in the history.

        May be called more than once.

        Raises:
            anyio.BusyResourceError: Another async task is waiting for the next chunk.
        """
        if self._state is _State.NEW:
            self._state = _State.CLOSED
        elif self._state is _State.PULLED:
            run, steps = self._run, self._steps
            assert run is not None
            assert steps is not None
            if run.state.active:
                raise anyio.BusyResourceError("closing")
            self._state = _State.CLOSED
            run.settle()
            await steps.aclose()
        elif self._pump is not None and self._state is _State.ENTERED:
            await self._pump.cancel()

    def __del__(self) -> None:
        if self._state is _State.PULLED and self._run is not None:
            self._run.settle()
