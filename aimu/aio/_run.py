"""The state that everything inside one `run()` shares: open turns, where chunks go, the owning task, the usage.

A run opens no task group and refers to generators only weakly, so that a dropped stream is freed at once.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from contextvars import ContextVar
from threading import Thread, current_thread
from threading import enumerate as living_threads
from typing import Any, Protocol, TypeAlias, final

import anyio
from anyio.lowlevel import current_token
from attrs import define, evolve, field, frozen

from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.reply import Usage
from aimu._core.threads import InThread, run_in_thread
from aimu.aio._checks import checked_text
from aimu.errors import StreamClosedError

Sink: TypeAlias = Callable[[StreamChunk], Awaitable[None]]
Steps: TypeAlias = AsyncGenerator[StreamChunk, None]


@final
@frozen
class Task:
    """The input of a runner: the user's text, options for the run, and images as the user gave them."""

    text: str
    generate_kwargs: Mapping[str, Any] | None = None
    images: Sequence[Any] | None = None

    @classmethod
    def asked(
        cls, text: Any, generate_kwargs: Mapping[str, Any] | None, images: Sequence[Any] | None, name: str
    ) -> Task:
        """Return the task that a user asks.

        Raises:
            InvalidOptionError: The text, the user's argument `name`, is not a str, or is blank and has no images.
        """
        return cls(checked_text(text, name, images), generate_kwargs, images)

    def copies(self) -> tuple[dict[str, Any] | None, list[Any] | None]:
        """Return copies of `generate_kwargs` and `images`, safe to pass to user code."""
        kwargs = None if self.generate_kwargs is None else dict(self.generate_kwargs)
        return kwargs, None if self.images is None else list(self.images)


class OpenTurn(Protocol):
    """A turn that a run has to settle when it ends."""

    def settle(self) -> None: ...


@final
@frozen(eq=False)
class Stepper:
    """Sync code that makes the steps of a run, each in another async task: its thread, and how it makes one."""

    thread: Thread
    step: Callable[[Coroutine[Any, Any, None]], None]


# Who makes the steps of a run that begins now; None if an async task makes them.
STEPPER: ContextVar[Stepper | None] = ContextVar("aimu_stepper", default=None)


@final
@frozen(eq=False)
class Reader:
    """Who reads a pulled stream: an async task, or the sync code of a thread.

    Both are compared by identity: the address of an ended task and the number of an ended thread are used again.
    """

    stepper: Stepper | None = field(factory=STEPPER.get)
    # The coroutine of the task, which lives as long as the task does.
    task: weakref.ref[Any] = field(factory=lambda: weakref.ref(anyio.get_current_task().coro))
    loop: weakref.ref[Any] = field(factory=lambda: weakref.ref(_this_loop()))

    def here_or_ended(self) -> bool:
        """Return whether the running code is the reader, or the reader has ended."""
        if self.stepper is not None:
            return self.stepper.thread is _this_thread() or not _lives(self.stepper.thread)
        coroutine = self.task()
        return getattr(coroutine, "cr_frame", coroutine) is None or coroutine is anyio.get_current_task().coro

    async def close(self, steps: Steps, in_thread: InThread) -> None:
        """Close the steps in the event loop to which they belong, if it is this one or that of this sync code."""
        stepper = self.stepper
        if self.loop() is _this_loop():
            await steps.aclose()
        elif stepper is not None and stepper.thread is _this_thread():
            with suppress(StreamClosedError):  # that loop has ended, or this is a worker thread
                await in_thread(lambda: stepper.step(steps.aclose()))


def _this_loop() -> object:
    return current_token().native_token


def _this_thread() -> Thread:
    """Return the thread of the sync code that called the running code, or the thread itself."""
    stepper = STEPPER.get()
    return current_thread() if stepper is None else stepper.thread


def _lives(thread: Thread) -> bool:
    return any(living is thread for living in living_threads())


@final
@define(eq=False)
class RunState:
    """The state of a run, shared with everything inside it."""

    labels: Mapping[int, str] = field(factory=dict[int, str])  # id of a leaf runner -> its name in this run
    turns: set[OpenTurn] = field(factory=set[OpenTurn])
    active: bool = True  # False while a pulled stream is paused at a yield
    superseded: bool = False  # a newer turn replaced a paused one
    reader: Reader | None = None  # of a pulled stream
    thread: Thread = field(factory=current_thread)
    usage: Usage | None = None
    steps: weakref.ref[Steps] | None = None
    outer: RunState | None = None  # the state of the run whose tool started this run

    async def close(self, in_thread: InThread) -> None:
        """Close the generator of the run if it still exists and can be closed here."""
        steps = None if self.steps is None else self.steps()
        if steps is not None and self.reader is not None:
            await self.reader.close(steps, in_thread)

    def settle(self) -> None:
        """Settle every open turn. Synchronous and idempotent."""
        for turn in list(self.turns):
            turn.settle()

    def abandoned(self) -> bool:
        """Return whether the run will never continue.

        That is so if its thread has ended, as in a forked child, or if it is paused and its reader is here or has
        ended.
        """
        paused = None if self.active else self.reader
        return (paused is not None and paused.here_or_ended()) or not _lives(self.thread)


@final
@frozen(eq=False)
class Run:
    """A run as one part of it sees it.

    `sink` takes the chunks that cannot be yielded: the channel of an entered stream, `discard` in a plain run, None in
    a pulled stream (code that opens a task group there collects chunks in a list and yields them after the join).
    `in_thread` is where sync tools run: the sync surface passes its caller's thread; concurrent branches return to
    worker threads.
    """

    streaming: bool
    sink: Sink | None
    in_thread: InThread = run_in_thread
    state: RunState = field(factory=RunState)

    def branch(self, sink: Sink | None) -> Run:
        """Return the run as a concurrent branch sees it."""
        return evolve(self, sink=sink, in_thread=run_in_thread)

    def with_sink(self, sink: Sink | None) -> Run:
        return evolve(self, sink=sink)

    def label(self, leaf: object, name: str | None) -> str | None:
        return self.state.labels.get(id(leaf), name)

    def settle(self) -> None:
        """Settle every open turn. Synchronous and idempotent."""
        self.state.settle()

    def used(self, usage: Usage | None) -> None:
        """Add the tokens of a reply to this run and to the runs around it."""
        state: RunState | None = self.state
        while state is not None and usage is not None:
            state.usage = usage if state.usage is None else state.usage + usage
            state = state.outer


# Where a run that begins now calls sync code.
IN_THREAD: ContextVar[InThread] = ContextVar("aimu_in_thread", default=run_in_thread)

# The run whose tool is being called: an agent that the tool runs sends its chunks there.
ENCLOSING: ContextVar[Run | None] = ContextVar("aimu_enclosing_run", default=None)


def begin_branch() -> None:
    """Turn the context of the current async task into that of a concurrent branch.

    Runs that user code starts there then run their sync tools in worker threads.
    """
    IN_THREAD.set(run_in_thread)
    outer = ENCLOSING.get()
    if outer is not None:
        ENCLOSING.set(outer.branch(outer.sink))


async def discard(chunk: StreamChunk) -> None:
    """Drop the chunk: the sink of a plain run."""


async def drain(steps: Steps, sink: Sink) -> StreamChunk:
    """Run the steps to their end and return the last chunk, the `done`; send all others to `sink`."""
    done: StreamChunk | None = None
    async with aclosing(steps):
        async for chunk in steps:
            if chunk.phase is StreamingContentType.DONE:
                done = chunk
            else:
                await sink(chunk)
    assert done is not None, "steps must end with a `done`"
    return done


def plain_run(labels: Mapping[int, str]) -> Run:
    """Return the run of a call without `stream=`.

    It shows no chunks unless a tool of a streaming run on this thread made the call.
    """
    outer = ENCLOSING.get()
    if outer is None or outer.state.thread is not current_thread():
        return Run(False, discard, IN_THREAD.get(), RunState(labels))
    state = RunState({**labels, **outer.state.labels}, outer=outer.state)
    shown = outer.streaming and outer.sink is not None
    return Run(shown, outer.sink if shown else discard, outer.in_thread, state)
