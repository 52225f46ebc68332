"""Compares the CPU time of the Hugging Face engine and of plain transformers: streaming, and the prefix cache.

    python benchmarks/engine.py

The compared ways take turns, since machines are noisy; the results are medians. "29M" is a random model of 29 million
parameters with the tokenizer and chat template of the tiny model, built in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import anyio
import torch
import transformers
from _random_model import build_random
from _rounds import interleaved

from aimu.engines import HuggingFaceEngine
from aimu.providers import Request
from aimu.testing import tiny_model

WORDS = ("you", "are", "a", "helpful", "assistant", "answer", "the", "user", "question", "briefly", "when", "needed")


def streaming(engine: HuggingFaceEngine, rounds: int, tokens: int, backend: str) -> dict[str, float]:
    """Return the CPU seconds per token of plain `generate` and of the engine's stream, for the same texts."""
    model = engine.worker.run_sync(engine._loaded)
    model.ends = frozenset()  # so that both sides write exactly `tokens`
    messages = [{"role": "user", "content": "Tell me a story."}]
    ids = torch.tensor([model.encode(model.render(messages, [], {}))])

    def plain() -> float:
        begun = time.process_time()
        model.model.generate(ids, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0)
        return (time.process_time() - begun) / tokens

    async def read() -> None:
        options = {"temperature": 0, "max_tokens": tokens}
        async for _ in engine.stream(Request(messages=messages, options=options)):
            pass

    def streamed() -> float:
        engine.prefix_cache.clear()
        begun = time.process_time()
        anyio.run(read, backend=backend)
        return (time.process_time() - begun) / tokens

    return interleaved({"plain": plain, "streamed": streamed}, rounds)


def prefix(engine: HuggingFaceEngine, rounds: int, backend: str) -> dict[str, float]:
    """Return the CPU seconds of turns 2 to 5 of a conversation that begins with about 1,000 tokens."""
    chance = random.Random(0)
    first = " ".join(chance.choice(WORDS) for _ in range(900))
    later = [" ".join(chance.choice(WORDS) for _ in range(20)) for _ in range(4)]

    def turns(reuse: bool) -> float:
        async def talk() -> float:
            engine.prefix_cache.clear()
            messages = [{"role": "user", "content": first}]
            options = {"temperature": 0, "max_tokens": 8}
            reply = await engine.complete(Request(messages=messages, options=options))
            begun = time.process_time()
            for text in later:
                messages += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": text}]
                if not reuse:
                    engine.prefix_cache.clear()
                reply = await engine.complete(Request(messages=messages, options=options))
            return time.process_time() - begun

        return anyio.run(talk, backend=backend)

    return interleaved({"without": lambda: turns(False), "with": lambda: turns(True)}, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        build_random(Path(folder))
        print(f"{'':24}{'plain':>12}{'aimu':>12}{'ratio':>8}")
        for name, source in (("tiny", tiny_model()), ("29M", Path(folder))):
            engine = HuggingFaceEngine(source, threads=1)
            size = sum(p.numel() for p in engine.worker.run_sync(engine._loaded).model.parameters())
            cost = streaming(engine, chosen.rounds, chosen.tokens, chosen.backend)
            label = f"{name} ({size / 1e6:.1f}M) us/token"
            ratio = cost["plain"] / cost["streamed"]
            print(f"{label:24}{cost['plain'] * 1e6:12.0f}{cost['streamed'] * 1e6:12.0f}{ratio:8.2f}")
            if name == "29M":
                cost = prefix(engine, max(2, chosen.rounds // 2), chosen.backend)
                ratio = cost["without"] / cost["with"]
                print(f"{'prefix cache, s CPU':24}{cost['without']:12.2f}{cost['with']:12.2f}{ratio:8.2f}")
            engine.close()


if __name__ == "__main__":
    main()
