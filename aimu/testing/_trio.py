"""What the canceller and virtual time need of trio: an instrument that counts steps, and the mock clock.

Public API of trio only. Refuses any policy: when to cancel is the canceller's.
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
    """Backend options of a run that calls `after_step` when any task has made a step."""
    return {"instruments": [_Steps(after_step)]}


def virtual(idle: float) -> dict[str, Any]:
    """Backend options of a run whose clock jumps when no task was ready for `idle` real seconds."""
    return {"clock": trio.testing.MockClock(autojump_threshold=idle)}
