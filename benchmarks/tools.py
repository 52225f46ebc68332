"""Agents with many tools, of which one is called: the cost for each tool, in the first run and in later ones.

The first run makes the schemas of the tools. Over HTTP, every request sends them all, and two requests make a run.
"""

from __future__ import annotations

from functools import partial

from aimu import aio
from aimu.tools import Tool, tool
from benchmarks._instant import Instant
from benchmarks.harness import Bench, Clock
from benchmarks.sides import aimu
from benchmarks.sides.works import server

SECONDS = (60, 10)


def make_tools(count: int) -> list[Tool]:
    return [make_tool(number) for number in range(count)]


def make_tool(number: int) -> Tool:
    async def double(number: int, exact: bool = True) -> str:
        """Double a number.

        Args:
            number: Any number.
            exact: Whether the result must be exact.
        """
        return str(2 * number)

    double.__name__ = f"double_{number}"
    return tool(double)


async def first_run(clock: Clock, count: int) -> None:
    async with aio.client(Instant()) as client:
        assert await aio.Agent(client, tools=make_tools(1)).run("21") == "42"
        tools = make_tools(count)
        with clock.over(count):
            assert await aio.Agent(client, tools=tools).run("21") == "42"


async def later_run(clock: Clock, count: int, client: aio.AsyncBaseModelClient) -> None:
    agent = aio.Agent(client, tools=make_tools(count), reset_messages_on_run=True)
    assert await agent.run("21") == "42"
    with clock.over(5 * count):
        for _ in range(5):
            assert await agent.run("21") == "42"
    await client.aclose()


async def in_process(clock: Clock, count: int) -> None:
    await later_run(clock, count, aio.client(Instant()))


async def over_http(clock: Clock, count: int, url: str) -> None:
    await later_run(clock, count, aimu.Side(url).client)


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[1, 10, 100, 1_000], quick=[1, 10, 100])
    with server() as address:
        ways = {
            "aimu, first run": first_run,
            "aimu, later run": in_process,
            "aimu, later run over HTTP": partial(over_http, url=f"{address}/ok/v1"),
        }
        bench.grow("run of an agent", sizes, ways, along="tools", operation="tool")
