"""The clock: what a block of a program costs in CPU time, in time on the wall, and in memory."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_STATUS = Path("/proc/self/status")  # Linux only; elsewhere a peak cannot be forgotten


@dataclass(frozen=True)
class Cost:
    """The cost of one operation: seconds of CPU and on the wall, and bytes if memory was measured."""

    cpu: float
    wall: float
    memory: float | None = None


@dataclass
class Clock:
    """Measures one `with clock.over(operations):` block, or takes the times that a way measured itself."""

    _cost: Cost | None = field(default=None, init=False)

    @property
    def cost(self) -> Cost:
        if self._cost is None:
            raise RuntimeError("nothing was measured; use `with clock.over(operations):` once in each way")
        return self._cost

    @contextmanager
    def over(self, operations: int = 1, *, memory: bool = False, children: bool = False) -> Iterator[None]:
        """Measure the block, and divide by the number of operations in it.

        Args:
            operations: Number of operations in the block, at least 1.
            memory: Whether to measure the growth of the peak resident size. It needs a process of its own: see `apart`
                of `Bench.compare`.
            children: Whether to measure the processes that the block starts and waits for, instead of this one.
        """
        gc.collect()
        before = _forget_peak() if memory else 0
        began, cpu = time.perf_counter(), _cpu(children)
        yield
        spent, took = _cpu(children) - cpu, time.perf_counter() - began
        grown = (_peak() - before) / operations if memory else None
        self.record(spent / operations, took / operations, grown)

    def record(self, cpu: float, wall: float, memory: float | None = None) -> None:
        """Set the cost of one operation, which a way measured itself."""
        if self._cost is not None:
            raise RuntimeError("a way measures one block; a second one would replace the first")
        self._cost = Cost(cpu, wall, memory)


def _cpu(children: bool) -> float:
    if not children:
        return time.process_time()
    times = resource.getrusage(resource.RUSAGE_CHILDREN)  # finer than os.times()
    return times.ru_utime + times.ru_stime


def _forget_peak() -> int:
    """Begin to count the peak resident size; return the size now, in bytes."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5)
        return _status("VmRSS")
    return _peak()


def _peak() -> int:
    return _status("VmHWM") if _STATUS.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(field: str) -> int:
    """Return a size of this process in bytes: VmRSS is the current one, VmHWM the peak. See proc_pid_status(5)."""
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024
