"""Draft, review, revise. Owns the prompts of review and revision, and how a verdict is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Self

from attrs import define, evolve, field

from aimu.aio.agent import Agent
from aimu.aio.base_client import AsyncBaseModelClient
from aimu.aio.checks import at_least_one
from aimu.aio.run import Run, Steps, Task
from aimu.aio.runner import AsyncRunner, StepRunner
from aimu.aio.workflows.flow import Ask, Flow, follow

_MARKUP = r"(?:[\s>#*_~`\"'“‘(\[+•-]|\d+[.)](?=\s)|</?\w+[^>]*>)*"


@define(eq=False)
class EvaluatorOptimizer(StepRunner):
    """The generator's draft goes to the evaluator until that accepts it, at most `max_rounds` times.

    Accepted is a draft when the first or last non-empty line of the evaluator's answer, without markup, begins with
    `pass_keyword` as a word. Otherwise the generator is given task, draft and feedback. The last draft is returned in
    any case. `images` go to the first draft.
    """

    generator: AsyncRunner
    evaluator: AsyncRunner
    name: str = "evaluator_optimizer"
    max_rounds: int = field(default=3, validator=at_least_one)
    pass_keyword: str = "PASS"

    @classmethod
    def from_client(
        cls,
        client: AsyncBaseModelClient,
        generator_prompt: str,
        evaluator_prompt: str,
        *,
        max_rounds: int = 3,
        pass_keyword: str = "PASS",
        name: str = "evaluator_optimizer",
    ) -> Self:
        """Two agents, `generator` and `evaluator`, forked from the client without its history.

        The evaluator's prompt has to say when to answer with `pass_keyword`; it is asked "Task: …", "Response: …".
        """
        return cls(
            Agent(client, name="generator").fork(generator_prompt),
            Agent(client, name="evaluator").fork(evaluator_prompt),
            name,
            max_rounds,
            pass_keyword,
        )

    def _parts(self) -> Iterable[AsyncRunner]:
        return self.generator, self.evaluator

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task), self.name, run)

    async def _flow(self, task: Task) -> Flow:
        question, draft = task, ""
        for round_ in range(self.max_rounds):
            draft = yield Ask(self.generator, question, round_)
            review = f"Task: {task.text}\n\nResponse:\n{draft}"
            verdict = yield Ask(self.evaluator, evolve(task, text=review, images=None), round_)
            if accepts(verdict, self.pass_keyword):
                break
            revision = sections(
                "Revise the draft so that it answers the feedback. Give the whole new draft and nothing else.",
                Task=task.text,
                Draft=draft,
                Feedback=verdict,
            )
            question = evolve(task, text=revision, images=None)
        yield draft


def sections(instruction: str, **parts: str) -> str:
    """A prompt: what to do, then each text under its title."""
    return "\n\n".join([instruction, *(f"## {title}\n{text}" for title, text in parts.items())])


def accepts(verdict: str, keyword: str) -> bool:
    """Whether the first or last non-empty line, without markup, begins with `keyword` as a word."""
    lines = [line for line in verdict.splitlines() if line.strip()]
    passing = re.compile(_MARKUP + re.escape(keyword) + r"(?=_*(?:\W|$))")
    return any(passing.match(line) for line in (*lines[:1], *lines[-1:]))
