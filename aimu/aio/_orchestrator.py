"""The orchestrator: an agent whose tools are other agents. Owns the conversations of workers, one for each call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, final

from attrs import define, field

from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._run import ENCLOSING, Run, RunState, Steps, Task, discard, drain, plain_run
from aimu.aio._runner import AsyncRunner, MessageHistory, StepRunner, steps_of
from aimu.errors import InvalidOptionError
from aimu.tools._definition import Tool
from aimu.tools._toolbox import Toolbox


class OrchestratorAgent(StepRunner):
    """An agent that delegates parts of its task to workers, as tool calls.

    `assemble` makes one from a list of agents. A subclass makes workers and tools in its `__init__` and then calls
    `_init_orchestrator`; `messages` includes the runners that it keeps as attributes, or in lists and dicts there.

    Example:
        workers = [aio.Agent(client, "Search.", "search"), aio.Agent(client, "Write.", "write")]
        team = aio.OrchestratorAgent.assemble(client, "Delegate each part of the task.", workers=workers)
        print(await team.run("Report on tides."))
    """

    _agent: Agent | None = None

    def _init_orchestrator(
        self,
        model_client: AsyncBaseModelClient,
        *,
        name: str,
        system_message: str | None,
        tools: list[Callable[..., Any]],
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        """Make the agent that orchestrates; a subclass calls this at the end of its `__init__`.

        Args:
            model_client: The agent gets a conversation of its own, forked from this client.
            name: The agent's name in chunks and in `messages`.
            system_message: The agent's system message; None keeps that of the client.
            tools: The functions that call the workers.
            concurrent_tool_calls: Whether the calls of one model reply overlap; a number lets at most so many.
        """
        self._agent = Agent(
            model_client, system_message, name, tools=tools, concurrent_tool_calls=concurrent_tool_calls
        )

    @classmethod
    def assemble(
        cls,
        model_client: AsyncBaseModelClient,
        system_message: str,
        *,
        workers: Sequence[Agent],
        name: str = "orchestrator",
        concurrent_tool_calls: bool | int = True,
    ) -> Self:
        """Make an orchestrator with one tool for each worker, named after it and described by its system message.

        Each call of a worker is a new conversation with the worker's system message and tools. `messages` has the calls
        of the latest run that called the worker, in the order in which they began, as `name`, `name#2`, `name#3`, …;
        chunks carry the same names.

        Args:
            model_client: The agent that orchestrates gets a conversation of its own, forked from this client.
            system_message: Its system message.
            workers: The agents that it may call; their names must differ.
            name: Its name in chunks and in `messages`.
            concurrent_tool_calls: Whether the calls of one model reply overlap; a number lets at most so many.

        Returns:
            The orchestrator.

        Raises:
            ToolNameClashError: Two workers have the same name.
        """
        self = cls.__new__(cls)
        self._workers = [_Worker(worker) for worker in workers]
        tools: list[Any] = [worker.tool(f"worker_{n}") for n, worker in enumerate(self._workers, 1)]
        Toolbox(tools)  # two workers of one name are an error here, not in the first run
        self._init_orchestrator(
            model_client,
            name=name,
            system_message=system_message,
            tools=tools,
            concurrent_tool_calls=concurrent_tool_calls,
        )
        return self

    _workers: list[_Worker]

    @property
    def agent(self) -> Agent:
        """The agent that orchestrates."""
        if self._agent is None:
            raise InvalidOptionError(f"{type(self).__name__}.__init__ has to call self._init_orchestrator(...)")
        return self._agent

    @property
    def name(self) -> str | None:
        """The name of the agent that orchestrates."""
        return self.agent.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.agent!r}>"

    def _parts(self) -> Iterable[AsyncRunner]:
        return [self.agent, *(part for part in held_by(self) if isinstance(part, AsyncRunner))]

    def _steps(self, task: Task, run: Run) -> Steps:
        return steps_of(self.agent, task, run)


def held_by(owner: object) -> Iterator[Any]:
    """The attributes of an object, and what lists and dicts among them hold."""
    for value in vars(owner).values():
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value


@final
@define(eq=False)
class _Worker(StepRunner):
    """An agent as a tool. Each run of it is a call; those of one enclosing run are kept, until another has calls."""

    agent: Agent
    _calls: list[Agent] = field(factory=list[Agent], init=False)
    _within: RunState | None = field(default=None, init=False)

    @property
    def messages(self) -> MessageHistory:
        name = self.agent.name or "agent"
        histories = [history for call in self._calls or [self.agent] for history in call.messages.values()]
        return {_numbered(name, call): history for call, history in enumerate(histories, 1)}

    def _parts(self) -> Iterable[AsyncRunner]:
        return ()

    def _steps(self, task: Task, run: Run) -> Steps:
        if self._within is not run.state:
            self._within, self._calls = run.state, []
        call = self.agent.fork()
        self._calls.append(call)
        call.name = _numbered(run.label(self, self.agent.name or "agent") or "agent", len(self._calls))
        return steps_of(call, task, run)

    def tool(self, nameless: str) -> Tool:
        """The tool, named after the worker as far as services allow; `nameless` where nothing is left of the name."""

        async def ask(task: str) -> str:
            """Give the worker a task.

            Args:
                task: Everything that the worker has to know; it sees nothing but this text.
            """
            run = ENCLOSING.get() or plain_run({})
            done = await drain(self._steps(Task(task), run), run.sink or discard)
            return str(done.content)

        who = self.agent.name or "agent"
        name = re.sub(r"[^a-zA-Z0-9_-]+", "_", who)[:64]
        purpose = (self.agent.model_client.system_message or "").strip().partition("\n")[0]
        return Tool(
            name=name if name.strip("_") else nameless,
            function=ask,
            description=purpose or f"Give a task to {self.agent.name or 'an agent'}.",
            origin=f"worker {who!r}",
        )


def _numbered(name: str, call: int) -> str:
    return name if call == 1 else f"{name}#{call}"
