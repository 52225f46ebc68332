"""What can be run: the public abstract class, and how runners run each other.

Owns the names of runners in a run: one function numbers equal names, for chunks and for `messages` alike. Knows no
particular runner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing, nullcontext
from inspect import isawaitable
from typing import Any, Literal, TypeAlias, overload

import anyio

from aimu._core.chunks import Include, StreamChunk, StreamingContentType
from aimu._core.messages import Message
from aimu.aio._run import Run, Steps, Task, discard, drain, plain_run
from aimu.aio._stream import Stream
from aimu.errors import InvalidOptionError

MessageHistory: TypeAlias = dict[str, list[Message]]

DONE = StreamingContentType.DONE


class AsyncRunner(ABC):
    """Base of every agent and workflow; a subclass of your own fits wherever a runner does.

    Implement `messages` and `run`. Other runners call `run` with its four parameters only.
    """

    @property
    @abstractmethod
    def messages(self) -> MessageHistory:
        """Message histories of all sub-runners, keyed by runner name; equal names are numbered."""

    @abstractmethod
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
    ) -> Awaitable[str | AsyncIterator[StreamChunk]]:
        """Run the task to its answer.

        Args:
            task: The user's message.
            generate_kwargs: Options for every model request of this run.
            stream: Whether to give the chunks of the run in place of its answer.
            images: Images that go with the message.

        Returns:
            An awaitable of the answer, or with `stream=True` of an async iterator of chunks. The last chunk may be a
            `done` with the answer; otherwise the answer is the text of all chunks.
        """


class StepRunner(AsyncRunner):
    """Base of the library's own runners."""

    @abstractmethod
    def _steps(self, task: Task, run: Run) -> Steps:
        """The chunks of a run; the last is this runner's own `done`."""

    @abstractmethod
    def _parts(self) -> Iterable[AsyncRunner]:
        """Sub-runners in order; none for a leaf, which has one history of its own."""

    @property
    def messages(self) -> MessageHistory:
        """Message histories of all sub-runners, keyed by runner name; equal names are numbered."""
        return {name: history for _, name, history in histories(self)}

    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[False] = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        *,
        stream: Literal[True],
        images: list[Any] | None = None,
        timeout: float | None = None,
        include: Include = None,
    ) -> Stream: ...
    @overload
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
    ) -> Coroutine[Any, Any, str] | Stream: ...
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
    ) -> Coroutine[Any, Any, str] | Stream:
        """Run the task to its answer.

        Args:
            task: The user's message.
            generate_kwargs: Options for every model request of this run; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            images: Images that go with the message: paths, bytes, URLs or data URLs.
            timeout: Seconds for the whole run; None is no limit.
            include: The phases that a stream shows; None shows all.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            BusyConversationError: A conversation of the runner is in use.
            ProviderError: A model service fails, or its answer cannot be used.
        """
        given = Task(task, generate_kwargs, images)
        return start(
            lambda run: self._steps(given, run),
            stream=stream,
            labels=lambda: labels(self),
            timeout=timeout,
            include=include,
        )


def start(
    steps: Callable[[Run], Steps],
    *,
    stream: bool,
    labels: Callable[[], dict[int, str]] = dict,
    timeout: float | None,
    include: Include,
) -> Coroutine[Any, Any, str] | Stream:
    """A run of `steps`: a coroutine of its result, or its stream."""
    if stream:
        return Stream(steps, labels=labels, include=include, timeout=timeout)
    return _result(steps, labels, timeout)


async def _result(steps: Callable[[Run], Steps], labels: Callable[[], dict[int, str]], timeout: float | None) -> str:
    run = plain_run(labels())
    with nullcontext() if timeout is None else anyio.fail_after(timeout):
        done = await drain(steps(run), run.sink or discard)
    return str(done.content)


def steps_of(runner: AsyncRunner, task: Task, run: Run) -> Steps:
    """The steps of any runner, a user's own included."""
    if isinstance(runner, StepRunner) and type(runner).run is StepRunner.run:
        return runner._steps(task, run)
    kwargs, images = task.copies()
    return foreign_steps(lambda: runner.run(task.text, kwargs, run.streaming, images), run)


async def foreign_steps(call: Callable[[], Any], run: Run) -> Steps:
    """Steps of something that has only its `run` or `chat`, called by `call`."""
    pending = call()
    if not isawaitable(pending) and not hasattr(pending, "__aiter__"):
        raise InvalidOptionError(
            f"a run gave {type(pending).__name__}, nothing to await: "
            "aimu.aio needs async runners and clients; sync ones go into the workflows of aimu.agents"
        )
    outcome: Any = await pending if isawaitable(pending) else pending
    if isinstance(outcome, str):
        yield StreamChunk(DONE, outcome)
        return
    if not hasattr(outcome, "__aiter__"):
        raise InvalidOptionError(
            f"a run gave {type(outcome).__name__}; it gives the answer, a str, or with stream=True its chunks"
        )
    text: list[str] = []
    done: StreamChunk | None = None
    # A foreign iterator need not be a generator.
    async with aclosing(outcome) if hasattr(outcome, "aclose") else nullcontext(outcome) as items:
        async for chunk in items:
            if chunk.phase is DONE:
                done = chunk
            else:
                if chunk.is_text():
                    text.append(chunk.content)
                # A foreign generator may hold a scope across its yields: with a sink nothing is yielded meanwhile.
                if run.sink is not None:
                    await run.sink(chunk)
                else:
                    yield chunk
    yield done or StreamChunk(DONE, "".join(text))


def leaves(runner: AsyncRunner) -> Iterator[AsyncRunner]:
    """The runners below (or the runner itself) that have a history of their own, in order."""
    parts = list(runner._parts()) if isinstance(runner, StepRunner) else []
    if not parts:
        yield runner
    for part in parts:
        yield from leaves(part)


def unique(runners: Iterable[AsyncRunner]) -> list[AsyncRunner]:
    return list({id(runner): runner for runner in runners}.values())


class Numbering:
    """Gives each name once: `name`, then `name_2`, `name_3`, …"""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        free, number = name, self._given.get(name, 0)
        while free in self._given:
            number += 1
            free = f"{name}_{number}"
        self._given[name] = max(number, 1)
        self._given.setdefault(free, 1)
        return free


def histories(runner: AsyncRunner) -> Iterator[tuple[AsyncRunner, str, list[Message]]]:
    """Each history below `runner`: its leaf, its name in a run of `runner`, its messages.

    A leaf's `name#2` is a further call of its `name`, and is numbered with it.
    """
    numbered = Numbering()
    for leaf in unique(leaves(runner)):
        given: dict[str, str] = {}
        for name, history in leaf.messages.items():
            called, mark, call = name.rpartition("#")
            key = f"{given[called]}#{call}" if mark and called in given else numbered(name)
            given[name] = key
            yield leaf, key, history


def labels(runner: AsyncRunner) -> dict[int, str]:
    """The name of each leaf in a run of `runner`, as `runner.messages` keys it, where it may differ from its own."""
    names: dict[int, str] = {}
    if isinstance(runner, StepRunner) and not list(runner._parts()):
        return names
    for leaf, name, _ in histories(runner):
        names.setdefault(id(leaf), name)
    return names
