"""`Parallel` with many workers: the cost of each worker, plain and streamed."""

from __future__ import annotations

from aimu import aio
from benchmarks._instant import Instant
from benchmarks.harness import Bench, Clock

SECONDS = (30, 5)


def parallel(client: aio.AsyncBaseModelClient, count: int) -> aio.Parallel:
    return aio.Parallel([aio.Agent(client, name=f"worker {number}") for number in range(count)], separator=" ")


async def plain(clock: Clock, count: int) -> None:
    async with aio.client(Instant()) as client:
        await parallel(client, 1).run("x")
        with clock.over(count):
            answer = await parallel(client, count).run("x")
    assert answer == " ".join("x" * count)


async def streamed(clock: Clock, count: int) -> None:
    async with aio.client(Instant()) as client:
        await parallel(client, 1).run("x")
        with clock.over(count):
            async with parallel(client, count).run("x", stream=True) as stream:
                async for _ in stream:
                    pass
    assert stream.result.count("word") == count


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[1, 10, 100, 1_000], quick=[1, 10, 100])
    bench.grow("Parallel", sizes, {"aimu": plain, "aimu, streamed": streamed}, along="workers", operation="worker")
