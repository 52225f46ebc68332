"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of amap, Results. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, final, overload

from aimu._core.answer import Answer
from aimu._doors import public
from aimu._output._expected import RETRIES, OutputMode, OutputValidator
from aimu._sync.own import factory_of
from aimu._sync.reader import Reader
from aimu._sync.runner import Runner
from aimu._sync.twin import sync_of, twin_of
from aimu.aio._task_map import R_co, T
from aimu.aio._task_map import Results as AsyncResults
from aimu.aio._task_map import amap as async_amap

if TYPE_CHECKING:
    from typing_extensions import TypeForm


@overload
def amap(
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
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
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
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
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
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
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
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
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
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
@public("aimu.agents")
def amap(
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
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

    Read the results inside `with`. Each task has a conversation of its own. A task is taken from `tasks` only when its
    run can start, and a slow reader delays new runs.

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
        The results: a context manager, and inside its block an iterator of (index, result).

    Raises:
        InvalidOptionError: An argument is out of its range, or the runner cannot be forked.
        MissingExtraError: On entering, `progress` is True and tqdm is not installed.
        JournalError: On entering or reading, the journal is in use, cannot be written, is damaged or is not a journal,
            or belongs to other runners; also with "collect".

    Example:
        with amap(agent, tasks, max_concurrency=100) as results:
            for index, answer in results:
                print(index, answer)
    """
    result: Results[Any] = sync_of(
        async_amap(
            factory_of(runner_or_factory),
            tasks,
            max_concurrency=max_concurrency,
            on_error=on_error,
            generate_kwargs=generate_kwargs,
            timeout=timeout,
            progress=progress,
            context=context,
            journal=journal,
            output_type=output_type,
            output_mode=output_mode,
            output_retries=output_retries,
            output_validator=output_validator,
        )
    )
    return result


@final
@twin_of(AsyncResults)
class Results(Reader[tuple[int, R_co]]):
    """The results of `amap`: a context manager, and inside its block an iterator of (index, result).

    When the block ends, for whatever reason, all tasks are cancelled and cleaned up before the next line executes.
    """

    __aio__: AsyncResults[R_co]
