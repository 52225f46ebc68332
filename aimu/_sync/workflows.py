"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of Chain, Router, Parallel, EvaluatorOptimizer, PlanExecuteEvaluator. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from aimu._doors import public
from aimu._sync.client import BaseModelClient
from aimu._sync.runner import Runner, TwinRunner
from aimu._sync.twin import aio_of, field_of, twin_of
from aimu.aio._workflows.chain import Chain as AsyncChain
from aimu.aio._workflows.evaluator_optimizer import EvaluatorOptimizer as AsyncEvaluatorOptimizer
from aimu.aio._workflows.parallel import SEPARATOR, OnError
from aimu.aio._workflows.parallel import Parallel as AsyncParallel
from aimu.aio._workflows.plan_execute_evaluator import PlanExecuteEvaluator as AsyncPlanExecuteEvaluator
from aimu.aio._workflows.router import Router as AsyncRouter
from aimu.evals import Scorer
from aimu.skills import SkillManager


@public("aimu.agents")
@twin_of(AsyncChain)
class Chain(TwinRunner):
    """Run agents one after another; each answer is the task of the next agent.

    The answer of the last agent is the answer of the chain.

    Args:
        agents: The runners in order, at least one. Images go to the first one only.
        name: The name of the chain in chunks and in notes on errors.

    Raises:
        InvalidOptionError: `agents` is empty.

    Example:
        chain = Chain([Agent(client, "Outline the topic."), Agent(client, "Write the essay.")])
        print(chain.run("Tides"))
    """

    __aio__: AsyncChain  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, agents: Sequence[Runner], name: str = "chain") -> None:
        self._hold(AsyncChain(aio_of(agents), name))

    @property
    def agents(self) -> Sequence[Runner]:
        """The runners in order, at least one. Images go to the first one only."""
        value: Sequence[Runner] = field_of(self.__aio__, "agents")
        return value

    @agents.setter
    def agents(self, value: Sequence[Runner]) -> None:
        self.__aio__.agents = aio_of(value)

    @property
    def name(self) -> str:
        """The name of the chain in chunks and in notes on errors."""
        return self.__aio__.name

    @name.setter
    def name(self, value: str) -> None:
        self.__aio__.name = value

    @classmethod
    def from_client(cls, client: BaseModelClient, prompts: list[str], *, name: str = "chain") -> Self:
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
        return cls._of(AsyncChain.from_client(aio_of(client), prompts, name=name))


@public("aimu.agents")
@twin_of(AsyncRouter)
class Router(TwinRunner):
    """Let one agent choose the handler that does the task.

    The routing agent chooses a handler by answering with its name; quotes, punctuation and case are ignored. A longer
    answer also chooses a handler if it contains exactly one of the names as a whole word. Otherwise `fallback` does the
    task. The routing agent and the handler both get the whole task, including images.

    Args:
        routing_agent: The runner that names a handler.
        handlers: The runners by name, at least one.
        name: The name of the router in chunks and in notes on errors.
        fallback: The runner for answers that choose no handler; without one, the run raises RoutingError.

    Raises:
        InvalidOptionError: `handlers` is empty.

    Example:
        handlers = {"math": Agent(client, "Calculate."), "prose": Agent(client, "Write.")}
        router = Router(Agent(client, "Answer with one word: math or prose."), handlers)
        print(router.run("What is 2 plus 2?"))
    """

    __aio__: AsyncRouter  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        routing_agent: Runner,
        handlers: Mapping[str, Runner],
        name: str = "router",
        fallback: Runner | None = None,
    ) -> None:
        self._hold(AsyncRouter(aio_of(routing_agent), aio_of(handlers), name, aio_of(fallback)))

    @property
    def routing_agent(self) -> Runner:
        """The runner that names a handler."""
        value: Runner = field_of(self.__aio__, "routing_agent")
        return value

    @routing_agent.setter
    def routing_agent(self, value: Runner) -> None:
        self.__aio__.routing_agent = aio_of(value)

    @property
    def handlers(self) -> Mapping[str, Runner]:
        """The runners by name, at least one."""
        value: Mapping[str, Runner] = field_of(self.__aio__, "handlers")
        return value

    @handlers.setter
    def handlers(self, value: Mapping[str, Runner]) -> None:
        self.__aio__.handlers = aio_of(value)

    @property
    def name(self) -> str:
        """The name of the router in chunks and in notes on errors."""
        return self.__aio__.name

    @name.setter
    def name(self, value: str) -> None:
        self.__aio__.name = value

    @property
    def fallback(self) -> Runner | None:
        """The runner for answers that choose no handler; without one, the run raises RoutingError."""
        value: Runner | None = field_of(self.__aio__, "fallback")
        return value

    @fallback.setter
    def fallback(self, value: Runner | None) -> None:
        self.__aio__.fallback = aio_of(value)

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
        """Make a router with a new agent as classifier, and a new agent for each handler that is a system message.

        Args:
            client: Each new agent gets a conversation of its own, forked from this client without its history.
            classifier_prompt: The system message of the classifier. It must list the names of the handlers.
            handlers: For each name, a runner or the system message of a new agent.
            fallback: A runner, or the system message of a new agent, for answers that choose no handler.
            name: The name of the router.

        Returns:
            The router.

        Raises:
            InvalidOptionError: `handlers` is empty.
        """
        return cls._of(
            AsyncRouter.from_client(
                aio_of(client), classifier_prompt, aio_of(handlers), fallback=aio_of(fallback), name=name
            )
        )


@public("aimu.agents")
@twin_of(AsyncParallel)
class Parallel(TwinRunner):
    """Give the same task to all workers at once, and join their answers in the order of the workers.

    Args:
        workers: The runners, at least one. Their sync tools run in worker threads.
        name: The name of the workflow in chunks and in notes on errors.
        aggregator: A runner whose task is the joined answers; its answer is then the result.
        separator: The text between two answers.
        on_error: With "cancel", the first failure cancels the other workers and raises an ExceptionGroup; a note on
            each error names the worker. With "collect", failures are logged, the other workers continue, and failed
            workers have no part in the joined answers; an ExceptionGroup is raised only if there are no answers, or
            fewer than `first`.
        first: The number of answers to take before the other workers are cancelled, from 1 to the number of workers;
            None takes all.
        max_concurrency: The number of workers that may run at once, at least 1; None is no limit.

    Raises:
        InvalidOptionError: `workers` is empty, or another argument is out of its range.

    Example:
        panel = Parallel([Agent(client, "Argue for it."), Agent(client, "Argue against it.")])
        print(panel.run("Should cities ban cars?"))
    """

    __aio__: AsyncParallel  # pyright: ignore[reportIncompatibleVariableOverride]

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
            AsyncParallel(
                aio_of(workers),
                name,
                aio_of(aggregator),
                separator,
                on_error=on_error,
                first=first,
                max_concurrency=max_concurrency,
            )
        )

    @property
    def workers(self) -> Sequence[Runner]:
        """The runners, at least one. Their sync tools run in worker threads."""
        value: Sequence[Runner] = field_of(self.__aio__, "workers")
        return value

    @workers.setter
    def workers(self, value: Sequence[Runner]) -> None:
        self.__aio__.workers = aio_of(value)

    @property
    def name(self) -> str:
        """The name of the workflow in chunks and in notes on errors."""
        return self.__aio__.name

    @name.setter
    def name(self, value: str) -> None:
        self.__aio__.name = value

    @property
    def aggregator(self) -> Runner | None:
        """A runner whose task is the joined answers; its answer is then the result."""
        value: Runner | None = field_of(self.__aio__, "aggregator")
        return value

    @aggregator.setter
    def aggregator(self, value: Runner | None) -> None:
        self.__aio__.aggregator = aio_of(value)

    @property
    def separator(self) -> str:
        """The text between two answers."""
        return self.__aio__.separator

    @separator.setter
    def separator(self, value: str) -> None:
        self.__aio__.separator = value

    @property
    def on_error(self) -> OnError:
        """With "cancel", the first failure cancels the other workers and raises an ExceptionGroup; a note on each error
        names the worker. With "collect", failures are logged, the other workers continue, and failed workers have no
        part in the joined answers; an ExceptionGroup is raised only if there are no answers, or fewer than `first`.
        """
        return self.__aio__.on_error

    @on_error.setter
    def on_error(self, value: OnError) -> None:
        self.__aio__.on_error = value

    @property
    def first(self) -> int | None:
        """The number of answers to take before the other workers are cancelled, from 1 to the number of workers; None
        takes all.
        """
        return self.__aio__.first

    @first.setter
    def first(self, value: int | None) -> None:
        self.__aio__.first = value

    @property
    def max_concurrency(self) -> int | None:
        """The number of workers that may run at once, at least 1; None is no limit."""
        return self.__aio__.max_concurrency

    @max_concurrency.setter
    def max_concurrency(self, value: int | None) -> None:
        self.__aio__.max_concurrency = value

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
        """Make the workflow with new agents: workers named `worker_1`, `worker_2`, … and optionally an `aggregator`.

        Args:
            client: Each agent gets a conversation of its own, forked from this client without its history.
            worker_prompts: The system message of each worker.
            aggregator_prompt: The system message of the aggregator; None makes no aggregator.
            separator: The text between two answers.
            name: The name of the workflow.
            on_error: "cancel" or "collect", as for the class.
            first: The number of answers to take; None takes all.
            max_concurrency: The number of workers that may run at once, at least 1; None is no limit.

        Returns:
            The workflow.

        Raises:
            InvalidOptionError: `worker_prompts` is empty, or another argument is out of its range.
        """
        return cls._of(
            AsyncParallel.from_client(
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


@public("aimu.agents")
@twin_of(AsyncEvaluatorOptimizer)
class EvaluatorOptimizer(TwinRunner):
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
        writer, critic = Agent(client, "Write a haiku."), Agent(client, "Answer PASS, or say what to improve.")
        print(EvaluatorOptimizer(writer, critic).run("Autumn"))
    """

    __aio__: AsyncEvaluatorOptimizer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        generator: Runner,
        evaluator: Runner,
        name: str = "evaluator_optimizer",
        max_rounds: int = 3,
        pass_keyword: str = "PASS",
    ) -> None:
        self._hold(AsyncEvaluatorOptimizer(aio_of(generator), aio_of(evaluator), name, max_rounds, pass_keyword))

    @property
    def generator(self) -> Runner:
        """The runner that writes. It gets the images with the first request for a draft only."""
        value: Runner = field_of(self.__aio__, "generator")
        return value

    @generator.setter
    def generator(self, value: Runner) -> None:
        self.__aio__.generator = aio_of(value)

    @property
    def evaluator(self) -> Runner:
        """The runner that reviews."""
        value: Runner = field_of(self.__aio__, "evaluator")
        return value

    @evaluator.setter
    def evaluator(self, value: Runner) -> None:
        self.__aio__.evaluator = aio_of(value)

    @property
    def name(self) -> str:
        """The name of the workflow in chunks and in notes on errors."""
        return self.__aio__.name

    @name.setter
    def name(self, value: str) -> None:
        self.__aio__.name = value

    @property
    def max_rounds(self) -> int:
        """The number of drafts that may be written, at least 1."""
        return self.__aio__.max_rounds

    @max_rounds.setter
    def max_rounds(self, value: int) -> None:
        self.__aio__.max_rounds = value

    @property
    def pass_keyword(self) -> str:
        """The word that accepts a draft; it must match as a whole word and in case."""
        return self.__aio__.pass_keyword

    @pass_keyword.setter
    def pass_keyword(self, value: str) -> None:
        self.__aio__.pass_keyword = value

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
        return cls._of(
            AsyncEvaluatorOptimizer.from_client(
                aio_of(client),
                generator_prompt,
                evaluator_prompt,
                max_rounds=max_rounds,
                pass_keyword=pass_keyword,
                name=name,
            )
        )


@public("aimu.agents")
@twin_of(AsyncPlanExecuteEvaluator)
class PlanExecuteEvaluator(TwinRunner):
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

    __aio__: AsyncPlanExecuteEvaluator  # pyright: ignore[reportIncompatibleVariableOverride]

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
            AsyncPlanExecuteEvaluator(
                aio_of(planner), aio_of(executor), scorer, criteria, name, max_rounds, pass_threshold, pass_keyword
            )
        )

    @property
    def planner(self) -> Runner:
        """The runner that writes the plans. It gets the images with the first request for a plan only."""
        value: Runner = field_of(self.__aio__, "planner")
        return value

    @planner.setter
    def planner(self, value: Runner) -> None:
        self.__aio__.planner = aio_of(value)

    @property
    def executor(self) -> Runner:
        """The runner that carries out each plan. It gets the images every time."""
        value: Runner = field_of(self.__aio__, "executor")
        return value

    @executor.setter
    def executor(self, value: Runner) -> None:
        self.__aio__.executor = aio_of(value)

    @property
    def scorer(self) -> Scorer:
        """Scores the outputs. If its `score` is not `async def`, it runs in a worker thread."""
        return self.__aio__.scorer

    @scorer.setter
    def scorer(self, value: Scorer) -> None:
        self.__aio__.scorer = value

    @property
    def criteria(self) -> str | None:
        """The criteria that the scorer should judge by."""
        return self.__aio__.criteria

    @criteria.setter
    def criteria(self, value: str | None) -> None:
        self.__aio__.criteria = value

    @property
    def name(self) -> str:
        """The name of the workflow in chunks and in notes on errors."""
        return self.__aio__.name

    @name.setter
    def name(self, value: str) -> None:
        self.__aio__.name = value

    @property
    def max_rounds(self) -> int:
        """The number of plans that may be carried out, at least 1."""
        return self.__aio__.max_rounds

    @max_rounds.setter
    def max_rounds(self, value: int) -> None:
        self.__aio__.max_rounds = value

    @property
    def pass_threshold(self) -> float:
        """The lowest score that passes."""
        return self.__aio__.pass_threshold

    @pass_threshold.setter
    def pass_threshold(self, value: float) -> None:
        self.__aio__.pass_threshold = value

    @property
    def pass_keyword(self) -> str | None:
        """An output also passes if the first or last non-empty line of the scorer's reason starts with this word, as in
        `EvaluatorOptimizer`; with None, only the score counts.
        """
        return self.__aio__.pass_keyword

    @pass_keyword.setter
    def pass_keyword(self, value: str | None) -> None:
        self.__aio__.pass_keyword = value

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
        return cls._of(
            AsyncPlanExecuteEvaluator.from_client(
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
