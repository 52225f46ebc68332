"""Cancels a piece of async code at every point at which it can be cancelled, and checks the state after each.

Owns the search for the points, and the check that no task and no async generator is left. The scenario's `check` tests
everything else. Points are scheduler steps, not checkpoints: the stop comes after the k-th step of any task, timer or
thread since `run` began, so that it also hits waits in child tasks, for events and for threads.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from types import AsyncGeneratorType
from typing import Any, Literal, Protocol, TypeAlias, final
from weakref import WeakSet

import anyio
from anyio.lowlevel import checkpoint
from attrs import define

from aimu._core.loop_end import is_keeper, observers
from aimu._doors import public
from aimu.errors import InvalidOptionError
from aimu.testing._backends import Backend, stepping

How: TypeAlias = Literal["scope", "native"]

_UNTOUCHED = 3  # the search ends after this many runs in a row without a stop: threads vary the number of steps
_SETTLE = 20  # steps in which the backend may close dropped generators


@public("aimu.testing")
class Scenario(Protocol):
    """The code to cancel, and the check of the state afterwards. Each point gets a new scenario."""

    async def run(self) -> None:
        """Run the code under test. Any exception but the cancellation is a failure, so catch the expected ones."""
        ...

    async def check(self, *, completed: bool) -> None:
        """Assert what must hold after the stop; runs in the same event loop.

        Args:
            completed: Whether `run` returned before the stop.
        """
        ...


@public("aimu.testing")
def cancel_everywhere(
    make_scenario: Callable[[], Scenario],
    *,
    backend: Backend = "asyncio",
    how: How = "scope",
    minimum: int = 1,
    timeout: float = 10.0,
    allow_open_generators: bool = False,
) -> int:
    """Run new scenarios in one event loop, and cancel each at a later point than the one before.

    The search ends when three runs in a row end before their point. The number of points is printed.

    Args:
        make_scenario: Makes a new scenario for each point.
        backend: "asyncio" or "trio".
        how: "scope" cancels an AnyIO cancel scope around `run`; "native" calls asyncio's own `Task.cancel()`.
        minimum: Least number of points to expect, so that a scenario that no longer reaches its code is noticed.
        timeout: Seconds for `run` and `check` of one point together.
        allow_open_generators: Whether async generators that `run` started may be left open.

    Returns:
        The number of points at which a run was cancelled.

    Raises:
        AssertionError: At one point, which the text names, `run` raised, `check` failed, the timeout passed, or a task
            or a started async generator was left. Or there were fewer than `minimum` points.
        InvalidOptionError: `backend` or `how` is invalid; "native" needs asyncio.

    Example:
        class Chat:
            def __init__(self):
                self.client = scripted_client("Hello.", repeat=True)

            async def run(self):
                await self.client.chat("Hi")

            async def check(self, *, completed):
                assert await self.client.chat("Are you still there?") == "Hello."

        cancel_everywhere(Chat, backend="trio")
    """
    if how not in ("scope", "native") or (how, backend) == ("native", "trio"):
        raise InvalidOptionError(f"how={how!r} is invalid on {backend}; use 'scope', or 'native' on asyncio")
    trigger = _Trigger()
    search = partial(_search, make_scenario, trigger, backend, how, timeout, allow_open_generators)
    points = anyio.run(search, backend=backend, backend_options=stepping(backend, trigger.step))
    name = getattr(make_scenario, "__qualname__", repr(make_scenario))
    summary = f"{name}: {points} cancellation points on {backend} ({how})"
    print(summary)  # noqa: T201 - the number shows whether a scenario still reaches its code
    if points < minimum:
        raise AssertionError(f"{summary}, fewer than the minimum of {minimum}; the scenario does not reach its code")
    return points


@final
@define
class _Trigger:
    """Calls `cancel` after `left` more steps."""

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
    """Name the tasks and generators that are left after the backend could close them."""
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
    """Collect, as weak references, the async generators that this thread first iterates within the block."""
    hooks = sys.get_asyncgen_hooks()
    started: WeakSet[AsyncGeneratorType[Any, Any]] = WeakSet()

    thread = get_ident()

    def observe(agen: object) -> None:
        if isinstance(agen, AsyncGeneratorType) and get_ident() == thread and not is_keeper(agen):
            started.add(agen)

    def first_iteration(agen: AsyncGenerator[Any, Any]) -> None:
        observe(agen)
        if hooks.firstiter is not None:
            hooks.firstiter(agen)

    sys.set_asyncgen_hooks(firstiter=first_iteration, finalizer=hooks.finalizer)
    observers.append(observe)  # of the generators that the library hides from the event loop
    try:
        yield started
    finally:
        observers.remove(observe)
        sys.set_asyncgen_hooks(*hooks)
