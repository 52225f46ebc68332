"""How long requests wait in an engine: behind a long prompt, behind others, and for the end of a cancelled one.

Times are on the wall, since what matters here is what a user waits for. The long prompt has about 2,000 tokens. The
Hugging Face engine computes with a random model of 29 million parameters, llama.cpp with the tiny one.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from functools import partial

import anyio

from aimu.engines import HuggingFaceEngine, LlamaCppEngine
from aimu.providers import Request
from aimu.testing import tiny_gguf
from benchmarks._random_model import random_model, words
from benchmarks.harness import Bench, Clock
from benchmarks.harness.bench import Way

SECONDS = (240, 60)
Engine = HuggingFaceEngine | LlamaCppEngine


def measure(bench: Bench) -> None:
    counts = bench.pick(full=[1, 2, 4, 8, 16], quick=[1, 4])
    with random_model() as folder:
        serial, batched = (HuggingFaceEngine(folder, threads=1, batch=size) for size in (1, 4))
        llama = LlamaCppEngine(tiny_gguf(), threads=1, n_ctx=4096)
        engines: dict[str, Engine] = {
            "aimu, transformers": serial,
            "aimu, batch of 4": batched,
            "aimu, llama.cpp": llama,
        }
        for engine in engines.values():
            engine.worker.run_stoppable(
                engine._loaded
            ).ends = frozenset()  # so that no answer ends before it is cancelled
        compare = partial(bench.compare, operation="request", shows=("wall",), rounds=5)
        compare("first token, alone", ways(engines, first_token, 0))
        compare("first token, behind a long prompt", ways(engines, first_token, 2000))
        compare("end of a cancelled answer", ways(engines, cancelled, 20))
        compare("end of a cancelled long prompt", ways(engines, cancelled, 2000))
        last = {name: partial(last_of_many, engine=engine) for name, engine in engines.items()}
        along = "requests that come together"
        bench.grow("the last answer", counts, last, along=along, operation="request", shows=("wall",), rounds=5)
        for engine in engines.values():
            engine.close()


def ways(engines: dict[str, Engine], way: Way, number: int) -> dict[str, Way]:
    return {name: partial(way, engine=engine, number=number) for name, engine in engines.items()}


def request(length: int, seed: int = 0, tokens: int = 16) -> Request:
    message = {"role": "user", "content": words(length, seed)}
    return Request(messages=[message], options={"temperature": 0, "max_tokens": tokens})


async def first_token(clock: Clock, engine: Engine, number: int) -> None:
    """Measure a short request that comes just after one with a prompt of `number` tokens."""
    engine.prefix_cache.clear()
    await engine.complete(request(1))
    async with anyio.create_task_group() as group:
        if number:
            group.start_soon(engine.complete, request(number))
            await anyio.wait_all_tasks_blocked()
        begun = time.perf_counter()
        async with aclosing(engine.stream(request(20, seed=1))) as pieces:
            await anext(pieces)
            clock.record(0.0, time.perf_counter() - begun)
        group.cancel_scope.cancel()


async def cancelled(clock: Clock, engine: Engine, number: int) -> None:
    """Measure from the cancellation of a request, 50 ms after its begin, until it has left the engine."""
    answered = False

    async def ask() -> None:
        nonlocal answered
        await engine.complete(request(number, tokens=2000))
        answered = True

    engine.prefix_cache.clear()
    await engine.complete(request(1))
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.05)
        begun = time.perf_counter()
        group.cancel_scope.cancel()
    clock.record(0.0, time.perf_counter() - begun)
    assert not answered, "the request ended before it was cancelled"


async def last_of_many(clock: Clock, count: int, engine: Engine) -> None:
    """Measure the whole answer to the last of `count` requests that come together."""
    engine.prefix_cache.clear()
    await engine.complete(request(1))
    begun = time.perf_counter()
    async with anyio.create_task_group() as group:
        for seed in range(count - 1):
            group.start_soon(engine.complete, request(20, seed))
            await anyio.wait_all_tasks_blocked()
        await engine.complete(request(20, seed=count))
        clock.record(0.0, time.perf_counter() - begun)
