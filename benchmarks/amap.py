"""`amap` over many tasks: the CPU time of each task, and the memory of the whole run, which should stay the same.

The tasks come from a generator, and the results are not kept. Memory is measured in new processes. With a journal,
each answer is also written to a file.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from aimu import aio
from benchmarks._instant import Instant, double
from benchmarks.harness import Bench, Clock

SECONDS = (200, 15)


async def mapped(clock: Clock, count: int, memory: bool, kept: bool = False) -> None:
    async with aio.client(Instant()) as client:
        agent = aio.Agent(client, tools=[double], reset_messages_on_run=True)
        with TemporaryDirectory() as folder:
            await through(agent, 100, Path(folder, "first") if kept else None)
            with clock.over(1 if memory else count, memory=memory):
                assert await through(agent, count, Path(folder, "second") if kept else None) == count


async def through(agent: aio.Agent, count: int, journal: Path | None) -> int:
    right = 0
    tasks = (str(number) for number in range(count))
    async with aio.amap(agent, tasks, progress=False, journal=journal) as results:
        async for _, answer in results:
            right += answer == "42"
    return right


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[100, 1_000, 10_000, 100_000], quick=[100, 1_000, 5_000])
    ways = {"aimu": partial(mapped, memory=False), "with a journal": partial(mapped, memory=False, kept=True)}
    bench.grow("amap", sizes, ways, along="tasks", operation="task")
    ways = {"aimu": partial(mapped, memory=True), "with a journal": partial(mapped, memory=True, kept=True)}
    shows = ("memory",)
    bench.grow("amap, memory", sizes, ways, along="tasks", operation="run", shows=shows, apart=True)
