"""Shared forward passes: the cost of a token of concurrent requests, one after the other, batched, and by transformers.

The model is a random one of 29 million parameters. "equal" requests have prompts and answers of equal length; "ragged"
ones have prompts of 10 to 240 words and answers of 16 to 112 tokens. The time of the prompts counts. The continuous
batching of transformers has the same limit of tokens for all requests, so it answers those of equal length only.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import anyio
import transformers
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from aimu.engines import HuggingFaceEngine, LlamaCppEngine
from aimu.providers import Request
from benchmarks._random_model import random_model, words
from benchmarks.harness import Bench, Clock
from benchmarks.harness.bench import Way

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


def continuous(clock: Clock, count: int, engine: HuggingFaceEngine) -> None:
    model = engine.worker.run_stoppable(engine._loaded)
    prompts = [model.encode(engine._render(model, request)) for request in equal(count)]
    settings = transformers.GenerationConfig(max_new_tokens=64, do_sample=False, eos_token_id=-1, pad_token_id=0)
    small = ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=512)  # else it takes most of the memory, for long
    with clock.over(64 * count):
        replies = model.model.generate_batch(prompts, settings, small, warmup=False)
    assert [len(reply.generated_tokens) for reply in replies.values()] == [64] * count


def measure(bench: Bench) -> None:
    counts = bench.pick(full=[1, 4, 8, 16], quick=[1, 4])
    with random_model() as folder:
        serial, batched, other = (HuggingFaceEngine(folder, threads=1, batch=n) for n in (1, max(counts), 1))
        for engine in (serial, batched):
            engine.worker.run_stoppable(engine._loaded).ends = frozenset()  # so that each writes exactly `max_tokens`
        for name, requests in {"equal lengths": equal, "ragged lengths": ragged}.items():
            ways: dict[str, Way] = {
                "serial": partial(answered, engine=serial, requests=requests),
                "aimu": partial(answered, engine=batched, requests=requests),
            }
            if requests is equal:
                ways["transformers, continuous"] = partial(continuous, engine=other)
            bench.grow(name, counts, ways, along="requests at once", against="serial", operation="token")
        for engine in (serial, batched, other):
            engine.close()
