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
PIECES = ["word "] * (WORDS - 1) + ["word"]
TEXT = "".join(PIECES)


def model() -> ScriptedProvider:
    return ScriptedProvider(TEXT, repeat=True)


def sync_calls(clock: Clock) -> None:
    client = aimu.client(model())
    client.generate("x")
    with clock.over(CALLS):
        for _ in range(CALLS):
            answer = client.generate("x")
    assert answer == TEXT


async def async_calls(clock: Clock) -> None:
    client = aio.client(model())
    await client.generate("x")
    with clock.over(CALLS):
        for _ in range(CALLS):
            answer = await client.generate("x")
    assert answer == TEXT


def sync_stream(clock: Clock, entered: bool) -> None:
    client = aimu.client(model())
    client.generate("x")
    with clock.over(STREAMS * WORDS):
        for _ in range(STREAMS):
            stream = client.generate("x", stream=True)
            if entered:
                with stream:
                    chunks = list(stream)
            else:
                chunks = list(stream)
    assert [chunk.content for chunk in chunks if chunk.is_text()] == PIECES


async def async_stream(clock: Clock, entered: bool) -> None:
    client = aio.client(model())
    await client.generate("x")
    with clock.over(STREAMS * WORDS):
        for _ in range(STREAMS):
            stream = client.generate("x", stream=True)
            if entered:
                async with stream:
                    chunks = [chunk async for chunk in stream]
            else:
                chunks = [chunk async for chunk in stream]
    assert [chunk.content for chunk in chunks if chunk.is_text()] == PIECES


def measure(bench: Bench) -> None:
    bench.compare("call", {"async": async_calls, "sync": sync_calls}, against="async", rounds=15)
    for name, entered in (("chunk, pulled", False), ("chunk, entered", True)):
        ways = {"async": partial(async_stream, entered=entered), "sync": partial(sync_stream, entered=entered)}
        bench.compare(name, ways, against="async", operation="chunk", rounds=15)
