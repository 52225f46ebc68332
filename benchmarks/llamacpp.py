"""Measures the CPU time of the llama.cpp engine: against plain llama-cpp-python, and of two agents that take turns.

    python benchmarks/llamacpp.py

The compared ways take turns, since machines are noisy; the results are medians. The tiny model computes so little that
the cost of everything around it shows; with larger models the prefix cache gains more.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Sequence
from contextlib import aclosing

os.environ.setdefault("OMP_NUM_THREADS", "1")

import anyio
import llama_cpp
from _rounds import interleaved

from aimu.engines import LlamaCppEngine
from aimu.providers import Request
from aimu.testing import tiny_gguf

WORDS = ("you", "are", "a", "helpful", "assistant", "answer", "the", "user", "question", "briefly", "when", "needed")
STORY = {"role": "user", "content": "Tell me a story."}


def streaming(engine: LlamaCppEngine, rounds: int, backend: str) -> dict[str, float]:
    """Return the CPU seconds per token of a story, of llama-cpp-python's own generator and of the engine's stream."""
    model = engine.worker.run_sync(engine._loaded)
    prompt = model.render([STORY], [], {})
    llama = llama_cpp.Llama(str(tiny_gguf()), n_ctx=4096, n_threads=1, verbose=False)
    ids = llama.tokenize(prompt.encode(), add_bos=False, special=True)

    def plain() -> float:
        llama.reset()
        begun, count = time.process_time(), 0
        for token in llama.generate(ids, temp=0.0):
            count += 1
            if token == llama.token_eos():
                break
        return (time.process_time() - begun) / count

    def streamed() -> float:
        engine.prefix_cache.clear()

        async def read() -> int:
            async with aclosing(engine.stream(Request(messages=[STORY], options={"temperature": 0}))) as pieces:
                *_, reply = [piece async for piece in pieces]
            return reply.usage.output

        begun = time.process_time()
        count = anyio.run(read, backend=backend)
        return (time.process_time() - begun) / count

    return interleaved({"plain": plain, "streamed": streamed}, rounds)


def history(engine: LlamaCppEngine, length: int, seed: int) -> list[dict[str, str]]:
    """Make a history of one user message of about `length` tokens."""
    chance = random.Random(seed)
    text = " ".join(chance.choice(WORDS) for _ in range(length))
    model = engine.worker.run_sync(engine._loaded)
    while len(model.encode(text)) > length:
        text = text.rsplit(" ", 1)[0]
    return [{"role": "user", "content": text}]


async def turns(engine: LlamaCppEngine, histories: Sequence[list[dict[str, str]]], count: int, reuse: bool) -> float:
    """Return the CPU seconds of one request, without the first request of each agent."""
    talks = [list(messages) for messages in histories]
    options = {"temperature": 0, "max_tokens": 8}
    engine.prefix_cache.clear()
    begun = 0.0
    for number in range(count + 1):
        if number == 1:
            begun = time.process_time()
        for messages in talks:
            if not reuse:
                engine.prefix_cache.clear()
            reply = await engine.complete(Request(messages=messages, options=options))
            messages += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": "Say hello."}]
    return (time.process_time() - begun) / (count * len(talks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--history", type=int, default=500, help="tokens")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    chosen = parser.parse_args()
    engine = LlamaCppEngine(tiny_gguf(), threads=1)
    cost = streaming(engine, chosen.rounds, chosen.backend)
    print(f"stream, us CPU a token: llama-cpp-python {cost['plain'] * 1e6:.0f}, aimu {cost['streamed'] * 1e6:.0f}")
    histories = [history(engine, chosen.history, seed) for seed in (1, 2)]
    ways = {
        name: lambda reuse=reuse: anyio.run(turns, engine, histories, 4, reuse, backend=chosen.backend)
        for name, reuse in (("without", False), ("with", True))
    }
    cost = interleaved(ways, chosen.rounds)
    print(
        f"two agents taking turns, {chosen.history} tokens of history, ms CPU a request: without prefix cache "
        f"{cost['without'] * 1e3:.1f}, with {cost['with'] * 1e3:.1f}, ratio {cost['without'] / cost['with']:.1f}"
    )
    engine.close()


if __name__ == "__main__":
    main()
