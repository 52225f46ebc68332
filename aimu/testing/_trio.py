"""Makes trio runs that count steps, or whose clock jumps, for the canceller and for virtual time.

Uses the public API of trio only. `_canceller` decides when to cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import trio
import trio.testing


@final
class _Steps(trio.abc.Instrument):  # type: ignore[misc]
    def __init__(self, after_step: Callable[[], None]) -> None:
        self._after_step = after_step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._after_step()


def stepping(after_step: Callable[[], None]) -> dict[str, Any]:
    """Return backend options of a run that calls `after_step` after each step of any task."""
    return {"instruments": [_Steps(after_step)]}


def virtual(idle: float) -> dict[str, Any]:
    """Return backend options of a run whose clock jumps after `idle` real seconds without work."""
    return {"clock": trio.testing.MockClock(autojump_threshold=idle)}
