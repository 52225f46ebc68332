"""The workflow that runs several runners on one task at once. It is the only one that owns a task group."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self, final

import anyio
from attrs import Attribute, define, field

from aimu._core.answer import AnyAnswer, changed, joined
from aimu._core.chunks import StreamChunk
from aimu._core.escaping import escaping
from aimu._core.field_docs import with_field_docs
from aimu._core.groups import single_failure
from aimu._core.known import with_known_attributes
from aimu._core.loop_end import Nested
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._checks import at_least_one_or_none, not_empty, one_of
from aimu.aio._place import Subtasks
from aimu.aio._run import Run, Sink, Steps, Task, begin_branch, drain
from aimu.aio._runner import DONE, AsyncRunner, StepRunner, steps_of
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.aio"))

OnError = Literal["cancel", "collect"]
SEPARATOR = "\n\n---\n\n"


def _at_most_all(parallel: Parallel, attribute: Attribute[Any], first: Any) -> None:
    at_least_one_or_none(parallel, attribute, first)
    if first is not None and first > len(parallel.workers):
        raise InvalidOptionError(
            f"first must be between 1 and the number of workers ({len(parallel.workers)}), got {first}"
        )


@public("aimu.aio")
@with_known_attributes
@with_field_docs
@define(eq=False)
class Parallel(StepRunner):
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
        panel = aio.Parallel([aio.Agent(client, "Argue for it."), aio.Agent(client, "Argue against it.")])
        print(await panel.run("Should cities ban cars?"))
    """

    workers: Sequence[AsyncRunner] = field(validator=not_empty)
    name: str = "parallel"
    aggregator: AsyncRunner | None = None
    separator: str = SEPARATOR
    on_error: OnError = field(default="cancel", kw_only=True, validator=one_of("cancel", "collect"))
    first: int | None = field(default=None, kw_only=True, validator=_at_most_all)
    max_concurrency: int | None = field(default=None, kw_only=True, validator=at_least_one_or_none)

    @classmethod
    def from_client(
        cls,
        client: AsyncBaseModelClient,
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
        return cls(
            [Agent(client, name=f"worker_{n}").fork(prompt) for n, prompt in enumerate(worker_prompts, 1)],
            name,
            None if aggregator_prompt is None else Agent(client, name="aggregator").fork(aggregator_prompt),
            separator,
            on_error=on_error,
            first=first,
            max_concurrency=max_concurrency,
        )

    def _parts(self) -> Iterable[AsyncRunner]:
        return self.workers if self.aggregator is None else [*self.workers, self.aggregator]

    def _writers(self) -> Iterable[AsyncRunner]:
        if self.aggregator is None:
            raise InvalidOptionError(
                f"output_type= needs an aggregator in {self.name!r}: joined answers have no type of their own"
            )
        return [self.aggregator]

    async def _steps(self, task: Task, run: Run) -> Steps:
        held: list[StreamChunk] = []

        async def hold(chunk: StreamChunk) -> None:
            held.append(chunk)

        race = _Race(self, task.untyped(), run, run.sink or hold)
        failure: ExceptionGroup | None = None
        try:
            with single_failure(levels=0):
                await race.run()
        except ExceptionGroup as group:
            failure = group
        for chunk in held:
            yield chunk
        if failure is not None:
            raise failure
        parts = race.in_order()
        text, step = self.separator.join(parts), 0
        answer = joined(text, parts)
        if self.aggregator is not None:
            step = 1
            joint = Task(text, task.generate_kwargs, expected=task.expected)
            async with Nested(steps_of(self.aggregator, joint, run)) as steps:
                async for chunk in steps:
                    if chunk.phase is DONE:
                        answer = changed(chunk.content, parts=parts)
                    else:
                        yield chunk
        yield StreamChunk(DONE, run.account.of(answer), self.name, step)


@final
@define(eq=False)
class _Race:
    """The workers of one run, with their answers and failures."""

    parallel: Parallel
    task: Task
    outer: Run
    sink: Sink
    answers: dict[int, AnyAnswer] = field(factory=dict[int, AnyAnswer], init=False)  # worker's index -> answer
    failures: list[Exception] = field(factory=list[Exception], init=False)

    def in_order(self) -> tuple[AnyAnswer, ...]:
        return tuple(self.answers[index] for index in sorted(self.answers))

    @property
    def won(self) -> bool:
        return len(self.answers) == self.parallel.first

    async def run(self) -> None:
        workers, wanted = self.parallel.workers, self.parallel.first or 1
        limiter = anyio.Semaphore(self.parallel.max_concurrency or len(workers))
        with Subtasks() as branches:
            async with anyio.create_task_group() as group:

                async def work(index: int, worker: AsyncRunner) -> None:
                    branches.join()
                    begin_branch()
                    async with limiter:
                        await self._work(index, worker)
                    if self.won:
                        group.cancel_scope.cancel()

                for index, worker in enumerate(workers):
                    group.start_soon(work, index, worker)
        if len(self.answers) < wanted:
            raise ExceptionGroup(f"{len(self.failures)} of {len(workers)} workers failed", self.failures)

    async def _work(self, index: int, worker: AsyncRunner) -> None:
        try:
            with single_failure(levels=0):
                answer = await drain(steps_of(worker, self.task, self.outer.worker(self.sink)), self.sink)
        except Exception as exc:
            where = f"worker {index + 1} ({_name(worker)}) of {self.parallel.name!r}"
            exc.add_note(f"in {where}")
            if self.parallel.on_error == "cancel" and not self.won:
                raise
            log.warning("%s failed: %r", where, exc)
            self.failures.append(exc)
        else:
            if not self.won:
                self.answers[index] = answer


def _name(runner: AsyncRunner) -> str:
    return repr(getattr(runner, "name", None) or type(runner).__name__)
