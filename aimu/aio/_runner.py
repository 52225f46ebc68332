"""Runners: the public abstract class, the base of the library's own runners, and how runners run each other.

Owns the names of runners in a run: one function numbers equal names, for chunks and for `messages` alike. Agents and
workflows are elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import nullcontext
from inspect import isawaitable
from typing import Any, Literal, TypeAlias, overload

from aimu._core.chunks import Include, StreamChunk, StreamingContentType
from aimu._core.loop_end import Nested
from aimu._core.messages import Message
from aimu._doors import public
from aimu.aio._deadline import checked_timeout, within
from aimu.aio._run import Run, Steps, Task, discard, drain, plain_run
from aimu.aio._stream import Stream
from aimu.errors import InvalidOptionError

MessageHistory: TypeAlias = dict[str, list[Message]]

DONE = StreamingContentType.DONE


class Histories(dict[str, list[Message]]):
    """The histories of a runner by name. The lists are live, but the dict is made anew for each access.

    So a change of the dict would have no effect, and raises TypeError. A copy is a plain dict.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _refuse_change(self: Histories, *args: object, **kwargs: object) -> None:
    raise TypeError(
        "the dict that `messages` of a runner returns cannot be changed, since it is made anew each time; "
        "to load a history, assign it to `messages` of the agent's client: agent.model_client.messages = [...]"
    )


for _name in ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear"):
    setattr(Histories, _name, _refuse_change)


@public("aimu.aio")
class AsyncRunner(ABC):
    """Base of every agent and workflow.

    An instance of your own subclass works wherever a runner is expected. Implement `messages` and `run`; other runners
    pass `run` only the four parameters below.

    Example:
        class Echo(aio.AsyncRunner):
            messages = {}

            async def run(self, task, generate_kwargs=None, stream=False, images=None):
                return task
    """

    @property
    @abstractmethod
    def messages(self) -> MessageHistory:
        """The histories of all sub-runners, keyed by runner name; equal names are numbered."""

    @abstractmethod
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
    ) -> Awaitable[str | AsyncIterator[StreamChunk]]:
        """Run the task and return the answer.

        Args:
            task: The user's text.
            generate_kwargs: Options for every model request of this run.
            stream: Whether to return the chunks of the run instead of its answer.
            images: Images to send with the text.

        Returns:
            An awaitable of the answer, or with `stream=True` of an async iterator of chunks. If the last chunk is a
            `done`, its content is the answer; otherwise the answer is the text of all chunks.
        """


class StepRunner(AsyncRunner):
    """Base of the library's own runners."""

    @abstractmethod
    def _steps(self, task: Task, run: Run) -> Steps:
        """Yield the chunks of a run; the last is this runner's own `done`."""

    @abstractmethod
    def _parts(self) -> Iterable[AsyncRunner]:
        """Return the sub-runners in order; a leaf, which has a history of its own, has none."""

    @property
    def messages(self) -> MessageHistory:
        """The histories of all sub-runners, keyed by runner name; equal names are numbered."""
        return Histories({name: history for _, name, history in histories(self)})

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
        """Run the task and return the answer.

        Args:
            task: The user's text.
            generate_kwargs: Options for every model request of this run; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            images: Images to send with the text: paths, bytes, URLs or data URLs.
            timeout: Seconds for the whole run; None is no limit.
            include: The phases that a stream yields; None yields all.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            InvalidOptionError: `task` is not a str, or is blank and has no images; an option is invalid; or a runner is
                a part of itself.
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            BusyConversationError: A conversation of the runner is in use.
            ProviderError: A model service fails, or its answer is unusable.
        """
        given = Task.asked(task, generate_kwargs, images, "task")
        deque(leaves(self), maxlen=0)  # raises at the call if a runner is a part of itself
        return start(
            lambda run: self._steps(given, run),
            name=f"{type(self).__name__}.run",
            what=lambda: run_of(self),
            stream=stream,
            labels=lambda: labels(self),
            timeout=timeout,
            include=include,
        )


def start(
    steps: Callable[[Run], Steps],
    *,
    name: str,
    what: Callable[[], str],
    stream: bool,
    labels: Callable[[], dict[int, str]] = dict,
    timeout: float | None,
    include: Include,
) -> Coroutine[Any, Any, str] | Stream:
    """Return a coroutine of the result of `steps`, or with `stream` its `Stream`.

    Args:
        steps: Begins the run.
        name: The name of the public method, for Python's warning about a forgotten `await`.
        what: Returns what the caller waits for, for the error when `timeout` expires.
        stream: Whether to return a `Stream`.
        labels: Returns the names of the leaves in the run.
        timeout: Seconds for the whole run; None is no limit.
        include: The phases that a stream yields; None yields all.

    Raises:
        InvalidOptionError: `timeout` or `include` is invalid.
    """
    timeout = checked_timeout(timeout)
    if stream:
        return Stream(steps, labels=labels, include=include, timeout=timeout, what=what)
    coroutine: Any = _result(steps, labels, timeout, what)
    coroutine.__qualname__ = name
    result: Coroutine[Any, Any, str] = coroutine
    return result


def run_of(runner: AsyncRunner) -> str:
    """Return what somebody who runs `runner` waits for, for error texts."""
    return f"the run of {getattr(runner, 'name', None) or 'agent'!r}"


async def _result(
    steps: Callable[[Run], Steps],
    labels: Callable[[], dict[int, str]],
    timeout: float | None,
    what: Callable[[], str],
) -> str:
    run = plain_run(labels())
    with nullcontext() if timeout is None else within(timeout, what):
        done = await drain(steps(run), run.sink or discard)
    return str(done.content)


def steps_of(runner: AsyncRunner, task: Task, run: Run) -> Steps:
    """Yield the steps of any runner, including a user's own."""
    if isinstance(runner, StepRunner) and type(runner).run is StepRunner.run:
        return runner._steps(task, run)
    kwargs, images = task.copies()
    return foreign_steps(lambda: runner.run(task.text, kwargs, run.streaming, images), run)


async def _outcome(call: Callable[[], Any]) -> Any:
    """Return the answer or the chunks of a user's own `run` or `chat`, which `call` calls."""
    pending = call()
    if not isawaitable(pending) and not hasattr(pending, "__aiter__"):
        raise InvalidOptionError(
            f"a run returned {type(pending).__name__}, which cannot be awaited; "
            "aimu.aio needs async runners and clients, so use sync ones in the workflows of aimu.agents"
        )
    outcome: Any = await pending if isawaitable(pending) else pending
    if not isinstance(outcome, str) and not hasattr(outcome, "__aiter__"):
        raise InvalidOptionError(
            f"a run returned {type(outcome).__name__}; "
            "return the answer as a str, or with stream=True an async iterator of chunks"
        )
    return outcome


async def foreign_steps(call: Callable[[], Any], run: Run) -> Steps:
    """Yield the steps of a user's own `run` or `chat`, which `call` calls."""
    outcome = await _outcome(call)
    if isinstance(outcome, str):
        yield StreamChunk(DONE, outcome)
        return
    text: list[str] = []
    done: StreamChunk | None = None
    # A user's generator may hold a scope across its yields. So its loop yields nothing if there is a sink, nor if each
    # step of a pulled stream has a scope for its deadline, which must not close before one that it contains.
    held: list[StreamChunk] = []
    hold = run.sink is None and run.state.timed
    failure: Exception | None = None
    try:
        async with Nested(outcome) as items:
            async for chunk in items:
                if chunk.phase is DONE:
                    done = chunk
                    continue
                if chunk.is_text():
                    text.append(chunk.content)
                if run.sink is not None:
                    await run.sink(chunk)
                elif hold:
                    held.append(chunk)
                else:
                    yield chunk
    except Exception as exc:
        if not held:
            raise
        failure = exc
    for chunk in held:
        yield chunk
    if failure is not None:
        raise failure
    yield done or StreamChunk(DONE, "".join(text))


def leaves(runner: AsyncRunner, above: tuple[AsyncRunner, ...] = ()) -> Iterator[AsyncRunner]:
    """Yield in order the runners below `runner` that have a history of their own, or `runner` itself if it is one.

    Raises:
        InvalidOptionError: `runner`, or a runner below it, is one of its own parts.
    """
    parts = list(runner._parts()) if isinstance(runner, StepRunner) else []
    if not parts:
        yield runner
        return
    path = (*above, runner)
    for part in parts:
        found = [one is part for one in path]
        if any(found):
            circle = " -> ".join(_shown(one) for one in (*path[found.index(True) :], part))
            raise InvalidOptionError(f"a runner cannot be a part of itself: {circle}")
        yield from leaves(part, path)


def _shown(runner: AsyncRunner) -> str:
    name = getattr(runner, "name", None)
    return type(runner).__name__ + (f" {name!r}" if name else "")


def unique(runners: Iterable[AsyncRunner]) -> list[AsyncRunner]:
    return list({id(runner): runner for runner in runners}.values())


class Numbering:
    """Makes names unique: `name`, then `name_2`, `name_3`, …"""

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
    """Yield each history below `runner`: its leaf, its name in a run of `runner`, its messages.

    A leaf's `name#2` is a further call of its `name` and gets the same number.
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
    """Return the name of each leaf in a run of `runner`, by id.

    The names are the keys of `runner.messages`. A leaf alone keeps its own name, so the result is then empty.
    """
    names: dict[int, str] = {}
    if isinstance(runner, StepRunner) and not list(runner._parts()):
        return names
    for leaf, name, _ in histories(runner):
        names.setdefault(id(leaf), name)
    return names
