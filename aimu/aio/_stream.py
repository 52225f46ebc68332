"""The stream of a run: pulled step by step, or entered and live.

No scope or task group is held across a yield. The reader's own async task makes each step of a pulled stream; a pump
makes the steps of an entered stream, inside `async with`. Owns the deadline of the run, and settles the run when the
reader leaves the stream.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import nullcontext
from enum import Enum
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Self, final

import anyio

from aimu._core.answer import Answer, account_within
from aimu._core.chunks import Include, StreamChunk, StreamingContentType, phases
from aimu._core.loop_end import Nested, first_step, loop_end
from aimu._core.processes import stays_in_its_process
from aimu._core.reply import Usage
from aimu._core.threads import run_in_thread
from aimu._doors import public
from aimu.aio._deadline import expired, within
from aimu.aio._place import Place
from aimu.aio._pump import Pump
from aimu.aio._run import IN_THREAD, Run, RunState, Steps, shown
from aimu.errors import StreamClosedError

# Chunks between the pump and the reader: few, so that a slow reader slows the run; a larger buffer gains nothing.
BUFFER = 16
DONE, GENERATING = StreamingContentType.DONE, StreamingContentType.GENERATING


class _State(Enum):
    NEW = "new"
    PULLED = "pulled"
    ENTERED = "entered"
    ENDED = "ended"  # everything was read
    CLOSED = "closed"
    CUT = "cut"  # closed by the end of its event loop


PULLED, ENTERED = _State.PULLED, _State.ENTERED


@public("aimu.aio")
@final
@stays_in_its_process("a stream", "read it, and send its answer")
class Stream:
    """The chunks of a run: an async iterator of StreamChunk and an async context manager.

    - Inside `async with` the stream is live: chunks of concurrent workers interleave, and buffering is bounded.
      When the block ends, for whatever reason, the run is stopped and cleaned up before the next line executes.
    - A bare `async for` loop pulls the run step by step and may stop at any chunk.

    The last chunk is `done`; `text_stream` gives the text alone. A stream is read once. `timeout` counts from the first
    step or from entering the block; TimeoutError is raised after the buffered chunks. Awaiting a stream returns the
    stream itself.

    Example:
        async with agent.run("Tell me a story.", stream=True) as stream:
            async for text in stream.text_stream:
                print(text, end="")
        print(stream.result.usage)
    """

    def __init__(
        self,
        steps: Callable[[Run], Steps],
        *,
        labels: Callable[[], dict[int, str]] = dict,
        include: Include = None,
        timeout: float | None = None,
        what: Callable[[], str] = lambda: "the run",
        context: Any = None,
    ) -> None:
        self._state = _State.NEW
        self._begin = steps
        self._labels = labels
        self._phases = phases(include)
        self._timeout = timeout
        self._what = what
        self._context = context
        self._run: Run | None = None
        self._steps: Steps | None = None  # pulled
        self._deadline = inf
        self._pump: Pump[StreamChunk] | None = None  # entered
        self._result: Answer[Any] | None = None

    @property
    def result(self) -> Answer[Any]:
        """The answer that a plain run returns.

        Raises:
            StreamClosedError: The stream was not read to its end.
        """
        if self._result is None:
            raise StreamClosedError("the stream has no result yet; read it to its end first")
        return self._result

    @property
    def partial(self) -> Any:
        """What the text of the answer so far allows of the output: plain JSON data.

        None before the answer begins, again when the model has to give another one, and without `output_type`. Each
        access reads the whole text.
        """
        turn = self._run.state.typed if self._run is not None else None
        if turn is None:
            return None
        from aimu._output._type import partial  # loads pydantic

        return partial(turn.draft if self._result is None else str(self._result))

    @property
    def usage(self) -> Usage | None:
        """The tokens that the run has used so far; None if the service does not report them."""
        return self._run.account.usage if self._run is not None else None

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The pieces of text alone, of all iterations and all agents of the run, as they come.

        It reads this stream, so read either of the two. `result` is the answer, which is the text of the last iteration
        only.
        """
        return _Texts(self)

    def __await__(self) -> Generator[None, None, Self]:
        return self
        yield  # makes this a generator, which ends at once

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, StreamChunk]:
        pump = self._pump
        return self._pull() if pump is None or self._state is not ENTERED else pump.receive()

    def _ready(self) -> list[StreamChunk]:
        """Return the chunks of an entered stream that are available without waiting."""
        return self._pump.ready() if self._pump is not None and self._state is ENTERED else []

    def _start(self) -> None:
        self._state = _State.CLOSED  # the state that stays if starting fails
        in_thread = IN_THREAD.get()
        state = RunState(self._labels(), active=False, owner=Place.here(of_thread=in_thread is not run_in_thread))
        state.timed = self._timeout is not None
        self._run = Run(True, None, in_thread, state, account_within(self._context))
        self._steps = self._begin(self._run)
        self._run.state.steps = weakref.ref(self._steps)
        loop_end().keep(self)
        if self._timeout is not None:
            self._deadline = anyio.current_time() + self._timeout
        self._state = _State.PULLED

    async def _pull(self) -> StreamChunk:
        run = self._run
        step: Callable[[Steps], Awaitable[StreamChunk]] = anext if run is not None else first_step
        if run is None or run.state.active or run.state.superseded or self._state is not PULLED:
            run = self._started_run()
        steps = self._steps
        assert steps is not None
        run.state.active = True
        try:
            while True:
                chunk = await (step(steps) if self._deadline == inf else self._step_in_time(step, steps))
                step = anext
                wanted = self._wants(chunk)
                if chunk.phase is DONE:
                    # The steps yield nothing after `done`, so closing them here awaits nothing, and a reader who stops
                    # at `done` leaves no open generator behind.
                    self._result, self._state = chunk.content, _State.ENDED
                    await steps.aclose()
                    self._steps = None
                    if not wanted:
                        raise StopAsyncIteration
                    return shown(chunk)
                if wanted:
                    return chunk
        except BaseException:
            if self._state is PULLED:
                self._state, self._steps = _State.CLOSED, None
            run.settle()
            raise
        finally:
            run.state.active = False

    def _started_run(self) -> Run:
        """Return the run of a pulled stream, started if this is its first step, or raise if it cannot go on."""
        if self._state is _State.NEW:
            self._start()
        run = self._run
        if run is not None and run.state.superseded:
            raise StreamClosedError(
                "a newer turn of the same conversation replaced this stream; "
                "read a stream to its end before the next turn"
            )
        if self._state is _State.CUT:
            raise StreamClosedError(
                "the event loop in which this stream began has ended; read a stream to its end in one event loop"
            )
        if run is None or self._state is not _State.PULLED:
            raise StopAsyncIteration
        if run.state.active:
            raise anyio.BusyResourceError("reading from")
        return run

    async def _step_in_time(self, step: Callable[[Steps], Awaitable[StreamChunk]], steps: Steps) -> StreamChunk:
        left = self._deadline - anyio.current_time()
        if left <= 0:  # checked here because a step may have no checkpoint
            await steps.aclose()
        else:
            with anyio.move_on_after(left):
                return await step(steps)
        raise expired(self._what(), self._timeout or 0)

    async def __aenter__(self) -> Self:
        if self._state is not _State.NEW:
            raise StreamClosedError(
                "the stream was already read, entered or closed; enter it once, before reading, or start a new run"
            )
        self._state = _State.ENTERED
        run: Run
        pump = self._pump = Pump[StreamChunk](lambda: self._fill(run, pump), BUFFER)
        state = RunState(self._labels())
        run = self._run = Run(True, partial(self._put, pump), IN_THREAD.get(), state, account_within(self._context))
        await pump.start()
        return self

    async def _fill(self, run: Run, pump: Pump[StreamChunk]) -> None:
        """Send the chunks of the run to the pump: like `drain`, but without a coroutine for each chunk."""
        done: StreamChunk | None = None
        try:
            with nullcontext() if self._timeout is None else within(self._timeout, self._what):
                async with Nested(self._begin(run)) as steps:
                    async for chunk in steps:
                        if chunk.phase is DONE:
                            done = chunk
                        elif self._wants(chunk) and not pump.try_put(chunk):
                            await pump.put(chunk)
                assert done is not None, "steps must end with a `done`"
                self._result = done.content
                await self._put(pump, shown(done))
        finally:
            run.settle()

    async def _put(self, pump: Pump[StreamChunk], chunk: StreamChunk) -> None:
        try:
            if self._wants(chunk) and not pump.try_put(chunk):
                await pump.put(chunk)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            if not pump.ended:
                raise
            # Otherwise a tool started a run and left it behind: nobody reads its chunks.

    def _wants(self, chunk: StreamChunk) -> bool:
        return self._phases is None or chunk.phase in self._phases

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pump is None or self._run is None:  # never entered, or already left
            await self.aclose()
            return
        self._pump.check_leaving()
        self._state = _State.CLOSED
        try:
            await self._pump.leave()
        finally:  # a stream that somebody keeps must not keep its event loop
            self._pump, self._run = None, self._run.with_sink(None)

    async def aclose(self) -> None:
        """Stop the run; what it has streamed so far stays in the history.

        May be called more than once. A tool or runner of the run itself does not wait for the end of the run; it is
        cancelled at its next wait.

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
            self._steps = None  # dropped, so that its own event loop closes it if this is another one
            if run.state.owner is not None and run.state.owner.in_this_loop:
                await steps.aclose()
        elif self._pump is not None and self._state is _State.ENTERED:
            await self._pump.cancel()

    async def _end_with_loop(self) -> None:
        if self._state is _State.PULLED and self._run is not None and not self._run.state.active:
            await self.aclose()
            self._state = _State.CUT

    def __del__(self) -> None:
        if self._state is _State.PULLED and self._run is not None:
            self._run.settle()


@final
class _Texts:
    """The pieces of text of a stream. Not a generator, which would have to be closed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            chunk = await anext(self._stream)
            if chunk.phase is GENERATING:
                text: str = chunk.content
                return text
