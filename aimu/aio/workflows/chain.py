"""One runner after another, each on the answer of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from attrs import define, evolve, field

from aimu.aio.agent import Agent
from aimu.aio.base_client import AsyncBaseModelClient
from aimu.aio.checks import not_empty
from aimu.aio.run import Run, Steps, Task
from aimu.aio.runner import AsyncRunner, StepRunner
from aimu.aio.workflows.flow import Ask, Flow, follow


@define(eq=False)
class Chain(StepRunner):
    """Each step's answer is the next step's task; the last answer is the chain's.

    `images` go to the first step only. At least one step.
    """

    agents: Sequence[AsyncRunner] = field(validator=not_empty)
    name: str = "chain"

    @classmethod
    def from_client(cls, client: AsyncBaseModelClient, prompts: list[str], *, name: str = "chain") -> Self:
        """A chain of agents named `step_1`, `step_2`, …; each prompt is the system message of one.

        Each has a conversation of its own, forked from the client without its history.
        """
        return cls([Agent(client, name=f"step_{n}").fork(prompt) for n, prompt in enumerate(prompts, 1)], name)

    def _parts(self) -> Iterable[AsyncRunner]:
        return self.agents

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task), self.name, run)

    async def _flow(self, task: Task) -> Flow:
        for step, agent in enumerate(self.agents):
            answer = yield Ask(agent, task, step)
            task = evolve(task, text=answer, images=None)
        yield task.text
