"""The sync agents: twins of `aimu.aio`'s. They decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Self, final

from attrs import frozen

from aimu import aio
from aimu._sync.client import BaseModelClient
from aimu._sync.runner import Runner, TwinRunner
from aimu._sync.twin import FACTORY, Mirror, Twins, aio_of, twin_of
from aimu.aio.agent import DEFAULT_CONTINUATION_PROMPT, AgentResponder
from aimu.aio.orchestrator import held_by
from aimu.aio.run import Run, Steps, Task
from aimu.aio.runner import AsyncRunner, steps_of
from aimu.skills import SkillManager


@twin_of(aio.Agent)
class Agent(TwinRunner):
    """A model that works on a task with tools until it answers.

    The given client is forked with its history: agents built on one client do not disturb each other or the client;
    `model_client` is the agent's own conversation. `system_message` and `tools` are the client's where not given.
    `max_iterations` bounds the model requests of a run that may call tools; at the limit pending calls are settled as
    not executed and one more request asks for the answer. `continuation_prompt` is sent when the model's turn came
    back empty. History persists over runs unless `reset_messages_on_run`. `concurrent_tool_calls` overlaps the calls
    of one iteration in worker threads (True, or how many at once); else sync tools run on the caller's thread.
    """

    __aio__: aio.Agent

    model_client: Mirror[BaseModelClient] = Twins()
    system_message: Mirror[str | None] = Mirror()
    name: Mirror[str | None] = Mirror()
    tools: Mirror[list[Callable[..., Any]]] = Mirror()
    max_iterations: Mirror[int] = Mirror()
    continuation_prompt: Mirror[str] = Mirror()
    reset_messages_on_run: Mirror[bool] = Mirror()
    concurrent_tool_calls: Mirror[bool | int] = Mirror()

    def __init__(
        self,
        model_client: BaseModelClient,
        system_message: str | None = None,
        name: str | None = None,
        tools: list[Callable[..., Any]] = FACTORY,
        max_iterations: int = 10,
        continuation_prompt: str = DEFAULT_CONTINUATION_PROMPT,
        reset_messages_on_run: bool = False,
        *,
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        self._hold(
            aio.Agent(
                aio_of(model_client),
                system_message,
                name,
                tools,
                max_iterations,
                continuation_prompt,
                reset_messages_on_run,
                concurrent_tool_calls=concurrent_tool_calls,
            )
        )

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """The same agent on a new conversation."""
        return self._like(self.__aio__.fork(system, keep_history))

    def as_model_client(self) -> BaseModelClient:
        """A client whose every `chat` runs this agent's loop on this agent's conversation."""
        own = type(self).run is not TwinRunner.run
        responder = _OwnAgent(self.__aio__, self) if own else AgentResponder(self.__aio__)
        return self.model_client._like(self.__aio__.model_client._with(responder))


@final
@frozen(eq=False)
class _OwnAgent(AgentResponder):
    """An agent whose sync `run` the user wrote, in the place of its client."""

    facade: Agent

    def _run(self, task: Task, run: Run, label: str | None) -> Steps:
        return steps_of(self.facade._as_aio(), task, run)

    def fork(self, system_message: str | None, keep_history: bool) -> _OwnAgent:
        fork = self.facade.fork(system_message, keep_history)
        return _OwnAgent(fork.__aio__, fork)


@twin_of(aio.SkillAgent)
class SkillAgent(Agent):
    """An agent whose model sees which skills there are, and loads one when a task needs it.

    At the start of each run the catalog of `skill_manager` is brought up to date in the system message (the history and
    your own text stay), and `activate_skill`, `list_skill_files`, `read_skill_file` and, for a shortened catalog,
    `search_skills` are put among `tools` unless tools of these names are there. Without skills it is a plain agent.
    """

    skill_manager: Mirror[SkillManager] = Mirror()

    def __init__(
        self,
        model_client: BaseModelClient,
        system_message: str | None = None,
        name: str | None = None,
        tools: list[Callable[..., Any]] = FACTORY,
        max_iterations: int = 10,
        continuation_prompt: str = DEFAULT_CONTINUATION_PROMPT,
        reset_messages_on_run: bool = False,
        skill_manager: SkillManager = FACTORY,
        *,
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        self._hold(
            aio.SkillAgent(
                aio_of(model_client),
                system_message,
                name,
                tools,
                max_iterations,
                continuation_prompt,
                reset_messages_on_run,
                skill_manager,
                concurrent_tool_calls=concurrent_tool_calls,
            )
        )


@twin_of(aio.OrchestratorAgent)
class OrchestratorAgent(TwinRunner):
    """An agent that gives parts of its task to workers, as tool calls.

    `assemble` makes one of a list of agents. A subclass of its own makes workers and tools in `__init__` and then calls
    `_init_orchestrator`; runners that it keeps as attributes, or in lists and dicts there, are in `messages`.
    """

    agent: Mirror[Agent] = Twins()
    name: Mirror[str | None] = Mirror()

    @cached_property
    def __aio__(self) -> aio.OrchestratorAgent:
        self._hold(_Orchestrator(self))
        return self.__aio__

    def _init_orchestrator(
        self,
        model_client: BaseModelClient,
        *,
        name: str,
        system_message: str | None,
        tools: list[Callable[..., Any]],
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        """Make the agent that orchestrates, on a conversation forked from the client. `tools` call the workers."""
        self.__aio__._init_orchestrator(
            aio_of(model_client),
            name=name,
            system_message=system_message,
            tools=tools,
            concurrent_tool_calls=concurrent_tool_calls,
        )

    @classmethod
    def assemble(
        cls,
        model_client: BaseModelClient,
        system_message: str,
        *,
        workers: list[Agent],
        name: str = "orchestrator",
        concurrent_tool_calls: bool | int = True,
    ) -> Self:
        """An orchestrator with one tool for each worker, named after it and described by its system message.

        Each call of a worker is a conversation of its own, begun with the worker's system message and tools; calls of
        one iteration overlap. Two workers of one name are a ToolNameClashError. `messages` has, for each worker, the
        calls of the latest run that made any, in the order in which they began: under the worker's name, then `name#2`,
        `name#3`, …; chunks are tagged alike.
        """
        return cls._of(
            aio.OrchestratorAgent.assemble(
                aio_of(model_client),
                system_message,
                workers=aio_of(workers),
                name=name,
                concurrent_tool_calls=concurrent_tool_calls,
            )
        )


@final
class _Orchestrator(aio.OrchestratorAgent):
    """The twin of a user's own subclass: its sub-runners are the attributes of the sync object."""

    def __init__(self, facade: OrchestratorAgent) -> None:
        self._facade = facade

    def _parts(self) -> Iterable[AsyncRunner]:
        return [self.agent, *(aio_of(part) for part in held_by(self._facade) if isinstance(part, Runner))]
