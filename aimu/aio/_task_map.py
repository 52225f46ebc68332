"""`amap`: one runner over many tasks. Owns how many tasks run at once, and the progress bar.

`_journal` owns the journal, and is loaded only if there is one.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sized
from contextlib import AbstractContextManager, aclosing, nullcontext
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, final, overload

import anyio

from aimu._core.answer import AROUND, Answer, AnyAnswer, account_within
from aimu._core.groups import single_failure
from aimu._core.processes import stays_in_its_process
from aimu._doors import public
from aimu._output._expected import RETRIES, Expected, OutputMode, OutputValidator
from aimu.aio._checks import checked_text
from aimu.aio._deadline import CLOSING, checked_timeout, within
from aimu.aio._pump import Pump
from aimu.aio._run import Task, begin_branch
from aimu.aio._runner import AsyncRunner, run_of, run_typed
from aimu.errors import InvalidOptionError, MissingExtraError, StreamClosedError

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from aimu.aio._journal import Journal

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


@overload
def amap(
    runner_or_factory: AsyncRunner | Callable[[], AsyncRunner],
    tasks: Iterable[str] | AsyncIterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["raise"] = "raise",
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    context: Any = None,
    journal: str | PathLike[str] | None = None,
    output_type: None = None,
) -> Results[Answer]: ...
@overload
def amap(
    runner_or_factory: AsyncRunner | Callable[[], AsyncRunner],
    tasks: Iterable[str] | AsyncIterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["raise"] = "raise",
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    context: Any = None,
    journal: str | PathLike[str] | None = None,
    output_type: TypeForm[T],
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Results[Answer[T]]: ...
@overload
def amap(
    runner_or_factory: AsyncRunner | Callable[[], AsyncRunner],
    tasks: Iterable[str] | AsyncIterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["collect"],
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    context: Any = None,
    journal: str | PathLike[str] | None = None,
    output_type: None = None,
) -> Results[Answer | Exception]: ...
@overload
def amap(
    runner_or_factory: AsyncRunner | Callable[[], AsyncRunner],
    tasks: Iterable[str] | AsyncIterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["collect"],
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    context: Any = None,
    journal: str | PathLike[str] | None = None,
    output_type: TypeForm[T],
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Results[Answer[T] | Exception]: ...
@overload
def amap(
    runner_or_factory: AsyncRunner | Callable[[], AsyncRunner],
    tasks: Iterable[str] | AsyncIterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["raise", "collect"] = "raise",
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    context: Any = None,
    journal: str | PathLike[str] | None = None,
    output_type: TypeForm[Any] | None = None,
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Results[Answer[Any] | Exception]: ...
@public("aimu.aio")
def amap(
    runner_or_factory: AsyncRunner | Callable[[], AsyncRunner],
    tasks: Iterable[str] | AsyncIterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["raise", "collect"] = "raise",
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    context: Any = None,
    journal: str | PathLike[str] | None = None,
    output_type: TypeForm[Any] | None = None,
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Results[Any]:
    """Run many tasks, and give each result with its index as soon as it is ready.

    Read the results inside `async with`. Each task has a conversation of its own. A task is taken from `tasks` only
    when its run can start, and a slow reader delays new runs.

    Args:
        runner_or_factory: An agent, which is forked for each task without its history, or a function that makes a
            runner.
        tasks: The texts to run; a generator may be endless.
        max_concurrency: The number of tasks that may run at once, at least 1.
        on_error: With "raise", the first failure cancels the other tasks and is raised, with a note that names its
            task. With "collect", an exception becomes the result of its task.
        generate_kwargs: Options for every model request, as in `run`.
        timeout: Seconds for each task; None is no limit.
        progress: Whether to show a progress bar on stderr (extra `progress`); None shows it if stderr is a terminal and
            tqdm is installed.
        context: Any object for the tools of all runs, which get it with `aimu.tools.current_call().context`.
        journal: The path of a file that keeps each answer before it is given out. Run the same batch with the same file
            again, after an error, Ctrl-C or `kill -9`: what it has is not asked again, and what failed or was cut off
            is. A task is known by its text, equal ones by their number; their order does not matter. The file belongs
            to runners of the same classes, names, models, messages and tools, with the same options and `output_type`;
            only limits such as `max_tokens` may change.
        output_type: The type that each answer must have, as in `run`.
        output_mode: How the model is held to the type, as in `run`.
        output_retries: How often the model may give another answer, as in `run`.
        output_validator: Your own check of each value, as in `run`.

    Returns:
        The results: an async context manager, and inside its block an async iterator of (index, result).

    Raises:
        InvalidOptionError: An argument is out of its range, or the runner cannot be forked.
        MissingExtraError: On entering, `progress` is True and tqdm is not installed.
        JournalError: On entering or reading, the journal is in use, cannot be written, is damaged or is not a journal,
            or belongs to other runners; also with "collect".

    Example:
        async with aio.amap(agent, tasks, max_concurrency=100) as results:
            async for index, answer in results:
                print(index, answer)
    """
    if max_concurrency < 1:
        raise InvalidOptionError(f"max_concurrency must be at least 1, got {max_concurrency!r}")
    if isinstance(tasks, str):
        raise InvalidOptionError("tasks must not be a single string; put it into a list of tasks")
    if on_error not in ("raise", "collect"):
        raise InvalidOptionError(f"on_error must be 'raise' or 'collect', got {on_error!r}")
    make, seconds = _factory(runner_or_factory), checked_timeout(timeout)
    expected = Expected.asked(output_type, output_mode, output_retries, output_validator)

    def limit(runner: AsyncRunner) -> AbstractContextManager[object]:
        return nullcontext() if seconds is None else within(seconds, lambda: f"{run_of(runner)} in amap")

    async def ask(task: str, runner: AsyncRunner) -> AnyAnswer:
        with limit(runner):
            if expected is not None:
                return await run_typed(runner, Task(task, generate_kwargs, expected=expected))
            answer: Any = await runner.run(task, None if generate_kwargs is None else dict(generate_kwargs))
        return answer if isinstance(answer, Answer) else Answer(str(answer))

    kept = None
    if journal is not None:
        from aimu.aio._journal import Journal

        kept = Journal(journal, make=make, ask=ask, limit=limit, generate_kwargs=generate_kwargs, expected=expected)

    async def answered(task: str) -> AnyAnswer:
        asked = checked_text(task, "a task of amap")
        return await (ask(asked, make()) if kept is None else kept.answer(asked))

    collect = on_error == "collect"
    return Results(answered, tasks, max_concurrency, collect=collect, progress=progress, context=context, journal=kept)


@final
@stays_in_its_process("the results of amap", "read them, and send the answers")
class Results(Generic[R_co]):
    """The results of `amap`: an async context manager, and inside its block an async iterator of (index, result).

    When the block ends, for whatever reason, all tasks are cancelled and cleaned up before the next line executes.
    """

    def __init__(
        self,
        answer: Callable[[str], Awaitable[AnyAnswer]],
        tasks: Iterable[str] | AsyncIterable[str],
        max_concurrency: int,
        *,
        collect: bool,
        progress: bool | None,
        context: Any,
        journal: Journal | None,
    ) -> None:
        self._answer = answer
        self._given = tasks
        self._max_concurrency = max_concurrency
        self._collect = collect
        self._progress = progress
        self._context = context
        self._journal = journal
        self._tasks: AsyncGenerator[tuple[int, str], None] | None = _numbered(tasks)
        self._begun = False
        self._bar: Any = None
        self._pump: Pump[tuple[int, R_co]] | None = None

    async def __aenter__(self) -> Self:
        if self._begun:
            raise StreamClosedError("the results of amap were already entered; call amap again for a new run")
        self._begun = True
        try:
            if self._journal is not None:
                await self._journal.open()
            self._bar = _bar(self._given, self._progress)
            pump = self._pump = Pump[tuple[int, R_co]](lambda: self._fill(pump), 0)
            await pump.start()
        except BaseException:
            self._close()
            raise
        return self

    def _close(self) -> None:
        """Close what needs no event loop; may be called more than once."""
        if self._journal is not None:
            self._journal.close()
        if self._bar is not None:
            self._bar.close()

    async def _fill(self, pump: Pump[tuple[int, R_co]]) -> None:
        begin_branch()
        AROUND.set(account_within(self._context))
        taking, failures = anyio.Lock(), list[Exception]()

        async def work() -> None:
            try:
                while (taken := await self._take(taking)) is not None:
                    await pump.put(await self._result(*taken))
            except Exception as exc:  # noqa: BLE001 - raised below, outside the task group, which would wrap it
                failures.append(exc)
                workers.cancel_scope.cancel()

        with single_failure():
            async with anyio.create_task_group() as workers:
                for _ in range(self._max_concurrency):
                    workers.start_soon(work)
        if failures:
            raise failures[0]

    async def _take(self, taking: anyio.Lock) -> tuple[int, str] | None:
        async with taking:
            assert self._tasks is not None
            return await anext(self._tasks, None)

    async def _result(self, index: int, task: str) -> tuple[int, Any]:
        try:
            with single_failure(levels=0):
                result: AnyAnswer | Exception = await self._answer(task)
        except Exception as exc:
            exc.add_note(f"in task {index} of amap")
            if not self._collect or (self._journal is not None and exc in self._journal.failures):
                raise
            result = exc
        if self._bar is not None:
            self._bar.update()
        return index, result

    def __aiter__(self) -> Self:
        self._entered()
        return self

    def __anext__(self) -> Coroutine[Any, Any, tuple[int, R_co]]:
        return self._entered().receive()

    def _entered(self) -> Pump[tuple[int, R_co]]:
        if self._pump is None or self._pump.left:
            raise StreamClosedError(
                "the results of amap can be read only inside their block; enter it with `with amap(...) as results:`, "
                "or `async with` in aimu.aio, and read them there"
            )
        return self._pump

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pump is None:  # never entered, so that nothing has begun
            return
        self._pump.check_leaving()
        pump, self._pump = self._pump, None  # results that somebody keeps must not keep their event loop
        try:
            await pump.leave()
        finally:
            tasks, self._tasks = self._tasks, None
            self._close()
            # Shielded so that the user's generator closes also in a cancelled task; it may take `CLOSING` seconds.
            with anyio.move_on_after(CLOSING, shield=True):
                assert tasks is not None
                await tasks.aclose()


async def _numbered(tasks: Iterable[str] | AsyncIterable[str]) -> AsyncGenerator[tuple[int, str], None]:
    index = 0
    if isinstance(tasks, AsyncIterable):
        async with aclosing(tasks) if isinstance(tasks, AsyncGenerator) else nullcontext(tasks) as items:
            async for task in items:
                yield index, task
                index += 1
    else:
        for index, task in enumerate(tasks):
            yield index, task


def _factory(given: AsyncRunner | Callable[[], AsyncRunner]) -> Callable[[], AsyncRunner]:
    fork: Callable[[], AsyncRunner] | None = getattr(given, "fork", None)
    if isinstance(given, AsyncRunner) and fork is not None:
        return fork
    if isinstance(given, AsyncRunner) or not callable(given):
        raise InvalidOptionError(
            f"{type(given).__name__} cannot be forked for each task; pass a function that makes a runner"
        )
    return given


def _bar(tasks: object, wanted: bool | None) -> Any:
    """Return a progress bar, which the caller must close, or None."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        return None
    try:
        from tqdm import tqdm
    except ImportError as exc:
        if wanted is None:
            return None
        raise MissingExtraError("tqdm", "progress") from exc
    return tqdm(total=len(tasks) if isinstance(tasks, Sized) else None, file=sys.stderr, unit="task")
