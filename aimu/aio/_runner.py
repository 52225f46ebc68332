"""Runners: the public abstract class, the base of the library's own runners, and how runners run each other.

Owns the names of runners in a run: one function numbers equal names, for chunks and for `messages` alike. Agents and
workflows are elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from aimu._core.answer import Answer, AnyAnswer
from aimu._core.chunks import Include, StreamChunk, StreamingContentType
from aimu._core.messages import Message
from aimu._doors import public
from aimu._output._expected import RETRIES, Expected, OutputMode, OutputValidator
from aimu.aio._deadline import checked_timeout, within
from aimu.aio._foreign import foreign_steps
from aimu.aio._restore import Histories, load
from aimu.aio._run import Run, Steps, Task, discard, drain, plain_run
from aimu.aio._stream import Stream
from aimu.errors import InvalidOptionError

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

MessageHistory: TypeAlias = dict[str, list[Message]]
"""The histories of all agents of a runner, by their names."""

DONE = StreamingContentType.DONE


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

    def _writers(self) -> Iterable[AsyncRunner]:
        """Return the sub-runners that may write the answer.

        Raises:
            InvalidOptionError: None of them writes it alone, so that it cannot have a type.
        """
        return ()

    @property
    def messages(self) -> MessageHistory:
        """The histories of all sub-runners, keyed by runner name; equal names are numbered.

        Assign what it gave earlier, also through JSON and in another process, to load the histories of a whole team: of
        all runners in it, or of none if one cannot be loaded. A runner that has no key keeps its history; so does a
        system message if the loaded history has none.

        Raises:
            InvalidOptionError: On assignment, a key is not the name of a runner, or a value is not a list.
            InvalidHistoryError: On assignment, a history is not valid.
            BusyConversationError: On assignment, a turn is running.
        """
        return Histories({name: history for _, _, name, history in histories(self)})

    @messages.setter
    def messages(self, saved: Mapping[str, Sequence[Message]]) -> None:
        load([(leaf, own, name) for leaf, own, name, _ in histories(self)], saved)

    def _kept(self) -> Mapping[str, list[Message]]:
        """Return the histories that are this runner's own, not a sub-runner's, by its own names for them."""
        return {}

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
        context: Any = None,
        output_type: None = None,
    ) -> Coroutine[Any, Any, Answer]: ...
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
        context: Any = None,
        output_type: TypeForm[T],
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[T]]: ...
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream: ...
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream:
        """Run the task and return the answer.

        Args:
            task: The user's text.
            generate_kwargs: Options for every model request of this run; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            images: Images to send with the text: paths, bytes, URLs or data URLs.
            timeout: Seconds for the whole run; None is no limit.
            include: The phases that a stream yields; None yields all.
            context: Any object for the tools of this run, which get it with `aimu.tools.current_call().context`.
            output_type: The type that the answer must have; its value is `output` of the answer. None takes any text.
            output_mode: How the model is held to the type: "schema" by the service's mode for JSON Schemas, "tool" by a
                tool that takes the answer, "prompt" by asking; "auto" takes the strongest that there is.
            output_retries: How often the model may give another answer after one that does not fit.
            output_validator: A function, sync or async, that gets the value and raises ValueError with what is wrong.
                A sync one runs where sync tools run, and a timeout or a cancellation waits for its end.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            InvalidOptionError: `task` is not a str, or is blank and has no images; an option is invalid; or a runner is
                a part of itself.
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            BusyConversationError: A conversation of the runner is in use.
            ProviderError: A model service fails, or its answer is unusable.
        """
        deque(leaves(self), maxlen=0)  # raises at the call if a runner is a part of itself
        expected = Expected.asked(output_type, output_mode, output_retries, output_validator)
        if expected is not None:
            check_writers(self)
        given = Task.asked(task, generate_kwargs, images, "task", expected)
        return start(
            lambda run: self._steps(given, run),
            name=f"{type(self).__name__}.run",
            what=lambda: run_of(self),
            stream=stream,
            labels=lambda: labels(self),
            timeout=timeout,
            include=include,
            context=context,
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
    context: Any,
) -> Coroutine[Any, Any, Answer] | Stream:
    """Return a coroutine of the result of `steps`, or with `stream` its `Stream`.

    Args:
        steps: Begins the run.
        name: The name of the public method, for Python's warning about a forgotten `await`.
        what: Returns what the caller waits for, for the error when `timeout` expires.
        stream: Whether to return a `Stream`.
        labels: Returns the names of the leaves in the run.
        timeout: Seconds for the whole run; None is no limit.
        include: The phases that a stream yields; None yields all.
        context: What the user passes for the tools.

    Raises:
        InvalidOptionError: `timeout` or `include` is invalid.
    """
    timeout = checked_timeout(timeout)
    if stream:
        return Stream(steps, labels=labels, include=include, timeout=timeout, what=what, context=context)
    coroutine: Any = _result(steps, labels, timeout, what, context)
    coroutine.__qualname__ = name
    result: Coroutine[Any, Any, Answer] = coroutine
    return result


def run_of(runner: AsyncRunner) -> str:
    """Return what somebody who runs `runner` waits for, for error texts."""
    return f"the run of {getattr(runner, 'name', None) or 'agent'!r}"


async def _result(
    steps: Callable[[Run], Steps],
    labels: Callable[[], dict[int, str]],
    timeout: float | None,
    what: Callable[[], str],
    context: Any,
) -> Answer:
    run = plain_run(labels(), context)
    with nullcontext() if timeout is None else within(timeout, what):
        return await drain(steps(run), run.sink or discard)


async def run_typed(runner: AsyncRunner, task: Task) -> AnyAnswer:
    """Run a runner, perhaps a user's own, for an answer with a type."""
    check_writers(runner)
    return await _result(
        lambda run: steps_of(runner, task, run), lambda: labels(runner), None, lambda: run_of(runner), None
    )


def steps_of(runner: AsyncRunner, task: Task, run: Run) -> Steps:
    """Yield the steps of any runner, including a user's own."""
    if isinstance(runner, StepRunner) and type(runner).run is StepRunner.run:
        return runner._steps(task, run)
    kwargs, images = task.copies()
    key = run.state.labels.get(id(runner))
    return foreign_steps(lambda: runner.run(task.text, kwargs, run.streaming, images), run, key, task.expected)


def check_writers(runner: AsyncRunner) -> None:
    """Raise InvalidOptionError if the answer of `runner` cannot have a type."""
    for writer in runner._writers() if isinstance(runner, StepRunner) else ():
        check_writers(writer)


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


def histories(runner: AsyncRunner) -> Iterator[tuple[AsyncRunner, str, str, list[Message]]]:
    """Yield each history below `runner`: its leaf, the leaf's name for it, its name in a run of `runner`, its messages.

    A leaf's `name#2` is a further call of its `name` and gets the same number.
    """
    numbered = Numbering()
    for leaf in unique(leaves(runner)):
        given: dict[str, str] = {}
        for name, history in _kept_by(leaf).items():
            called, mark, call = name.rpartition("#")
            key = f"{given[called]}#{call}" if mark and called in given else numbered(name)
            given[name] = key
            yield leaf, name, key, history


def _kept_by(leaf: AsyncRunner) -> Mapping[str, list[Message]]:
    if isinstance(leaf, StepRunner) and type(leaf).messages is StepRunner.messages:
        return leaf._kept()
    return leaf.messages


def labels(runner: AsyncRunner) -> dict[int, str]:
    """Return the name of each leaf in a run of `runner`, by id.

    The names are the keys of `runner.messages`. A leaf alone keeps its own name, so the result is then empty.
    """
    names: dict[int, str] = {}
    if isinstance(runner, StepRunner) and not list(runner._parts()):
        return names
    for leaf, _, name, _ in histories(runner):
        names.setdefault(id(leaf), name)
    return names
