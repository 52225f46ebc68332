"""The chain: one runner after another, each on the answer of the previous one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from attrs import define, evolve, field

from aimu._core.answer import Answer, AnyAnswer
from aimu._core.field_docs import with_field_docs
from aimu._core.known import with_known_attributes
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._checks import not_empty
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import AsyncRunner, StepRunner
from aimu.aio._workflows.flow import Ask, Flow, follow


@public("aimu.aio")
@with_known_attributes
@with_field_docs
@define(eq=False)
class Chain(StepRunner):
    """Run agents one after another; each answer is the task of the next agent.

    The answer of the last agent is the answer of the chain.

    Args:
        agents: The runners in order, at least one. Images go to the first one only.
        name: The name of the chain in chunks and in notes on errors.

    Raises:
        InvalidOptionError: `agents` is empty.

    Example:
        chain = aio.Chain([aio.Agent(client, "Outline the topic."), aio.Agent(client, "Write the essay.")])
        print(await chain.run("Tides"))
    """

    agents: Sequence[AsyncRunner] = field(validator=not_empty)
    name: str = "chain"

    @classmethod
    def from_client(cls, client: AsyncBaseModelClient, prompts: list[str], *, name: str = "chain") -> Self:
        """Make a chain of new agents named `step_1`, `step_2`, …

        Args:
            client: Each agent gets a conversation of its own, forked from this client without its history.
            prompts: The system message of each agent.
            name: The name of the chain.

        Returns:
            The chain.

        Raises:
            InvalidOptionError: `prompts` is empty.
        """
        return cls([Agent(client, name=f"step_{n}").fork(prompt) for n, prompt in enumerate(prompts, 1)], name)

    def _parts(self) -> Iterable[AsyncRunner]:
        return self.agents

    def _writers(self) -> Iterable[AsyncRunner]:
        return self.agents[-1:]

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task), self.name, run)

    async def _flow(self, task: Task) -> Flow:
        answer: AnyAnswer = Answer()
        last = len(self.agents) - 1
        for step, agent in enumerate(self.agents):
            answer = yield Ask(agent, task if step == last else task.untyped(), step)
            task = evolve(task, text=str(answer), images=None)
        yield answer
