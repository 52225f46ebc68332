"""Sync runners: the base class of users' own, the base of the facades, and how a user's own runs among ours.

An adapter calls sync code where the run says: on the caller's thread, in concurrent branches in a worker thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from functools import partial
from inspect import isawaitable
from typing import Any, Literal, final, overload

from anyio import CancelScope, from_thread

from aimu._sync.stream import Stream, perform
from aimu._sync.twin import Facade
from aimu.aio.run import Run, Steps, Task
from aimu.aio.runner import AsyncRunner, MessageHistory, StepRunner, foreign_steps
from aimu.core.chunks import Include, StreamChunk, StreamingContentType
from aimu.core.threads import run_in_thread
from aimu.errors import InvalidOptionError


class Runner(ABC):
    """Base of every agent and workflow; a subclass of your own fits wherever a runner does.

    Runners call each other with the four parameters of `run` only.
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
    ) -> str | Iterator[StreamChunk]:
        """Run the task to its answer, or with `stream=True` give an iterator of its chunks."""

    _adapter: AsyncRunner | None = None

    def _as_aio(self) -> AsyncRunner:
        if self._adapter is None:
            self._adapter = _OwnRunner(self)
        return self._adapter


class TwinRunner(Facade, Runner):
    """Base of the library's own runners."""

    @property
    def messages(self) -> MessageHistory:
        """Message histories of all sub-runners, keyed by runner name; equal names are numbered."""
        histories: MessageHistory = self.__aio__.messages
        return histories

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
    ) -> str: ...
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
    ) -> str | Stream: ...
    def run(
        self,
        task: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        *,
        timeout: float | None = None,
        include: Include = None,
    ) -> str | Stream:
        """Run the task to its answer.

        With `stream=True` gives a `Stream`. `generate_kwargs` hold for every request of this run; `images` go with the
        first message. `timeout` is in seconds; on expiry TimeoutError is raised, and what was done so far stays in the
        history. `include` names the phases that a stream shows.
        """
        return perform(self.__aio__.run(task, generate_kwargs, stream, images, timeout=timeout, include=include))

    def _as_aio(self) -> AsyncRunner:
        if type(self).run is not TwinRunner.run:
            return Runner._as_aio(self)
        twin: StepRunner = self.__aio__
        return twin


@final
class _OwnRunner(StepRunner):
    """A user's own sync runner among async ones."""

    def __init__(self, runner: Runner) -> None:
        self.__sync__ = runner

    @property
    def name(self) -> str | None:
        return getattr(self.__sync__, "name", None)

    @property
    def messages(self) -> MessageHistory:
        return self.__sync__.messages

    def _parts(self) -> Iterable[AsyncRunner]:
        return ()

    def _steps(self, task: Task, run: Run) -> Steps:
        kwargs, images = task.copies()
        return own_steps(partial(self.__sync__.run, task.text, kwargs, run.streaming, images), run)


def own_steps(call: Callable[[], Any], run: Run) -> Steps:
    """Steps of sync code of the user's own, begun by `call`."""
    return foreign_steps(lambda: _begun(call, run), run)


async def _begun(call: Callable[[], Any], run: Run) -> str | AsyncGenerator[StreamChunk, None]:
    if run.in_thread is run_in_thread and run.streaming:
        if run.sink is None:
            return _held(call)
        sink: Any = run.sink  # AnyIO wants a coroutine function where any awaitable does
        return await run_in_thread(_drained, call, partial(from_thread.run, sink))
    outcome = _checked(await run.in_thread(call))
    return outcome if isinstance(outcome, str) else _pulled(outcome, run)


def _checked(outcome: Any) -> str | Iterable[StreamChunk]:
    if isawaitable(outcome) or not isinstance(outcome, Iterable):
        getattr(outcome, "close", lambda: None)()
        raise InvalidOptionError(
            f"a run gave {type(outcome).__name__}: the workflows of aimu.agents take sync runners and clients; "
            "async ones go into those of aimu.aio"
        )
    return outcome


async def _pulled(outcome: Iterable[StreamChunk], run: Run) -> AsyncGenerator[StreamChunk, None]:
    """The chunks one by one, each on the caller's thread."""
    chunks = iter(outcome)
    try:
        while (chunk := await run.in_thread(lambda: next(chunks, None))) is not None:
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            with CancelScope(shield=True):  # it is the user's: as long as it takes
                await run.in_thread(close)


async def _held(call: Callable[[], Any]) -> AsyncGenerator[StreamChunk, None]:
    """All chunks, once the last is there: the worker thread that begins a stream has to read it to its end."""
    chunks: list[StreamChunk] = []
    answer = await run_in_thread(_drained, call, chunks.append)
    for chunk in chunks:
        yield chunk
    yield StreamChunk(StreamingContentType.DONE, answer)


def _drained(call: Callable[[], Any], show: Callable[[StreamChunk], object]) -> str:
    """The answer, after all chunks; read in one worker thread, since a stream inside it is bound to its thread."""
    outcome = _checked(call())
    if isinstance(outcome, str):
        return outcome
    said: list[str] = []
    for chunk in outcome:
        if chunk.phase is StreamingContentType.DONE:
            return str(chunk.content)
        if chunk.is_text():
            said.append(chunk.content)
        show(chunk)
    return "".join(said)
