"""Shared forward passes: the cost of a token of concurrent requests, batched and one after the other.

The model is a random one of 29 million parameters. "equal" requests have prompts and answers of equal length; "ragged"
ones have prompts of 20 to 240 words and answers of 16 to 112 tokens. The time of the prompts counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import anyio

from aimu.engines import HuggingFaceEngine, LlamaCppEngine
from aimu.providers import Request
from benchmarks._models import random_model, words
from benchmarks.harness import Bench, Clock

SECONDS = (400, 60)


def request(number: int, length: int, tokens: int) -> Request:
    message = {"role": "user", "content": f"{number} {words(length, number)}"}
    return Request(messages=[message], options={"temperature": 0, "max_tokens": tokens})


def equal(count: int) -> list[Request]:
    return [request(number, 40, 64) for number in range(count)]


def ragged(count: int) -> list[Request]:
    chance = random.Random(count)
    return [request(number, chance.randint(10, 240), chance.randint(16, 112)) for number in range(count)]


async def answered(
    clock: Clock,
    count: int,
    engine: HuggingFaceEngine | LlamaCppEngine,
    requests: Callable[[int], list[Request]],
) -> None:
    asked = requests(count)
    expected = sum(request.options["max_tokens"] for request in asked)
    tokens = []

    async def read(request: Request) -> None:
        tokens.append((await engine.complete(request)).usage.output)

    engine.prefix_cache.clear()
    with clock.over(expected):
        async with anyio.create_task_group() as group:
            for request in asked:
                group.start_soon(read, request)
    assert sum(tokens) == expected


def measure(bench: Bench) -> None:
    counts = bench.pick(full=[1, 4, 8, 16], quick=[1, 4])
    with random_model() as folder:
        serial, batched = (HuggingFaceEngine(folder, threads=1, batch=size) for size in (1, max(2, *counts)))
        for engine in (serial, batched):
            engine.worker.run_sync(engine._loaded).ends = frozenset()  # so that each writes exactly `max_tokens`
        for name, requests in {"equal lengths": equal, "ragged lengths": ragged}.items():
            ways = {"serial": partial(answered, engine=serial, requests=requests),
                    "aimu": partial(answered, engine=batched, requests=requests)}  # fmt: skip
            bench.grow(name, counts, ways, along="requests at once", against="serial", operation="token")
        serial.close()
        batched.close()
