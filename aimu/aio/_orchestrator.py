"""The orchestrator: an agent whose tools are other agents. Owns the conversations of the workers, one for each call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, final

from attrs import define, field

from aimu._core.known import with_known_attributes
from aimu._core.messages import Message
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._run import ENCLOSING, Run, RunState, Steps, Task, discard, drain, plain_run
from aimu.aio._runner import AsyncRunner, StepRunner, steps_of
from aimu.errors import InvalidOptionError
from aimu.tools._definition import Tool
from aimu.tools._like import ToolLike
from aimu.tools._toolbox import Toolbox


@public("aimu.aio")
@with_known_attributes
class OrchestratorAgent(StepRunner):
    """An agent that delegates parts of its task to workers by tool calls.

    `assemble` makes an orchestrator from a list of agents. A subclass makes its workers and tools in `__init__`, then
    calls `_init_orchestrator`; `messages` includes the runners that it keeps as attributes, or in lists and dicts that
    are attributes.

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
        tools: Sequence[ToolLike],
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        """Make the orchestrating agent; a subclass calls this at the end of its `__init__`.

        Args:
            model_client: The agent gets a conversation of its own, forked from this client.
            name: The agent's name in chunks and in `messages`.
            system_message: The agent's system message; None keeps that of the client.
            tools: The functions that call the workers.
            concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run at once.
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
        """Make an orchestrator with one tool for each worker.

        The tool has the name of the worker, and the first line of its system message as description. Each call of a
        worker starts a new conversation with the worker's system message and tools. `messages` has the calls of the
        latest run that called the worker, in the order in which they started, as `name`, `name#2`, `name#3`, …; chunks
        carry the same names.

        Args:
            model_client: The orchestrating agent gets a conversation of its own, forked from this client.
            system_message: The system message of the orchestrating agent.
            workers: The agents that it may call; their names must differ.
            name: The name of the orchestrating agent in chunks and in `messages`.
            concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run at once.

        Returns:
            The orchestrator.

        Raises:
            ToolNameClashError: Two workers have the same name.
        """
        self = cls.__new__(cls)
        self._workers = [_Worker(worker) for worker in workers]
        tools: list[Any] = [worker.tool(f"worker_{n}") for n, worker in enumerate(self._workers, 1)]
        Toolbox(tools)  # so that two workers with the same name raise here, not in the first run
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
        """The orchestrating agent.

        Raises:
            InvalidOptionError: The subclass has not called `_init_orchestrator`.
        """
        if self._agent is None:
            raise InvalidOptionError(f"{type(self).__name__}.__init__ must call self._init_orchestrator(...)")
        return self._agent

    @property
    def name(self) -> str | None:
        """The name of the orchestrating agent."""
        return self.agent.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.agent!r}>"

    def _parts(self) -> Iterable[AsyncRunner]:
        return [self.agent, *(part for part in held_by(self) if isinstance(part, AsyncRunner))]

    def _writers(self) -> Iterable[AsyncRunner]:
        return [self.agent]

    def _steps(self, task: Task, run: Run) -> Steps:
        return steps_of(self.agent, task, run)


def held_by(owner: object) -> Iterator[Any]:
    """Yield the attributes of an object; of lists and dicts among them, the items."""
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
    """An agent as a tool. Each of its runs is one call.

    The calls of one enclosing run are kept until another run calls the worker.
    """

    agent: Agent
    _calls: list[Agent] = field(factory=list[Agent], init=False)
    _within: RunState | None = field(default=None, init=False)

    has_calls = True  # `_restore` loads further calls by their numbers

    def _kept(self) -> Mapping[str, list[Message]]:
        name = self.agent.name or "agent"
        histories = [history for call in self._calls or [self.agent] for history in call.messages.values()]
        return {_numbered(name, call): history for call, history in enumerate(histories, 1)}

    def _loader(self, saved: dict[str, Any]) -> Callable[[], None]:
        name = self.agent.name or "agent"
        names = [_numbered(name, call) for call in range(1, len(saved) + 1)]
        if saved.keys() != set(names):
            raise InvalidOptionError(
                f"the calls of worker {name!r} must be numbered without gaps, got: {', '.join(map(repr, saved))}"
            )
        calls = [self.agent.fork() for _ in names]
        for own, call in zip(names, calls, strict=True):
            call.name, call.history = own, saved[own]

        def change() -> None:
            self._within, self._calls = None, calls

        return change

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
        """Return the tool that runs the worker.

        Its name is the worker's, with only the characters that model services allow, or `nameless` if none remain.
        """

        async def ask(task: str) -> str:
            """Give the worker a task.

            Args:
                task: Everything that the worker needs to know; it sees only this text.
            """
            run = ENCLOSING.get() or plain_run({})
            return str(await drain(self._steps(Task.asked(task, None, None, "task"), run), run.sink or discard))

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
