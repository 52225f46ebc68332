"""The workflow that plans, executes and scores, and plans again while the score is too low.

Owns the prompts for planning and execution, and the row that the scorer gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from numbers import Real
from typing import Any, Self

from attrs import define, evolve, field

from aimu._core.answer import Answer
from aimu._core.field_docs import with_field_docs
from aimu._core.known import with_known_attributes
from aimu._core.threads import run_in_thread
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._checks import at_least_one
from aimu.aio._run import Run, Steps, Task, aside
from aimu.aio._runner import AsyncRunner, StepRunner
from aimu.aio._skill_agent import SkillAgent
from aimu.aio._workflows.evaluator_optimizer import accepts, out_of_rounds, sections
from aimu.aio._workflows.flow import Ask, Flow, follow
from aimu.errors import ScoringError
from aimu.evals import LLMJudgeScorer, Scorer
from aimu.skills import SkillManager

PLANNER = "You plan how to do a task. Answer with a short numbered plan; do not carry it out."
EXECUTOR = "You carry out a task along a given plan. Answer with the complete result and nothing else."
JUDGE = "You judge the work of others by given criteria, strictly and fairly."


@public("aimu.aio")
@with_known_attributes
@with_field_docs
@define(eq=False)
class PlanExecuteEvaluator(StepRunner):
    """Plan, execute and score; plan again while the score is too low.

    The scorer gets a row with `task`, `plan` and `output`, and with `criteria` if they are given. If an output does not
    pass, the planner gets the task, its plan, the output, the score and the reason, and makes a new plan. If no output
    passes, the answer is the output with the best score, among equal scores the latest, with the stop reason
    ROUND_LIMIT.

    Args:
        planner: The runner that writes the plans. It gets the images with the first request for a plan only.
        executor: The runner that carries out each plan. It gets the images every time.
        scorer: Scores the outputs. If its `score` is not `async def`, it runs in a worker thread.
        criteria: The criteria that the scorer should judge by.
        name: The name of the workflow in chunks and in notes on errors.
        max_rounds: The number of plans that may be carried out, at least 1.
        pass_threshold: The lowest score that passes.
        pass_keyword: An output also passes if the first or last non-empty line of the scorer's reason starts with this
            word, as in `EvaluatorOptimizer`; with None, only the score counts.

    Raises:
        InvalidOptionError: `max_rounds` is less than 1.
    """

    planner: AsyncRunner
    executor: AsyncRunner
    scorer: Scorer
    criteria: str | None = None
    name: str = "plan_execute_evaluator"
    max_rounds: int = field(default=3, validator=at_least_one)
    pass_threshold: float = 0.7
    pass_keyword: str | None = None

    @classmethod
    def from_client(
        cls,
        client: AsyncBaseModelClient,
        *,
        judge_client: Any | None = None,
        criteria: str | None = None,
        executor_tools: list[Callable[..., Any]] | None = None,
        skill_manager: SkillManager | None = None,
        planner_system_message: str | None = None,
        executor_system_message: str | None = None,
        max_rounds: int = 3,
        pass_threshold: float = 0.7,
        pass_keyword: str | None = None,
        name: str = "plan_execute_evaluator",
    ) -> Self:
        """Make the workflow with two new agents and a model as judge.

        The agents are a `planner` with skills and an `executor` with tools.

        Args:
            client: Each agent gets a conversation of its own, forked from this client without its history.
            judge_client: A client for the judge, sync or async; None forks `client`.
            criteria: The criteria that the judge should judge by.
            executor_tools: The tools of the executor; None gives it those of `client`.
            skill_manager: Finds the skills of the planner; None looks in the usual folders.
            planner_system_message: The system message of the planner; None uses a general one.
            executor_system_message: The system message of the executor; None uses a general one.
            max_rounds: The number of plans that may be carried out, at least 1.
            pass_threshold: The lowest score that passes.
            pass_keyword: A word in the judge's reason that also lets an output pass, as for the class.
            name: The name of the workflow.

        Returns:
            The workflow.

        Raises:
            InvalidOptionError: `max_rounds` is less than 1.
        """
        skills = SkillManager() if skill_manager is None else skill_manager
        planner = SkillAgent(client, name="planner", skill_manager=skills)
        executor = Agent(client, name="executor", tools=executor_tools or [])
        return cls(
            planner.fork(planner_system_message or PLANNER),
            executor.fork(executor_system_message or EXECUTOR),
            LLMJudgeScorer(judge_client or client._fork(JUDGE, keep_history=False), criteria),
            criteria,
            name,
            max_rounds,
            pass_threshold,
            pass_keyword,
        )

    def _parts(self) -> Iterable[AsyncRunner]:
        return self.planner, self.executor

    def _writers(self) -> Iterable[AsyncRunner]:
        return [self.executor]

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task, run), self.name, run)

    async def _flow(self, task: Task, run: Run) -> Flow:
        now, best, best_score = task.untyped(), Answer[Any](), float("-inf")
        for round_ in range(self.max_rounds):
            plan = yield Ask(self.planner, now, round_)
            work = sections("Carry out the task along the plan.", Task=task.text, Plan=plan)
            output = yield Ask(self.executor, evolve(task, text=work), round_)
            row = {"task": task.text, "plan": str(plan), "output": str(output)}
            if self.criteria is not None:
                row["criteria"] = self.criteria
            score, reason = await scored(self.scorer, row, run)
            if score >= best_score:
                best, best_score = output, score
            if score >= self.pass_threshold or (self.pass_keyword is not None and accepts(reason, self.pass_keyword)):
                yield output
                return
            replan = sections(
                "The plan did not lead to a good enough output. Make a better plan.",
                Task=task.text,
                Plan=plan,
                Output=output,
                Feedback=f"Score: {score:g}\n{reason}",
            )
            now = evolve(task.untyped(), text=replan, images=None)
        yield out_of_rounds(best, self.name, self.max_rounds)


async def scored(scorer: Scorer, row: Mapping[str, Any], run: Run) -> tuple[float, str]:
    """Return the score and the reason of the scorer for a row.

    A blocking scorer runs in a worker thread.

    Raises:
        ScoringError: The scorer does not return a number and a text.
    """
    verdict: Any
    with aside(run):
        # In a list, because trio rejects a thread's result that is a coroutine, and a `def` may return one.
        [verdict] = [scorer.score(row)] if scorer.is_async else await run_in_thread(lambda: [scorer.score(row)])
        if isawaitable(verdict):
            verdict = await verdict
    match verdict:
        case (Real() as score, str(reason)):
            return float(score), reason
        case _:
            raise ScoringError(f"{type(scorer).__name__}.score returned {verdict!r}; return a tuple (number, reason)")
