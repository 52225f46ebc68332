"""Adapters that let users' own sync runners, clients and orchestrators take part in async runs.

An adapter calls sync code on the thread that the run names: the caller's thread, or a worker thread in concurrent
branches. The bases of the generated twins, which decide when an adapter is needed, are here too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import cached_property, partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, final

from anyio import CancelScope, from_thread
from attrs import frozen

from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.messages import Message
from aimu._core.threads import run_in_thread
from aimu._output._expected import Expected
from aimu._sync.twin import Facade, aio_of, overridden
from aimu.aio._agent import AgentResponder
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._conversation import Conversation
from aimu.aio._foreign import END, answer_of, checked_chunk, foreign_steps
from aimu.aio._orchestrator import OrchestratorAgent, held_by
from aimu.aio._outcome import Terms
from aimu.aio._responder import Responder
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import AsyncRunner, StepRunner, steps_of
from aimu.errors import InvalidOptionError

if TYPE_CHECKING:
    from aimu._sync.agents import Agent
    from aimu._sync.client import BaseModelClient


class AdaptedRunner:
    """Base of all sync runners; async code calls a user's own `run` through an adapter."""

    _adapter: _OwnRunner | None = None

    def _as_aio(self) -> AsyncRunner:
        if isinstance(self, Facade) and not overridden(self, "run"):
            twin: AsyncRunner = self.__aio__
            return twin
        # A copy starts with the adapter of the object that it was copied from.
        if self._adapter is None or self._adapter.__sync__ is not self:
            self._adapter = _OwnRunner(self)
        return self._adapter


class AdaptedClient(Facade):
    """Base of the sync clients; async code calls a user's own `chat` or `generate` through an adapter."""

    def _as_aio(self) -> AsyncBaseModelClient:
        own = overridden(self, "chat", "generate")
        client: AsyncBaseModelClient = self.__aio__._with(_OwnChat(self)) if own else self.__aio__
        return client


class Orchestrating(Facade):
    """Base of sync orchestrators.

    The first access creates the async twin, usually when a subclass's `__init__` calls `_init_orchestrator`.
    """

    if not TYPE_CHECKING:  # type checkers use the type that the twin declares

        @cached_property
        def __aio__(self):
            self._hold(_Orchestrator(self))
            return self.__aio__


def client_of(agent: Agent) -> BaseModelClient:
    """Return a client of an agent's conversation whose `chat` runs the agent, through the user's own `run` if any."""
    twin = agent.__aio__
    responder = _OwnAgent(twin, agent) if overridden(agent, "run") else AgentResponder(twin)
    return agent.model_client._like(twin.model_client._with(responder))


def factory_of(given: Any) -> Any:
    """Return the factory that async code uses for a runner that is forked for each task, or for a user's factory."""
    make = getattr(given, "fork", None) if isinstance(given, AdaptedRunner) else given
    return (lambda: aio_of(make())) if callable(make) else aio_of(given)


@final
class _OwnRunner(StepRunner):
    """A user's own sync runner as an async one."""

    def __init__(self, runner: Any) -> None:
        self.__sync__ = runner

    @property
    def name(self) -> str | None:
        return getattr(self.__sync__, "name", None)

    def _kept(self) -> Mapping[str, list[Message]]:
        histories: Mapping[str, list[Message]] = self.__sync__.messages
        return histories

    def _parts(self) -> Iterable[AsyncRunner]:
        return ()

    def _steps(self, task: Task, run: Run) -> Steps:
        kwargs, images = task.copies()
        key = run.state.labels.get(id(self))
        return own_steps(partial(self.__sync__.run, task.text, kwargs, run.streaming, images), run, key, task.expected)


@final
@frozen(eq=False)
class _OwnChat(Responder):
    """The responder of a sync client whose `chat` or `generate` the user wrote."""

    __sync__: Any

    @property
    def conversation(self) -> Conversation:
        conversation: Conversation = self.__sync__.conversation
        return conversation

    @property
    def beneath(self) -> Responder:
        responder: Responder = self.__sync__.__aio__._responder
        return responder

    def chat(
        self, task: Task, run: Run, *, use_tools: bool = True, terms: Terms | None = None, label: str | None = None
    ) -> Steps:
        kwargs, images = task.copies()
        own = partial(self.__sync__.chat, task.text, kwargs, use_tools, run.streaming, images)
        return own_steps(own, run, label, task.expected)

    def generate(self, task: Task, run: Run) -> Steps:
        kwargs, images = task.copies()
        return own_steps(
            partial(self.__sync__.generate, task.text, kwargs, run.streaming, images), run, None, task.expected
        )

    def fork(self, system_message: str | None, keep_history: bool) -> _OwnChat:
        return _OwnChat(self.__sync__._like(self.__sync__.__aio__._fork(system_message, keep_history)))


@final
@frozen(eq=False)
class _OwnAgent(AgentResponder):
    """Makes a client stand for an agent whose sync `run` the user wrote."""

    facade: Any

    def _run(self, task: Task, run: Run, label: str | None) -> Steps:
        return steps_of(self.facade._as_aio(), task, run)

    def fork(self, system_message: str | None, keep_history: bool) -> _OwnAgent:
        fork = self.facade.fork(system_message, keep_history)
        return _OwnAgent(fork.__aio__, fork)


@final
class _Orchestrator(OrchestratorAgent):
    """The twin of a user's own subclass; its sub-runners are attributes of the sync object."""

    def __init__(self, facade: Orchestrating) -> None:
        self._facade = facade

    def _parts(self) -> Iterable[AsyncRunner]:
        return [self.agent, *(aio_of(part) for part in held_by(self._facade) if isinstance(part, AdaptedRunner))]


def own_steps(call: Callable[[], Any], run: Run, agent: str | None, expected: Expected | None) -> Steps:
    """Yield the steps of a user's sync code, which `call` starts, for the agent of this name."""
    return foreign_steps(lambda: _start(call, run), run, agent, expected)


async def _start(call: Callable[[], Any], run: Run) -> str | AsyncGenerator[StreamChunk, None]:
    if run.in_thread is run_in_thread and run.streaming:
        if run.sink is None:
            return _collect(call)
        sink: Any = run.sink  # AnyIO's annotation asks for a coroutine function, but any awaitable works
        return await run_in_thread(_drain, call, partial(from_thread.run, sink))
    outcome = _check(await run.in_thread(call))
    return outcome if isinstance(outcome, str) else _pull(outcome, run)


def _check(outcome: Any) -> str | Iterable[StreamChunk]:
    if isawaitable(outcome) or not isinstance(outcome, Iterable):
        getattr(outcome, "close", lambda: None)()
        raise InvalidOptionError(
            f"a run returned {type(outcome).__name__}; the workflows of aimu.agents need sync runners and clients, "
            "so use async ones in the workflows of aimu.aio"
        )
    return outcome


async def _pull(outcome: Iterable[StreamChunk], run: Run) -> AsyncGenerator[StreamChunk, None]:
    """Yield the chunks one by one, getting each on the caller's thread."""
    chunks = iter(outcome)
    try:
        while (item := await run.in_thread(lambda: next(chunks, END))) is not END:
            chunk = checked_chunk(item)
            if chunk.phase is StreamingContentType.DONE:
                chunk = StreamChunk(chunk.phase, answer_of(outcome, chunk.content), chunk.agent, chunk.iteration)
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            # Shielded, since the user's generator must close on its own thread. No bound but the user's code, which
            # runs on the caller's thread and can be stopped there by Ctrl-C.
            with CancelScope(shield=True):
                await run.in_thread(close)


async def _collect(call: Callable[[], Any]) -> AsyncGenerator[StreamChunk, None]:
    """Yield all chunks after the last one has come, because the worker thread that begins a stream must finish it."""
    chunks: list[StreamChunk] = []
    answer = await run_in_thread(_drain, call, chunks.append)
    for chunk in chunks:
        yield chunk
    yield StreamChunk(StreamingContentType.DONE, answer)


def _drain(call: Callable[[], Any], show: Callable[[StreamChunk], object]) -> str:
    """Pass all chunks to `show` and return the answer.

    This runs in one worker thread, because a sync stream is bound to the thread that began it.
    """
    outcome = _check(call())
    if isinstance(outcome, str):
        return outcome
    said: list[str] = []
    for item in outcome:
        chunk = checked_chunk(item)
        if chunk.phase is StreamingContentType.DONE:
            answer: str = answer_of(outcome, chunk.content)
            return answer
        if chunk.is_text():
            said.append(chunk.content)
        show(chunk)
    return "".join(said)
