"""`amap` over many tasks: the CPU time of each task, and the memory of the whole run, which should stay the same.

The tasks come from a generator, and the results are not kept. Memory is measured in new processes.
"""

from __future__ import annotations

from functools import partial

from aimu import aio
from benchmarks._instant import Instant, double
from benchmarks.harness import Bench, Clock

SECONDS = (200, 15)


async def mapped(clock: Clock, count: int, memory: bool) -> None:
    async with aio.client(Instant()) as client:
        agent = aio.Agent(client, tools=[double], reset_messages_on_run=True)
        await through(agent, 100)
        with clock.over(1 if memory else count, memory=memory):
            assert await through(agent, count) == count


async def through(agent: aio.Agent, count: int) -> int:
    right = 0
    async with aio.amap(agent, (str(number) for number in range(count)), progress=False) as results:
        async for _, answer in results:
            right += answer == "42"
    return right


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[100, 1_000, 10_000, 100_000], quick=[100, 1_000, 5_000])
    bench.grow("amap", sizes, {"aimu": partial(mapped, memory=False)}, along="tasks", operation="task")
    ways = {"aimu": partial(mapped, memory=True)}
    shows = ("memory",)
    bench.grow("amap, memory", sizes, ways, along="tasks", operation="run", shows=shows, apart=True)
