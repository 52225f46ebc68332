"""Users' own sync runners, clients and orchestrators among the async ones that do the work.

An adapter calls sync code where the run says: on the caller's thread, in concurrent branches in a worker thread. The
bases of the generated twins that know when an adapter is due are here too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from functools import cached_property, partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, final

from anyio import CancelScope, from_thread
from attrs import frozen

from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu._core.threads import run_in_thread
from aimu._sync.twin import Facade, aio_of, overridden
from aimu.aio._agent import AgentResponder
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._conversation import Conversation
from aimu.aio._orchestrator import OrchestratorAgent, held_by
from aimu.aio._responder import Responder
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import AsyncRunner, MessageHistory, StepRunner, foreign_steps, steps_of
from aimu.aio._turn import Terms
from aimu.errors import InvalidOptionError

if TYPE_CHECKING:
    from aimu._sync.agents import Agent
    from aimu._sync.client import BaseModelClient


class AdaptedRunner:
    """Base of all sync runners; a run that is the user's own is called through an adapter."""

    _adapter: _OwnRunner | None = None

    def _as_aio(self) -> AsyncRunner:
        if isinstance(self, Facade) and not overridden(self, "run"):
            twin: AsyncRunner = self.__aio__
            return twin
        if self._adapter is None or self._adapter.__sync__ is not self:  # that of the one it was copied from
            self._adapter = _OwnRunner(self)
        return self._adapter


class AdaptedClient(Facade):
    """Base of the sync clients; so is one whose `chat` or `generate` is the user's own."""

    def _as_aio(self) -> AsyncBaseModelClient:
        own = overridden(self, "chat", "generate")
        client: AsyncBaseModelClient = self.__aio__._with(_OwnChat(self)) if own else self.__aio__
        return client


class Orchestrating(Facade):
    """Base of orchestrators: a subclass makes the async one in its own `__init__`, by `_init_orchestrator`."""

    if not TYPE_CHECKING:  # a type checker takes the type that the twin declares

        @cached_property
        def __aio__(self):
            self._hold(_Orchestrator(self))
            return self.__aio__


def client_of(agent: Agent) -> BaseModelClient:
    """The client of an agent's conversation whose `chat` runs the agent, by the user's own `run` if there is one."""
    twin = agent.__aio__
    responder = _OwnAgent(twin, agent) if overridden(agent, "run") else AgentResponder(twin)
    return agent.model_client._like(twin.model_client._with(responder))


def factory_of(given: Any) -> Any:
    """What async code is given for a runner that is forked for each task, or for a function that makes one."""
    make = getattr(given, "fork", None) if isinstance(given, AdaptedRunner) else given
    return (lambda: aio_of(make())) if callable(make) else aio_of(given)


@final
class _OwnRunner(StepRunner):
    """A user's own sync runner among async ones."""

    def __init__(self, runner: Any) -> None:
        self.__sync__ = runner

    @property
    def name(self) -> str | None:
        return getattr(self.__sync__, "name", None)

    @property
    def messages(self) -> MessageHistory:
        histories: MessageHistory = self.__sync__.messages
        return histories

    def _parts(self) -> Iterable[AsyncRunner]:
        return ()

    def _steps(self, task: Task, run: Run) -> Steps:
        kwargs, images = task.copies()
        return own_steps(partial(self.__sync__.run, task.text, kwargs, run.streaming, images), run)


@final
@frozen(eq=False)
class _OwnChat(Responder):
    """A sync client whose `chat` or `generate` the user wrote, among async ones."""

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
        return own_steps(partial(self.__sync__.chat, task.text, kwargs, use_tools, run.streaming, images), run)

    def generate(self, task: Task, run: Run) -> Steps:
        kwargs, images = task.copies()
        return own_steps(partial(self.__sync__.generate, task.text, kwargs, run.streaming, images), run)

    def fork(self, system_message: str | None, keep_history: bool) -> _OwnChat:
        return _OwnChat(self.__sync__._like(self.__sync__.__aio__._fork(system_message, keep_history)))


@final
@frozen(eq=False)
class _OwnAgent(AgentResponder):
    """An agent whose sync `run` the user wrote, in the place of its client."""

    facade: Any

    def _run(self, task: Task, run: Run, label: str | None) -> Steps:
        return steps_of(self.facade._as_aio(), task, run)

    def fork(self, system_message: str | None, keep_history: bool) -> _OwnAgent:
        fork = self.facade.fork(system_message, keep_history)
        return _OwnAgent(fork.__aio__, fork)


@final
class _Orchestrator(OrchestratorAgent):
    """The twin of a user's own subclass: its sub-runners are the attributes of the sync object."""

    def __init__(self, facade: Orchestrating) -> None:
        self._facade = facade

    def _parts(self) -> Iterable[AsyncRunner]:
        return [self.agent, *(aio_of(part) for part in held_by(self._facade) if isinstance(part, AdaptedRunner))]


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
