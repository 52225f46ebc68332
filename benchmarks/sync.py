"""Sync calls compared with async ones: what the facade costs. A scripted model answers at once."""

from __future__ import annotations

from functools import partial

import aimu
from aimu import aio
from aimu.testing import ScriptedProvider
from benchmarks.harness import Bench, Clock

SECONDS = (20, 5)
CALLS = 300
STREAMS = 30
WORDS = 10


def model() -> ScriptedProvider:
    return ScriptedProvider(" ".join(["word"] * WORDS), repeat=True)


def sync_calls(clock: Clock) -> None:
    client = aimu.client(model())
    client.generate("x")
    with clock.over(CALLS):
        for _ in range(CALLS):
            client.generate("x")


async def async_calls(clock: Clock) -> None:
    client = aio.client(model())
    await client.generate("x")
    with clock.over(CALLS):
        for _ in range(CALLS):
            await client.generate("x")


def sync_stream(clock: Clock, entered: bool) -> None:
    client = aimu.client(model())
    client.generate("x")
    with clock.over(STREAMS * WORDS):
        for _ in range(STREAMS):
            stream = client.generate("x", stream=True)
            if entered:
                with stream:
                    list(stream)
            else:
                list(stream)


async def async_stream(clock: Clock, entered: bool) -> None:
    client = aio.client(model())
    await client.generate("x")
    with clock.over(STREAMS * WORDS):
        for _ in range(STREAMS):
            stream = client.generate("x", stream=True)
            if entered:
                async with stream:
                    [chunk async for chunk in stream]
            else:
                [chunk async for chunk in stream]


def measure(bench: Bench) -> None:
    bench.compare("call", {"async": async_calls, "sync": sync_calls}, against="async", rounds=15)
    for name, entered in (("chunk, pulled", False), ("chunk, entered", True)):
        ways = {"async": partial(async_stream, entered=entered), "sync": partial(sync_stream, entered=entered)}
        bench.compare(name, ways, against="async", operation="chunk", rounds=15)
