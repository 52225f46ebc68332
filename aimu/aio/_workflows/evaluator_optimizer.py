"""The workflow that drafts, reviews and revises. Owns the prompts for it, and how a verdict is read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any, Self

from attrs import define, evolve, field

from aimu._core.answer import Answer, AnyAnswer, changed
from aimu._core.escaping import escaping
from aimu._core.field_docs import with_field_docs
from aimu._core.known import with_known_attributes
from aimu._core.reply import StopReason
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._checks import at_least_one
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import AsyncRunner, StepRunner
from aimu.aio._workflows.flow import Ask, Flow, follow

log = escaping(logging.getLogger("aimu.aio"))

_MARKUP = r"(?:[\s>#*_~`\"'“‘(\[+•-]|\d++[.)](?=\s)|</?+\w++[^>]*+>)*"  # possessive, so that any text takes linear time


@public("aimu.aio")
@with_known_attributes
@with_field_docs
@define(eq=False)
class EvaluatorOptimizer(StepRunner):
    """Draft, review and revise until the evaluator accepts the draft.

    The evaluator accepts a draft if the first or last non-empty line of its answer starts with `pass_keyword`; markup
    before the keyword is ignored. Otherwise the generator gets the task, its draft and the evaluator's answer, and
    writes a new draft. After `max_rounds` drafts, the last one is the answer, with the stop reason ROUND_LIMIT.

    Args:
        generator: The runner that writes. It gets the images with the first request for a draft only.
        evaluator: The runner that reviews.
        name: The name of the workflow in chunks and in notes on errors.
        max_rounds: The number of drafts that may be written, at least 1.
        pass_keyword: The word that accepts a draft; it must match as a whole word and in case.

    Raises:
        InvalidOptionError: `max_rounds` is less than 1.

    Example:
        writer, critic = aio.Agent(client, "Write a haiku."), aio.Agent(client, "Answer PASS, or say what to improve.")
        print(await aio.EvaluatorOptimizer(writer, critic).run("Autumn"))
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
        """Make the workflow with two new agents, `generator` and `evaluator`.

        Args:
            client: Each agent gets a conversation of its own, forked from this client without its history.
            generator_prompt: The system message of the generator.
            evaluator_prompt: The system message of the evaluator. It must say when to answer with `pass_keyword`; the
                evaluator sees "Task: …" and "Response: …".
            max_rounds: The number of drafts that may be written, at least 1.
            pass_keyword: The word that accepts a draft.
            name: The name of the workflow.

        Returns:
            The workflow.

        Raises:
            InvalidOptionError: `max_rounds` is less than 1.
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

    def _writers(self) -> Iterable[AsyncRunner]:
        return [self.generator]

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task), self.name, run)

    async def _flow(self, task: Task) -> Flow:
        now, draft = task, Answer[Any]()
        for round_ in range(self.max_rounds):
            draft = yield Ask(self.generator, now, round_)
            review = f"Task: {task.text}\n\nResponse:\n{draft}"
            verdict = yield Ask(self.evaluator, evolve(task.untyped(), text=review, images=None), round_)
            if accepts(verdict, self.pass_keyword):
                yield draft
                return
            revision = sections(
                "Revise the draft so that it answers the feedback. Give the whole new draft and nothing else.",
                Task=task.text,
                Draft=draft,
                Feedback=verdict,
            )
            now = evolve(task, text=revision, images=None)
        yield out_of_rounds(draft, self.name, self.max_rounds)


def out_of_rounds(answer: AnyAnswer, name: str, rounds: int) -> AnyAnswer:
    """Return the answer of a workflow that used up its rounds, and log that."""
    log.warning("nothing passed in the %d rounds of %r (the stop_reason of its answer shows this)", rounds, name)
    return changed(answer, stop_reason=StopReason.ROUND_LIMIT)


def sections(instruction: str, **parts: str) -> str:
    """Return a prompt: the instruction, then each text under its title."""
    return "\n\n".join([instruction, *(f"## {title}\n{text}" for title, text in parts.items())])


def accepts(verdict: str, keyword: str) -> bool:
    """Return whether the first or last non-empty line, without markup, starts with `keyword` as a whole word."""
    lines = [line for line in verdict.splitlines() if line.strip()]
    # A possessive repetition remembers no way back, and takes a tenth of the time; a keyword may begin with markup.
    possessive = "+" if keyword[:1].isalpha() else ""
    passing = re.compile(_MARKUP + possessive + re.escape(keyword) + r"(?=_*(?:\W|$))")
    return any(passing.match(line) for line in (*lines[:1], *lines[-1:]))
