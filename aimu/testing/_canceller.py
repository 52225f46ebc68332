"""Cancels a piece of async code at every point at which it can be cancelled, and checks it after each.

Owns the search for the points and what must hold at any of them: no task and no async generator is left. What else
must hold is the scenario's `check`. Points are scheduler steps, not checkpoints: the stop comes after the k-th step
of any task, timer or thread since `run` began, so waits in child tasks, events and threads are all met.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from types import AsyncGeneratorType
from typing import Any, Literal, Protocol, TypeAlias, final
from weakref import WeakSet

import anyio
from anyio.lowlevel import checkpoint
from attrs import define

from aimu.errors import InvalidOptionError
from aimu.testing._backends import Backend, stepping

How: TypeAlias = Literal["scope", "native"]

_UNTOUCHED = 3  # runs in a row that end before their point: with threads the number of steps varies
_SETTLE = 20  # steps that the backend gets to close what was dropped


class Scenario(Protocol):
    """What is cancelled, made afresh for every point."""

    async def run(self) -> None:
        """The code under test; an exception other than the cancellation is a failure, so catch what you expect."""
        ...

    async def check(self, *, completed: bool) -> None:
        """Assert what must hold after the stop, in the same loop; `completed` is whether `run` returned."""
        ...


def cancel_everywhere(
    make_scenario: Callable[[], Scenario],
    *,
    backend: Backend = "asyncio",
    how: How = "scope",
    minimum: int = 1,
    timeout: float = 10.0,
    allow_open_generators: bool = False,
) -> int:
    """Run fresh scenarios in one event loop, cancel each at a later point, and return the number of points.

    It ends when three runs in a row were over before their point. `how` is the stop: "scope" an AnyIO cancel scope
    around `run`, "native" asyncio's own `Task.cancel()`. AssertionError names the point when `run` raises, `check`
    fails, a task or a started async generator is left after it, or both take longer than `timeout` seconds, and when
    there were fewer than `minimum` points. The number is printed.
    """
    if how not in ("scope", "native") or (how, backend) == ("native", "trio"):
        raise InvalidOptionError(f"how={how!r} on {backend}; use 'scope', or on asyncio 'native'")
    trigger = _Trigger()
    search = partial(_search, make_scenario, trigger, backend, how, timeout, allow_open_generators)
    points = anyio.run(search, backend=backend, backend_options=stepping(backend, trigger.step))
    name = getattr(make_scenario, "__qualname__", repr(make_scenario))
    summary = f"{name}: {points} cancellation points on {backend} ({how})"
    print(summary)  # noqa: T201 - a count that nobody reads hides a scenario that no longer reaches its code
    if points < minimum:
        raise AssertionError(f"{summary}, fewer than the stated minimum of {minimum}")
    return points


@final
@define
class _Trigger:
    """Calls `cancel` when `left` steps have been made since it was given."""

    left: int = 0
    cancel: Callable[[], object] | None = None

    def step(self) -> None:
        if self.cancel is not None and self.left:
            self.left -= 1
            if not self.left:
                self.cancel()


async def _search(
    make_scenario: Callable[[], Scenario],
    trigger: _Trigger,
    backend: Backend,
    how: How,
    timeout: float,
    allow_open_generators: bool,
) -> int:
    ours = {task.id for task in anyio.get_running_tasks()}
    points = k = untouched = 0
    while untouched < _UNTOUCHED:
        k += 1
        trigger.left = k
        with _started_generators() as started:
            try:
                with anyio.fail_after(timeout):
                    await _attempt(make_scenario(), trigger, how)
                if left := await _left(ours, () if allow_open_generators else started):
                    raise AssertionError(f"left behind: {', '.join(left)}")
            except BaseException as exc:
                point = f"point {k} on {backend} ({how}), {'not reached' if trigger.left else 'cancelled'}"
                if not isinstance(exc, Exception):
                    exc.add_note(point)
                    raise
                raise AssertionError(f"{point}: {type(exc).__name__}: {exc}") from exc
        points += not trigger.left
        untouched = untouched + 1 if trigger.left else 0
    return points


async def _attempt(scenario: Scenario, trigger: _Trigger, how: How) -> None:
    completed = False

    async def armed(cancel: Callable[[], object]) -> None:
        nonlocal completed
        trigger.cancel = cancel
        try:
            await scenario.run()
            completed = True
        finally:
            trigger.cancel = None

    if how == "native":
        from aimu.testing import _asyncio

        await _asyncio.cancellable(armed)
    else:
        with anyio.CancelScope() as scope:
            await armed(scope.cancel)
    await scenario.check(completed=completed)


async def _left(ours: set[int], started: Iterable[AsyncGeneratorType[Any, Any]]) -> list[str]:
    """What is still there when the backend has had its steps to close what was dropped."""
    left: list[str] = []
    for _ in range(_SETTLE):
        await checkpoint()
        left = [f"task {task.name}" for task in anyio.get_running_tasks() if task.id not in ours]
        left += [f"async generator {agen.__qualname__}" for agen in started if agen.ag_frame is not None]
        if not left:
            break
    return left


@contextmanager
def _started_generators() -> Generator[WeakSet[AsyncGeneratorType[Any, Any]]]:
    """The async generators that are iterated for the first time within the block, on this thread; held weakly."""
    hooks = sys.get_asyncgen_hooks()
    started: WeakSet[AsyncGeneratorType[Any, Any]] = WeakSet()

    def first_iteration(agen: AsyncGenerator[Any, Any]) -> None:
        if isinstance(agen, AsyncGeneratorType):
            started.add(agen)
        if hooks.firstiter is not None:
            hooks.firstiter(agen)

    sys.set_asyncgen_hooks(firstiter=first_iteration, finalizer=hooks.finalizer)
    try:
        yield started
    finally:
        sys.set_asyncgen_hooks(*hooks)
