"""A long stream through a client: the cost of each delta, pulled, entered, and by the sync facade."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import aimu
from aimu import aio
from aimu.providers import Request
from aimu.types import Delta
from benchmarks._instant import Instant
from benchmarks.harness import Bench, Clock

SECONDS = (240, 10)


async def provider_alone(clock: Clock, count: int) -> None:
    request = Request(messages=[{"role": "user", "content": "x"}])
    with clock.over(count):
        async with aclosing(Instant(deltas=count).stream(request)) as pieces:
            assert await texts(pieces) == count


async def texts(pieces: AsyncIterator[object]) -> int:
    return sum([1 async for piece in pieces if isinstance(piece, Delta)])


async def pulled(clock: Clock, count: int) -> None:
    async with aio.client(Instant(deltas=count)) as client:
        with clock.over(count):
            seen = [1 async for chunk in client.generate("x", stream=True) if chunk.is_text()]
    assert len(seen) == count


async def entered(clock: Clock, count: int) -> None:
    async with aio.client(Instant(deltas=count)) as client:
        with clock.over(count):
            async with client.generate("x", stream=True) as stream:
                seen = [1 async for chunk in stream if chunk.is_text()]
    assert len(seen) == count


def sync(clock: Clock, count: int) -> None:
    with aimu.client(Instant(deltas=count)) as client:
        with clock.over(count):
            seen = [1 for chunk in client.generate("x", stream=True) if chunk.is_text()]
    assert len(seen) == count


def measure(bench: Bench) -> None:
    sizes = bench.pick(full=[100, 1_000, 10_000, 100_000, 1_000_000], quick=[100, 1_000, 10_000])
    ways = {"provider alone": provider_alone, "aimu, pulled": pulled, "aimu, entered": entered, "aimu, sync": sync}
    bench.grow("stream", sizes, ways, along="deltas", operation="delta")
