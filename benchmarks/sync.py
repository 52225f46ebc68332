"""Measures the CPU time of a sync call over that of the async one: paired rounds, medians.

python benchmarks/sync.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import anyio

import aimu
from aimu import aio
from aimu.testing import ScriptedProvider

CALLS = 300
ROUNDS = 15
TEXT = "one two three four five six seven eight nine ten"


def cost(run: Callable[[], int]) -> float:
    """Return the CPU microseconds of one unit of `run`, which returns the number of units that it did."""
    begin = time.thread_time_ns()
    units = run()
    return (time.thread_time_ns() - begin) / units / 1e3


def main() -> None:
    provider = ScriptedProvider(TEXT, repeat=True)
    sync_client, async_client = aimu.client(provider), aio.client(provider)

    def sync_calls() -> int:
        for _ in range(CALLS):
            sync_client.generate("x")
        provider.requests.clear()
        return CALLS

    async def await_calls() -> int:
        for _ in range(CALLS):
            await async_client.generate("x")
        provider.requests.clear()
        return CALLS

    def sync_stream(entered: bool) -> int:
        count = 0
        for _ in range(CALLS // 10):
            stream = sync_client.generate("x", stream=True)
            if entered:
                with stream:
                    count += sum(1 for _ in stream)
            else:
                count += sum(1 for _ in stream)
        provider.requests.clear()
        return count

    async def await_stream(entered: bool) -> int:
        count = 0
        for _ in range(CALLS // 10):
            stream = async_client.generate("x", stream=True)
            if entered:
                async with stream:
                    count += len([chunk async for chunk in stream])
            else:
                count += len([chunk async for chunk in stream])
        provider.requests.clear()
        return count

    pairs: dict[str, tuple[Callable[[], int], Callable[[], int]]] = {
        "a call": (sync_calls, lambda: anyio.run(await_calls)),
        "a chunk, pulled": (lambda: sync_stream(False), lambda: anyio.run(await_stream, False)),
        "a chunk, entered": (lambda: sync_stream(True), lambda: anyio.run(await_stream, True)),
    }
    for name, (sync, plain) in pairs.items():
        sync(), plain()
        rounds = [(cost(sync), cost(plain)) for _ in range(ROUNDS)]
        over = median(a - b for a, b in rounds)
        ours, plain_cost = median(a for a, _ in rounds), median(b for _, b in rounds)
        print(f"{name}: sync {ours:.0f} µs, async {plain_cost:.0f} µs, over {over:.0f} µs")


if __name__ == "__main__":
    main()
