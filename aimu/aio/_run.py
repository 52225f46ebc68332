"""The state that everything inside one `run()` shares: open turns, where chunks go, the owning task, the usage.

A run opens no task group and refers to generators only weakly, so that a dropped stream is freed at once.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias, final

from attrs import define, evolve, field, frozen

from aimu._core.answer import AROUND, Account, AnyAnswer, account_within
from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.loop_end import Nested
from aimu._core.threads import InThread, run_in_thread
from aimu._output._expected import Expected
from aimu.aio._checks import checked_text
from aimu.aio._place import STEPPER, Place, Stepper, ThreadRef, reading_thread, this_thread
from aimu.errors import StreamClosedError

Sink: TypeAlias = Callable[[StreamChunk], Awaitable[None]]
Steps: TypeAlias = AsyncGenerator[StreamChunk, None]
"""The chunks of a run. The last is `done`, whose content is an Answer here, and its text in what users get."""


@final
@frozen
class Task:
    """The input of a runner: the user's text, options for the run, images as the user gave them, and what is expected.

    `expected` is the type of the answer, for the runner that writes it.
    """

    text: str
    generate_kwargs: Mapping[str, Any] | None = None
    images: Sequence[Any] | None = None
    expected: Expected | None = None

    @classmethod
    def asked(
        cls,
        text: Any,
        generate_kwargs: Mapping[str, Any] | None,
        images: Sequence[Any] | None,
        name: str,
        expected: Expected | None = None,
    ) -> Task:
        """Return the task that a user asks.

        Raises:
            InvalidOptionError: The text, the user's argument `name`, is not a str, or is blank and has no images.
        """
        return cls(checked_text(text, name, images), generate_kwargs, images, expected)

    def untyped(self) -> Task:
        """Return the task for a runner that does not write the answer."""
        return self if self.expected is None else evolve(self, expected=None)

    def copies(self) -> tuple[dict[str, Any] | None, list[Any] | None]:
        """Return copies of `generate_kwargs` and `images`, safe to pass to user code."""
        kwargs = None if self.generate_kwargs is None else dict(self.generate_kwargs)
        return kwargs, None if self.images is None else list(self.images)


class OpenTurn(Protocol):
    """A turn that a run has to settle when it ends."""

    def settle(self) -> None: ...

    @property
    def draft(self) -> str: ...


@final
@define(eq=False)
class RunState:
    """The state of a run, shared with everything inside it."""

    labels: Mapping[int, str] = field(factory=dict[int, str])  # id of a leaf runner -> its name in this run
    turns: set[OpenTurn] = field(factory=set[OpenTurn])
    typed: OpenTurn | None = None  # the turn whose answer must have a type
    active: bool = True  # False while a pulled stream is paused at a yield
    superseded: bool = False  # a newer turn replaced a paused one
    timed: bool = False  # a pulled stream, each step of which has a scope for its deadline
    owner: Place | None = None  # where a pulled stream is read
    stepper: Stepper | None = field(factory=STEPPER.get)
    thread: ThreadRef = field(factory=this_thread)
    process: int = field(factory=os.getpid)
    steps: weakref.ref[Steps] | None = None

    async def close(self, in_thread: InThread) -> None:
        """Close the generator of the run if it still exists, in its event loop: if it is this one or of this thread.

        In another loop, its clean-up would wait for what only its own loop can wake; that loop closes the generator
        when nobody holds it any more.
        """
        steps, stepper = None if self.steps is None else self.steps(), self.stepper
        if steps is None or self.owner is None:
            return
        if self.owner.in_this_loop:
            await steps.aclose()
        elif stepper is not None and stepper.thread is reading_thread():
            with suppress(StreamClosedError):  # that loop has ended, or this is a worker thread
                await in_thread(lambda: stepper.step(_close(steps)))

    def settle(self) -> None:
        """Settle every open turn, even if one of them fails to. Synchronous and idempotent."""
        with ExitStack() as stack:
            for turn in list(self.turns):
                stack.callback(turn.settle)

    def abandoned(self) -> bool:
        """Return whether the run will never continue.

        That is so if the run is paused, and its reader has ended or is waiting for the current async task. In a child
        of `os.fork()`, it is also so if the run was in another thread.
        """
        if self.active or self.owner is None:
            return self.thread() is None and self.process != os.getpid()
        return self.owner.gone or self.owner.waits_here


@final
@frozen(eq=False)
class Run:
    """A run as one part of it sees it.

    `sink` takes the chunks that cannot be yielded: the channel of an entered stream, `discard` in a plain run, None in
    a pulled stream (code that opens a task group there collects chunks in a list and yields them after the join).
    `in_thread` is where sync tools run: the sync surface passes its caller's thread; concurrent branches return to
    worker threads. `account` is what the run has used, and what the user passed for its tools; a worker of a `Parallel`
    has its own.
    """

    streaming: bool
    sink: Sink | None
    in_thread: InThread = run_in_thread
    state: RunState = field(factory=RunState)
    account: Account = field(factory=Account)

    def branch(self, sink: Sink | None) -> Run:
        """Return the run as a concurrent branch sees it."""
        return Run(self.streaming, sink, run_in_thread, self.state, self.account)

    def worker(self, sink: Sink | None) -> Run:
        """Return the run as a worker sees it: a concurrent branch with an account of its own."""
        account = Account(self.account, self.account.context)
        return Run(self.streaming, sink, run_in_thread, self.state, account)

    def with_sink(self, sink: Sink | None) -> Run:
        return Run(self.streaming, sink, self.in_thread, self.state, self.account)

    def label(self, leaf: object, name: str | None) -> str | None:
        return self.state.labels.get(id(leaf), name)

    def settle(self) -> None:
        """Settle every open turn. Synchronous and idempotent."""
        self.state.settle()


# Where a run that begins now calls sync code.
IN_THREAD: ContextVar[InThread] = ContextVar("aimu_in_thread", default=run_in_thread)

# The run whose tool is being called: an agent that the tool runs sends its chunks there.
ENCLOSING: ContextVar[Run | None] = ContextVar("aimu_enclosing_run", default=None)


async def _close(steps: Steps) -> None:
    await steps.aclose()  # made where it runs: closed unawaited, it would end the generator there (Python 3.13)


def begin_branch() -> None:
    """Turn the context of the current async task into that of a concurrent branch.

    Runs that user code starts there then run their sync tools in worker threads.
    """
    IN_THREAD.set(run_in_thread)
    outer = ENCLOSING.get()
    if outer is not None:
        ENCLOSING.set(outer.branch(outer.sink))


@contextmanager
def aside(run: Run) -> Generator[None]:
    """Around a user's own check of an answer: its runs count in the account of `run`, but send it no chunks."""
    token, around = ENCLOSING.set(None), AROUND.set(run.account)
    try:
        yield
    finally:
        ENCLOSING.reset(token)
        AROUND.reset(around)


async def discard(chunk: StreamChunk) -> None:
    """Drop the chunk: the sink of a plain run."""


async def drain(steps: Steps, sink: Sink) -> AnyAnswer:
    """Run the steps to their end and return the answer; send all chunks before `done` to `sink`."""
    answer: AnyAnswer | None = None
    async with Nested(steps):
        async for chunk in steps:
            if chunk.phase is StreamingContentType.DONE:
                answer = chunk.content
            else:
                await sink(chunk)
    assert answer is not None, "steps must end with a `done`"
    return answer


def shown(done: StreamChunk) -> StreamChunk:
    """Return the last chunk as users get it, with the text of the answer."""
    return StreamChunk(done.phase, str(done.content), done.agent, done.iteration)


def plain_run(labels: Mapping[int, str], context: Any = None) -> Run:
    """Return the run of a call without `stream=`, which is given this context.

    It shows no chunks unless a tool of a streaming run on this thread made the call.
    """
    outer = ENCLOSING.get()
    account = account_within(context)
    if outer is None or outer.state.thread is not this_thread():
        return Run(False, discard, IN_THREAD.get(), RunState(labels), account)
    state = RunState({**labels, **outer.state.labels})
    live = outer.streaming and outer.sink is not None
    return Run(live, outer.sink if live else discard, outer.in_thread, state, account)
