"""The sync workflows: twins of `aimu.aio`'s. They decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from aimu import aio
from aimu._sync.client import BaseModelClient
from aimu._sync.runner import Runner, TwinRunner
from aimu._sync.twin import Mirror, Twins, aio_of, twin_of
from aimu.aio.workflows.parallel import SEPARATOR, OnError
from aimu.evals import Scorer
from aimu.skills import SkillManager


@twin_of(aio.Chain)
class Chain(TwinRunner):
    """Each step's answer is the next step's task; the last answer is the chain's.

    `images` go to the first step only. At least one step.
    """

    agents: Mirror[Sequence[Runner]] = Twins()
    name: Mirror[str] = Mirror()

    def __init__(self, agents: Sequence[Runner], name: str = "chain") -> None:
        self._hold(aio.Chain(aio_of(agents), name))

    @classmethod
    def from_client(cls, client: BaseModelClient, prompts: list[str], *, name: str = "chain") -> Self:
        """A chain of agents named `step_1`, `step_2`, …; each prompt is the system message of one.

        Each has a conversation of its own, forked from the client without its history.
        """
        return cls._of(aio.Chain.from_client(aio_of(client), prompts, name=name))


@twin_of(aio.Router)
class Router(TwinRunner):
    """The routing agent's answer names the handler that does the task; both are given the whole task, images included.

    The answer is read without quotes, punctuation and case: the exact name of a handler, else the single name that
    occurs in it as a whole word, else `fallback` does the task; without one, RoutingError names answer and handlers.
    """

    routing_agent: Mirror[Runner] = Twins()
    handlers: Mirror[Mapping[str, Runner]] = Twins()
    name: Mirror[str] = Mirror()
    fallback: Mirror[Runner | None] = Twins()

    def __init__(
        self,
        routing_agent: Runner,
        handlers: Mapping[str, Runner],
        name: str = "router",
        fallback: Runner | None = None,
    ) -> None:
        self._hold(aio.Router(aio_of(routing_agent), aio_of(handlers), name, aio_of(fallback)))

    @classmethod
    def from_client(
        cls,
        client: BaseModelClient,
        classifier_prompt: str,
        handlers: Mapping[str, Runner | str],
        *,
        fallback: Runner | str | None = None,
        name: str = "router",
    ) -> Self:
        """A router whose classifier, and each handler given as a system message, is an agent forked from the client.

        The classifier's prompt has to name the handlers. Histories are separate, and the client's is in none.
        """
        return cls._of(
            aio.Router.from_client(
                aio_of(client), classifier_prompt, aio_of(handlers), fallback=aio_of(fallback), name=name
            )
        )


@twin_of(aio.Parallel)
class Parallel(TwinRunner):
    """All workers do the same task at once; their answers, in the order of the workers, are joined by `separator`.

    An `aggregator` is given the joined answers as its task. The first failure cancels the other workers, and an
    ExceptionGroup is raised whose leaves have a note that names the worker. With `on_error="collect"` the others go on
    and failed workers' answers are left out (and logged); the group is raised only when too few are left: none, or
    fewer than `first`. `first=n` takes the first n answers and cancels the rest. At most `max_concurrency` workers run
    at once. Sync tools of the workers run in worker threads.
    """

    workers: Mirror[Sequence[Runner]] = Twins()
    name: Mirror[str] = Mirror()
    aggregator: Mirror[Runner | None] = Twins()
    separator: Mirror[str] = Mirror()
    on_error: Mirror[OnError] = Mirror()
    first: Mirror[int | None] = Mirror()
    max_concurrency: Mirror[int | None] = Mirror()

    def __init__(
        self,
        workers: Sequence[Runner],
        name: str = "parallel",
        aggregator: Runner | None = None,
        separator: str = SEPARATOR,
        *,
        on_error: OnError = "cancel",
        first: int | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        self._hold(
            aio.Parallel(
                aio_of(workers),
                name,
                aio_of(aggregator),
                separator,
                on_error=on_error,
                first=first,
                max_concurrency=max_concurrency,
            )
        )

    @classmethod
    def from_client(
        cls,
        client: BaseModelClient,
        worker_prompts: list[str],
        *,
        aggregator_prompt: str | None = None,
        separator: str = SEPARATOR,
        name: str = "parallel",
        on_error: OnError = "cancel",
        first: int | None = None,
        max_concurrency: int | None = None,
    ) -> Self:
        """Workers named `worker_1`, `worker_2`, … and an `aggregator`; each prompt is the system message of one.

        Each has a conversation of its own, forked from the client without its history.
        """
        return cls._of(
            aio.Parallel.from_client(
                aio_of(client),
                worker_prompts,
                aggregator_prompt=aggregator_prompt,
                separator=separator,
                name=name,
                on_error=on_error,
                first=first,
                max_concurrency=max_concurrency,
            )
        )


@twin_of(aio.EvaluatorOptimizer)
class EvaluatorOptimizer(TwinRunner):
    """The generator's draft goes to the evaluator until that accepts it, at most `max_rounds` times.

    Accepted is a draft when the first or last non-empty line of the evaluator's answer, without markup, begins with
    `pass_keyword` as a word. Otherwise the generator is given task, draft and feedback. The last draft is returned in
    any case. `images` go to the first draft.
    """

    generator: Mirror[Runner] = Twins()
    evaluator: Mirror[Runner] = Twins()
    name: Mirror[str] = Mirror()
    max_rounds: Mirror[int] = Mirror()
    pass_keyword: Mirror[str] = Mirror()

    def __init__(
        self,
        generator: Runner,
        evaluator: Runner,
        name: str = "evaluator_optimizer",
        max_rounds: int = 3,
        pass_keyword: str = "PASS",
    ) -> None:
        self._hold(aio.EvaluatorOptimizer(aio_of(generator), aio_of(evaluator), name, max_rounds, pass_keyword))

    @classmethod
    def from_client(
        cls,
        client: BaseModelClient,
        generator_prompt: str,
        evaluator_prompt: str,
        *,
        max_rounds: int = 3,
        pass_keyword: str = "PASS",
        name: str = "evaluator_optimizer",
    ) -> Self:
        """Two agents, `generator` and `evaluator`, forked from the client without its history.

        The evaluator's prompt has to say how to accept: answer with `pass_keyword`.
        """
        return cls._of(
            aio.EvaluatorOptimizer.from_client(
                aio_of(client),
                generator_prompt,
                evaluator_prompt,
                max_rounds=max_rounds,
                pass_keyword=pass_keyword,
                name=name,
            )
        )


@twin_of(aio.PlanExecuteEvaluator)
class PlanExecuteEvaluator(TwinRunner):
    """The planner plans, the executor works to the plan, the scorer scores; at most `max_rounds` times.

    The scorer is given a row with `task`, `plan`, `output`, and `criteria` where there are any. An output passes when
    its score is at least `pass_threshold`, or when `pass_keyword` is given and the scorer's reason accepts with it (as
    in EvaluatorOptimizer). Otherwise the planner is given task, plan, output and feedback. Without an output that
    passes, the best-scoring one is returned, the later of equals. `images` go to the first plan and each execution.
    """

    planner: Mirror[Runner] = Twins()
    executor: Mirror[Runner] = Twins()
    scorer: Mirror[Scorer] = Mirror()
    criteria: Mirror[str | None] = Mirror()
    name: Mirror[str] = Mirror()
    max_rounds: Mirror[int] = Mirror()
    pass_threshold: Mirror[float] = Mirror()
    pass_keyword: Mirror[str | None] = Mirror()

    def __init__(
        self,
        planner: Runner,
        executor: Runner,
        scorer: Scorer,
        criteria: str | None = None,
        name: str = "plan_execute_evaluator",
        max_rounds: int = 3,
        pass_threshold: float = 0.7,
        pass_keyword: str | None = None,
    ) -> None:
        self._hold(
            aio.PlanExecuteEvaluator(
                aio_of(planner), aio_of(executor), scorer, criteria, name, max_rounds, pass_threshold, pass_keyword
            )
        )

    @classmethod
    def from_client(
        cls,
        client: BaseModelClient,
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
        return cls._of(
            aio.PlanExecuteEvaluator.from_client(
                aio_of(client),
                judge_client=judge_client,
                criteria=criteria,
                executor_tools=executor_tools,
                skill_manager=skill_manager,
                planner_system_message=planner_system_message,
                executor_system_message=executor_system_message,
                max_rounds=max_rounds,
                pass_threshold=pass_threshold,
                pass_keyword=pass_keyword,
                name=name,
            )
        )
