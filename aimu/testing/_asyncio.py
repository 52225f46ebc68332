"""What the canceller and virtual time need of asyncio: event loops that count steps, or whose clock jumps.

Public API of asyncio only. Refuses any policy: when to cancel is the canceller's.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, TypeVarTuple, final

Ts = TypeVarTuple("Ts")


@final
class _SteppingLoop(asyncio.SelectorEventLoop):
    """Reports the end of every callback: each step of a task is one, and so is each timer and each thread's end."""

    def __init__(self, after_step: Callable[[], None]) -> None:
        super().__init__()
        self._after_step = after_step

    def _reported(self, callback: Callable[[*Ts], object]) -> Callable[[*Ts], None]:
        def step(*args: *Ts) -> None:
            try:
                callback(*args)
            finally:
                self._after_step()

        return step

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._reported(callback), *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._reported(callback), *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._reported(callback), *args, context=context)


@final
class _JumpingSelector(selectors.DefaultSelector):
    """Waits `idle` real seconds at most, then moves its clock over the rest of the wait."""

    def __init__(self, idle: float) -> None:
        super().__init__()
        self.now = 0.0
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, self._idle))
        if not ready:
            self.now += timeout
        return ready


@final
class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, idle: float) -> None:
        self._clock = _JumpingSelector(idle)
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def stepping(after_step: Callable[[], None]) -> dict[str, Any]:
    """Backend options of an event loop that calls `after_step` when any callback has run."""
    return {"loop_factory": lambda: _SteppingLoop(after_step)}


def virtual(idle: float) -> dict[str, Any]:
    """Backend options of an event loop whose clock jumps when nothing has been ready for `idle` real seconds."""
    return {"loop_factory": lambda: _VirtualTimeLoop(idle)}


async def cancellable(attempt: Callable[[Callable[[], object]], Awaitable[None]]) -> None:
    """Run `attempt` in a task of its own; it is given that task's `cancel`, the native one."""

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        await attempt(task.cancel)

    task = asyncio.create_task(body())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
