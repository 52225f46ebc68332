"""Shared forward passes: the cost of a token of concurrent requests, batched and one after the other.

The model is a random one of 29 million parameters. "equal" requests have prompts and answers of equal length; "ragged"
ones have prompts of 20 to 240 words and answers of 16 to 112 tokens. The time of the prompts counts.
"""

from __future__ import annotations

import random
from functools import partial

import anyio

from aimu.engines import HuggingFaceEngine
from aimu.providers import Request
from benchmarks._models import random_model, words
from benchmarks.harness import Bench, Clock

SECONDS = (400, 60)


def requests(count: int, ragged: bool) -> list[Request]:
    chance = random.Random(count)
    made = []
    for number in range(count):
        length, tokens = (chance.randint(10, 240), chance.randint(16, 112)) if ragged else (40, 64)
        options = {"temperature": 0, "max_tokens": tokens}
        message = {"role": "user", "content": f"{number} {words(length, number)}"}
        made.append(Request(messages=[message], options=options))
    return made


async def answered(clock: Clock, count: int, engine: HuggingFaceEngine, ragged: bool) -> None:
    asked = requests(count, ragged)
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
        for lengths in ("equal", "ragged"):
            ways = {"serial": partial(answered, engine=serial, ragged=lengths == "ragged"),
                    "aimu": partial(answered, engine=batched, ragged=lengths == "ragged")}  # fmt: skip
            along = "requests at once"
            bench.grow(f"{lengths} lengths", counts, ways, along=along, against="serial", operation="token")
        serial.close()
        batched.close()
