"""Makes asyncio event loops that count steps, or whose clock jumps, for the canceller and for virtual time.

Uses the public API of asyncio only. `_canceller` decides when to cancel.
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
    """Reports the end of every callback: each step of a task, each timer, and the end of each thread's work."""

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
    """Waits at most `idle` real seconds, then moves its clock to the end of the wait."""

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
    """Return backend options of an event loop that calls `after_step` after each callback."""
    return {"loop_factory": lambda: _SteppingLoop(after_step)}


def virtual(idle: float) -> dict[str, Any]:
    """Return backend options of an event loop whose clock jumps after `idle` real seconds without work."""
    return {"loop_factory": lambda: _VirtualTimeLoop(idle)}


async def cancellable(attempt: Callable[[Callable[[], object]], Awaitable[None]]) -> None:
    """Run `attempt` in its own task, and pass it the native `cancel` of that task."""

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        await attempt(task.cancel)

    task = asyncio.create_task(body())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
