"""One sync runner over many tasks: the twin of `aimu.aio.task_map`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, final, overload

from aimu import aio
from aimu._sync.runner import Runner
from aimu._sync.stream import Reader
from aimu._sync.twin import aio_of, twin_of
from aimu.aio.task_map import Results as AsyncResults

R_co = TypeVar("R_co", covariant=True)


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
) -> Results[str]: ...
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
) -> Results[str | Exception]: ...
def amap(
    runner_or_factory: Runner | Callable[[], Runner],
    tasks: Iterable[str],
    *,
    max_concurrency: int = 10,
    on_error: Literal["raise", "collect"] = "raise",
    generate_kwargs: dict[str, Any] | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
) -> Results[Any]:
    """Run many tasks, at most `max_concurrency` at once; results come as they complete, with their index::

        with amap(agent, tasks, max_concurrency=100) as results:
            for index, answer in results:
                ...

    Each task has a conversation of its own: an agent is forked for it without its history, anything else is given as a
    factory that makes a runner. `tasks` are taken as they are begun, so that they may be a generator; a slow reader
    holds new ones back. The first failure cancels the rest and is raised with a note that names the task; with
    `on_error="collect"` the exception is that task's result. `timeout` is seconds for each task. `progress` shows a bar
    on stderr (extra `progress`); None means: where stderr is a terminal and tqdm is installed.
    """
    # The two values of `on_error` differ in types only, and either overload leads to the same call.
    settings: Any = {"on_error": on_error}
    return Results(
        aio.amap(
            _factory(runner_or_factory),
            tasks,
            max_concurrency=max_concurrency,
            generate_kwargs=generate_kwargs,
            timeout=timeout,
            progress=progress,
            **settings,
        )
    )


def _factory(given: Any) -> Any:
    make = getattr(given, "fork", None) if isinstance(given, Runner) else given
    return (lambda: aio_of(make())) if callable(make) else aio_of(given)


@final
@twin_of(AsyncResults)
class Results(Reader[tuple[int, R_co]]):
    """The results of a map: a context manager, and in its block an iterator of (index, result).

    Leaving the block, in any way, has cancelled and cleaned up everything before the next line runs.
    """
