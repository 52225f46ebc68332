"""Shared forward passes in the llama.cpp engine, and what `llama_decode` alone gains by sharing them.

The model is a random one of 101 million parameters in Q8_0. "equal" requests are those of `batching`; those of "agents"
have a common system message of 400 tokens and replies of 64. The time of the prompts counts, but not in the last
measurement: passes of llama.cpp without aimu, over sequences of about 100 tokens, are what batching can gain at most.
"""

from __future__ import annotations

from functools import partial

from aimu.engines import LlamaCppEngine
from aimu.providers import Request
from benchmarks._random_gguf import Passes, random_gguf
from benchmarks._random_model import words
from benchmarks.batching import answered, equal
from benchmarks.harness import Bench, Clock

SECONDS = (240, 80)
PASSES = 16


def agents(count: int) -> list[Request]:
    """Questions of agents that share a system message."""
    system = {"role": "system", "content": words(430)}
    options = {"temperature": 0, "max_tokens": 64}
    asked = [{"role": "user", "content": f"{number} {words(12, number)}"} for number in range(count)]
    return [Request(messages=[system, question], options=options) for question in asked]


def passes(clock: Clock, count: int, llama: Passes, together: bool) -> None:
    llama.begin(count)
    everyone = list(range(count))
    with clock.over(PASSES * count):
        for _ in range(PASSES):
            for sequences in [everyone] if together else [[sequence] for sequence in everyone]:
                llama.decode(sequences)


def measure(bench: Bench) -> None:
    counts = bench.pick(full=[1, 4, 8], quick=[1, 4])
    along = "requests at once"
    with random_gguf() as path:
        serial, batched = (LlamaCppEngine(path, n_ctx=1024, threads=1, batch=size) for size in (1, max(2, *counts)))
        for engine in (serial, batched):
            engine.worker.run_stoppable(engine._loaded).ends = frozenset()  # so that each writes exactly `max_tokens`
        for name, requests in {"equal lengths": equal, "agents": agents}.items():
            ways = {"serial": partial(answered, engine=serial, requests=requests),
                    "aimu": partial(answered, engine=batched, requests=requests)}  # fmt: skip
            bench.grow(f"llama.cpp, {name}", counts, ways, along=along, against="serial", operation="token")
        serial.close()
        batched.close()
        llama = Passes(path, max(counts), known=80)
        alone = {"serial": partial(passes, llama=llama, together=False),
                 "together": partial(passes, llama=llama, together=True)}  # fmt: skip
        bench.grow("llama_decode alone", counts, alone, along="sequences", against="serial", operation="token")
        llama.close()
