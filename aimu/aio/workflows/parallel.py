"""Several runners on one task at once. The one workflow that owns a task group."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal, Self, final

import anyio
from attrs import Attribute, define, field

from aimu.aio.agent import Agent
from aimu.aio.base_client import AsyncBaseModelClient
from aimu.aio.checks import at_least_one_or_none, not_empty, one_of
from aimu.aio.run import Run, Sink, Steps, Task, begin_branch, drain
from aimu.aio.runner import DONE, AsyncRunner, StepRunner, steps_of
from aimu.core.chunks import StreamChunk
from aimu.errors import InvalidOptionError

log = logging.getLogger("aimu.aio")

OnError = Literal["cancel", "collect"]
SEPARATOR = "\n\n---\n\n"


def _at_most_all(parallel: Parallel, attribute: Attribute[Any], first: Any) -> None:
    at_least_one_or_none(parallel, attribute, first)
    if first is not None and first > len(parallel.workers):
        raise InvalidOptionError(
            f"first must be between 1 and the number of workers ({len(parallel.workers)}), got {first}"
        )


@define(eq=False)
class Parallel(StepRunner):
    """All workers do the same task at once; their answers, in the order of the workers, are joined by `separator`.

    An `aggregator` is given the joined answers as its task. The first failure cancels the other workers, and an
    ExceptionGroup is raised whose leaves have a note that names the worker. With `on_error="collect"` the others go on
    and failed workers' answers are left out (and logged); the group is raised only when too few are left: none, or
    fewer than `first`. `first=n` takes the first n answers and cancels the rest. At most `max_concurrency` workers run
    at once.
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
        """Workers named `worker_1`, `worker_2`, … and an `aggregator`; each prompt is the system message of one.

        Each has a conversation of its own, forked from the client without its history.
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

    async def _steps(self, task: Task, run: Run) -> Steps:
        held: list[StreamChunk] = []

        async def hold(chunk: StreamChunk) -> None:
            held.append(chunk)

        race = _Race(self, task, run, run.sink or hold)
        failure: ExceptionGroup | None = None
        try:
            await race.run()
        except ExceptionGroup as group:
            failure = group
        for chunk in held:
            yield chunk
        if failure is not None:
            raise failure
        answer, step = self.separator.join(race.in_order()), 0
        if self.aggregator is not None:
            joined, step = Task(answer, task.generate_kwargs), 1
            async with aclosing(steps_of(self.aggregator, joined, run)) as steps:
                async for chunk in steps:
                    if chunk.phase is DONE:
                        answer = str(chunk.content)
                    else:
                        yield chunk
        yield StreamChunk(DONE, answer, self.name, step)


@final
@define(eq=False)
class _Race:
    """The workers of one run: what they answered, and how they failed."""

    parallel: Parallel
    task: Task
    outer: Run
    sink: Sink
    answers: dict[int, str] = field(factory=dict[int, str], init=False)  # worker's index -> answer
    failures: list[Exception] = field(factory=list[Exception], init=False)

    def in_order(self) -> list[str]:
        return [self.answers[index] for index in sorted(self.answers)]

    @property
    def won(self) -> bool:
        return len(self.answers) == self.parallel.first

    async def run(self) -> None:
        workers, wanted = self.parallel.workers, self.parallel.first or 1
        limiter = anyio.Semaphore(self.parallel.max_concurrency or len(workers))
        async with anyio.create_task_group() as group:

            async def work(index: int, worker: AsyncRunner) -> None:
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
            done = await drain(steps_of(worker, self.task, self.outer.branch(self.sink)), self.sink)
        except Exception as exc:
            where = f"worker {index + 1} ({_name(worker)}) of {self.parallel.name!r}"
            exc.add_note(f"in {where}")
            if self.parallel.on_error == "cancel" and not self.won:
                raise
            log.warning("%s failed: %r", where, exc)
            self.failures.append(exc)
        else:
            if not self.won:
                self.answers[index] = str(done.content)


def _name(runner: AsyncRunner) -> str:
    return repr(getattr(runner, "name", None) or type(runner).__name__)
