"""Many agents at once, each with one tool call: CPU time and memory of each, without and with HTTP.

Every measurement is made in a new process.
"""

from __future__ import annotations

from functools import partial

import anyio

from aimu import aio
from benchmarks._instant import Instant, double
from benchmarks.harness import Bench, Clock
from benchmarks.sides import aimu
from benchmarks.sides.works import crowd, server

SECONDS = (400, 40)


async def scripted(clock: Clock, count: int) -> None:
    answers: list[str] = []

    async def one() -> None:
        answers.append(await aio.Agent(client, tools=[double]).run("21"))

    async with aio.client(Instant()) as client:
        await one()
        with clock.over(count, memory=True):
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(one)
    assert answers == ["42"] * (count + 1)


async def over_http(clock: Clock, count: int, url: str) -> None:
    await crowd(clock, aimu.Side, url, count, memory=True)


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[10, 100, 1_000, 10_000], quick=[10, 100, 1_000])
    with server() as address:
        ways = {"aimu, model in this process": scripted, "aimu, over HTTP": partial(over_http, url=f"{address}/ok/v1")}
        shows = ("cpu", "memory")
        bench.grow("agents at once", sizes, ways, along="agents", operation="agent", shows=shows, apart=True)
