"""The bench that a program gets: runs the compared ways in turns, and hands on what each cost."""

from __future__ import annotations

import inspect
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.harness.clock import Clock, Cost
from benchmarks.harness.results import Measured, Measurement

Way = Callable[..., Awaitable[None] | None]
"""Does the work once and measures it; gets a Clock, and in `Bench.grow` the size."""


@dataclass
class Bench:
    """Measures ways of doing the same work, in rounds in which each way has its turn.

    Args:
        backend: "asyncio" or "trio"; async ways run on it.
        quick: Whether to show that everything works, with few rounds and small sizes, rather than to measure well.
        rounds: Number of rounds of every measurement; None for the usual number.
        peers: Folder of the environments of other libraries, if the peers are measured.
        llama_server: Program of llama.cpp's server, if it is measured.
        publish: Gets each measurement as it ends.
        note: Gets the name and version of something that is measured and not installed here.
        step: Gets what is measured, the round from 1, and the number of rounds, before each round.
    """

    backend: str = "asyncio"
    quick: bool = False
    rounds: int | None = None
    peers: str | None = None
    llama_server: str | None = None
    publish: Callable[[Measurement], None] = print
    note: Callable[[str, str], None] = field(default=lambda name, version: None)
    step: Callable[[str, int, int], None] = field(default=lambda name, number, of: None)

    def compare(
        self,
        name: str,
        ways: Mapping[str, Way],
        *,
        against: str | None = None,
        operation: str = "call",
        shows: Sequence[str] = ("cpu",),
        target: float | None = None,
        apart: bool = False,
        rounds: int | None = None,
    ) -> None:
        """Measure ways of doing the same work.

        Args:
            name: What the work is.
            ways: The ways by name.
            against: The way that the others are compared with, pair by pair. None if the times stand for themselves.
            operation: What one operation is called, in the singular.
            shows: What tables and plots show: "cpu", "wall", "memory".
            target: Upper bound of the ratio of "aimu", for tables and plots.
            apart: Whether each way runs in a new process each time. Ways must then be picklable.
            rounds: Number of rounds in a full run; by default 7. A quick run has at most 3.
        """
        self._measure(Measured(name, operation, tuple(shows), against, target), ways, apart, rounds or 7)

    def grow(
        self,
        name: str,
        sizes: Sequence[int],
        ways: Mapping[str, Way],
        *,
        along: str,
        against: str | None = None,
        operation: str = "call",
        shows: Sequence[str] = ("cpu",),
        apart: bool = False,
        rounds: int | None = None,
    ) -> None:
        """Measure how the cost of an operation changes with a size; a way gets the size as its second argument.

        Args:
            name: What the work is.
            sizes: The sizes, in rising order.
            ways: The ways by name.
            along: What the size counts, in the plural.
            against: As in `compare`.
            operation: As in `compare`.
            shows: As in `compare`.
            apart: As in `compare`.
            rounds: Number of rounds in a full run; by default 3.
        """
        for size in sizes:
            sized = {way: partial(_sized, run, size) for way, run in ways.items()}
            what = Measured(name, operation, tuple(shows), against, None, size, along)
            self._measure(what, sized, apart, rounds or 3)

    def pick(self, full: Sequence[int], quick: Sequence[int]) -> Sequence[int]:
        """Return the sizes for this run."""
        return quick if self.quick else full

    def _measure(self, what: Measured, ways: Mapping[str, Way], apart: bool, usual: int) -> None:
        rounds = self.rounds or (min(usual, 3) if self.quick else usual)
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        for number in range(1, rounds + 1):
            self.step(what.title, number, rounds)
            for way, run in ways.items():
                costs[way].append((_in_new_process if apart else timed)(run, self.backend))
        self.publish(Measurement.of(what, costs))


def timed(way: Way, backend: str) -> Cost:
    """Run a way once; an async one in an event loop of its own."""
    import anyio

    clock = Clock()
    if _is_async(way):
        anyio.run(way, clock, backend=backend)
    else:
        way(clock)
    return clock.cost


def _sized(way: Way, size: int, clock: Clock) -> Any:
    return way(clock, size)


def _is_async(way: Any) -> bool:
    if isinstance(way, partial):
        return _is_async(way.args[0] if way.func is _sized else way.func)
    return inspect.iscoroutinefunction(way)


def _in_new_process(way: Way, backend: str) -> Cost:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(timed, way, backend).result()
