"""Plan, execute, score; replan while the score is too low. Owns the prompts of planning and what a scorer is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from numbers import Real
from typing import Any, Self

from attrs import define, evolve, field

from aimu.aio.agent import Agent
from aimu.aio.base_client import AsyncBaseModelClient
from aimu.aio.checks import at_least_one
from aimu.aio.run import ENCLOSING, Run, Steps, Task
from aimu.aio.runner import AsyncRunner, StepRunner
from aimu.aio.skill_agent import SkillAgent
from aimu.aio.workflows.evaluator_optimizer import accepts, sections
from aimu.aio.workflows.flow import Ask, Flow, follow
from aimu.core.threads import run_in_thread
from aimu.errors import ScoringError
from aimu.evals import LLMJudgeScorer, Scorer
from aimu.skills import SkillManager

PLANNER = "You plan how to do a task. Answer with a short numbered plan; do not carry it out."
EXECUTOR = "You carry out a task along a given plan. Answer with the complete result and nothing else."
JUDGE = "You judge the work of others by given criteria, strictly and fairly."


@define(eq=False)
class PlanExecuteEvaluator(StepRunner):
    """The planner plans, the executor works to the plan, the scorer scores; at most `max_rounds` times.

    The scorer is given a row with `task`, `plan`, `output`, and `criteria` where there are any. An output passes when
    its score is at least `pass_threshold`, or when `pass_keyword` is given and the scorer's reason accepts with it (as
    in EvaluatorOptimizer). Otherwise the planner is given task, plan, output and feedback. Without an output that
    passes, the best-scoring one is returned, the later of equals. `images` go to the first plan and each execution.
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
        """A `planner` with skills and an `executor` with tools, forked from the client without its history.

        The judge is `judge_client`, sync or async, or another fork of the client.
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

    def _steps(self, task: Task, run: Run) -> Steps:
        return follow(self._flow(task), self.name, run)

    async def _flow(self, task: Task) -> Flow:
        question, best, best_score = task, "", float("-inf")
        for round_ in range(self.max_rounds):
            plan = yield Ask(self.planner, question, round_)
            work = sections("Carry out the task along the plan.", Task=task.text, Plan=plan)
            output = yield Ask(self.executor, evolve(task, text=work), round_)
            row = {"task": task.text, "plan": plan, "output": output}
            if self.criteria is not None:
                row["criteria"] = self.criteria
            score, reason = await scored(self.scorer, row)
            if score >= best_score:
                best, best_score = output, score
            if score >= self.pass_threshold or (self.pass_keyword is not None and accepts(reason, self.pass_keyword)):
                best = output
                break
            replan = sections(
                "The plan did not lead to a good enough output. Make a better plan.",
                Task=task.text,
                Plan=plan,
                Output=output,
                Feedback=f"Score: {score:g}\n{reason}",
            )
            question = evolve(task, text=replan, images=None)
        yield best


async def scored(scorer: Scorer, row: Mapping[str, Any]) -> tuple[float, str]:
    """What the scorer says of a row; a blocking scorer runs in a worker thread. Nothing of it shows in a stream."""
    token = ENCLOSING.set(None)
    try:
        verdict: Any
        # In a list, since trio takes no coroutine out of a thread: a `def` may pass on that of another scorer.
        [verdict] = [scorer.score(row)] if scorer.is_async else await run_in_thread(lambda: [scorer.score(row)])
        if isawaitable(verdict):
            verdict = await verdict
    finally:
        ENCLOSING.reset(token)
    match verdict:
        case (Real() as score, str(reason)):
            return float(score), reason
        case _:
            raise ScoringError(f"{type(scorer).__name__}.score gave {verdict!r}; a score is a tuple (number, reason)")
