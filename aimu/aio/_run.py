"""What everything beneath one `run()` shares: the open turns, where chunks go, who owns it, what it used.

A run opens no task group and holds no generator but by a weak link, so that dropping a stream frees it at once.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from threading import enumerate as living_threads
from threading import get_ident
from typing import Any, Protocol, TypeAlias, final

import anyio
from attrs import define, evolve, field, frozen

from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.reply import Usage
from aimu._core.threads import InThread, run_in_thread

Sink: TypeAlias = Callable[[StreamChunk], Awaitable[None]]
Steps: TypeAlias = AsyncGenerator[StreamChunk, None]


@final
@frozen
class Task:
    """What a runner is asked: the user's text, per-call `generate_kwargs`, images as the user gave them."""

    text: str
    generate_kwargs: Mapping[str, Any] | None = None
    images: Sequence[Any] | None = None

    def copies(self) -> tuple[dict[str, Any] | None, list[Any] | None]:
        """`generate_kwargs` and `images` to be given to code that is not ours."""
        kwargs = None if self.generate_kwargs is None else dict(self.generate_kwargs)
        return kwargs, None if self.images is None else list(self.images)


class OpenTurn(Protocol):
    """What a run has to end when it ends."""

    def settle(self) -> None: ...


@final
@define(eq=False)
class RunState:
    """Shared by a run and everything beneath it."""

    labels: Mapping[int, str] = field(factory=dict[int, str])  # id of a leaf runner -> its name in this run
    turns: set[OpenTurn] = field(factory=set[OpenTurn])
    active: bool = True  # False while a pulled stream is paused at a yield
    superseded: bool = False  # a newer turn took the place of a paused one
    owner: int | None = None  # id of the task that reads a pulled stream
    thread: int = field(factory=get_ident)
    usage: Usage | None = None
    steps: weakref.ref[Steps] | None = None
    outer: RunState | None = None  # of the run whose tool made this one

    def generator(self) -> Steps | None:
        """The steps, where they are still there and this thread may close them."""
        return self.steps() if self.steps is not None and self.thread == get_ident() else None

    def settle(self) -> None:
        """Settle every open turn; synchronous and idempotent."""
        for turn in list(self.turns):
            turn.settle()

    def abandoned(self) -> bool:
        """Whether nobody will go on with this run: it is paused, and its task is the current one or has ended."""
        if self.active:
            return False
        if self.thread != get_ident():
            return all(thread.ident != self.thread for thread in living_threads())
        if self.owner == anyio.get_current_task().id:
            return True
        return all(task.id != self.owner for task in anyio.get_running_tasks())


@final
@frozen(eq=False)
class Run:
    """One place in a run.

    `sink` is where chunks go that cannot be yielded: the channel of an entered stream, `discard` in a plain run, None
    in a pulled stream (whoever opens a task group there keeps a list and yields it after the join). `in_thread` is
    where sync tools run: the sync surface names its caller's thread, concurrent branches go back to worker threads.
    """

    streaming: bool
    sink: Sink | None
    in_thread: InThread = run_in_thread
    state: RunState = field(factory=RunState)

    def branch(self, sink: Sink | None) -> Run:
        """The run as a concurrent branch sees it."""
        return evolve(self, sink=sink, in_thread=run_in_thread)

    def with_sink(self, sink: Sink | None) -> Run:
        return evolve(self, sink=sink)

    def label(self, leaf: object, name: str | None) -> str | None:
        return self.state.labels.get(id(leaf), name)

    def settle(self) -> None:
        """Settle every open turn; synchronous and idempotent."""
        self.state.settle()

    def used(self, usage: Usage | None) -> None:
        """Count the tokens of a reply, here and in the runs around this one."""
        state: RunState | None = self.state
        while state is not None and usage is not None:
            state.usage = usage if state.usage is None else state.usage + usage
            state = state.outer


# Where the sync code of a run that begins now is called.
IN_THREAD: ContextVar[InThread] = ContextVar("aimu_in_thread", default=run_in_thread)

# The run whose tool is being called: an agent that the tool runs shows its chunks there.
ENCLOSING: ContextVar[Run | None] = ContextVar("aimu_enclosing_run", default=None)


def begin_branch() -> None:
    """Make the current task's context that of a concurrent branch, for runs that foreign code begins there."""
    IN_THREAD.set(run_in_thread)
    outer = ENCLOSING.get()
    if outer is not None:
        ENCLOSING.set(outer.branch(outer.sink))


async def discard(chunk: StreamChunk) -> None:
    """The sink of a plain run."""


async def drain(steps: Steps, sink: Sink) -> StreamChunk:
    """Run steps to their end, chunks into `sink` but the last: the `done` whose content is the result."""
    done: StreamChunk | None = None
    async with aclosing(steps):
        async for chunk in steps:
            if chunk.phase is StreamingContentType.DONE:
                done = chunk
            else:
                await sink(chunk)
    assert done is not None, "steps end with a `done`"
    return done


def plain_run(labels: Mapping[int, str]) -> Run:
    """The run of a call without `stream=`: silent, unless a tool of a streaming run on this thread made the call."""
    outer = ENCLOSING.get()
    if outer is None or outer.state.thread != get_ident():
        return Run(False, discard, IN_THREAD.get(), RunState(labels))
    state = RunState({**labels, **outer.state.labels}, outer=outer.state)
    shown = outer.streaming and outer.sink is not None
    return Run(shown, outer.sink if shown else discard, outer.in_thread, state)
