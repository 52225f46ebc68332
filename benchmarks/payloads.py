"""Large arguments and results of a tool: the cost for each byte, compared with reading and writing the JSON once."""

from __future__ import annotations

import json

from aimu import aio
from aimu.tools import tool
from benchmarks._instant import Instant
from benchmarks.harness import Bench, Clock

SECONDS = (60, 10)


def as_json(clock: Clock, size: int) -> None:
    text = json.dumps({"text": "x" * size})
    with clock.over(size):
        json.dumps(json.loads(text))


async def argument(clock: Clock, size: int) -> None:
    @tool
    async def length(text: str) -> str:
        """Return the length of a text."""
        return str(len(text))

    async with aio.client(Instant(json.dumps({"text": "x" * size}))) as client:
        agent = aio.Agent(client, tools=[length], reset_messages_on_run=True)
        await agent.run("x")
        with clock.over(size):
            assert await agent.run("x") == str(size)


async def result(clock: Clock, size: int) -> None:
    @tool
    async def text(number: int) -> str:
        """Return a text."""
        return "x" * size

    async with aio.client(Instant()) as client:
        agent = aio.Agent(client, tools=[text], reset_messages_on_run=True)
        await agent.run("x")
        with clock.over(size):
            assert len(await agent.run("x")) == size


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[1_000, 10_000, 100_000, 1_000_000, 10_000_000], quick=[1_000, 100_000, 1_000_000])
    ways = {"json": as_json, "aimu, argument": argument, "aimu, result": result}
    bench.grow("tool call", sizes, ways, along="bytes", operation="byte")
