"""Measures the gain of shared forward passes: tokens per CPU second of concurrent requests, batched and serial.

    python benchmarks/batching.py

The model is a random one of 29 million parameters. "equal" requests have prompts and answers of equal length; "ragged"
ones have prompts of 20 to 200 tokens and answers of 16 to 112. The time of the prompts counts. The two ways take turns;
the results are medians.
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

WORDS = ("you", "are", "a", "helpful", "assistant", "answer", "the", "user", "question", "briefly", "when", "needed")


def requests(count: int, ragged: bool) -> list[Request]:
    chance = random.Random(count)
    made = []
    for n in range(count):
        words, tokens = (chance.randint(10, 240), chance.randint(16, 112)) if ragged else (40, 64)
        text = f"{n} " + " ".join(chance.choice(WORDS) for _ in range(words))
        options = {"temperature": 0, "max_tokens": tokens}
        made.append(Request(messages=[{"role": "user", "content": text}], options=options))
    return made


def cost(engine: HuggingFaceEngine, asked: list[Request], backend: str) -> float:
    """Return the CPU seconds per token."""
    tokens = 0

    async def read(request: Request) -> None:
        nonlocal tokens
        reply = await engine.complete(request)
        tokens += reply.usage.output

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for request in asked:
                group.start_soon(read, request)

    engine.prefix_cache.clear()
    begun = time.process_time()
    anyio.run(main, backend=backend)
    spent = time.process_time() - begun
    assert tokens == sum(request.options["max_tokens"] for request in asked)
    return spent / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 8, 16])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        build_random(Path(folder))
        serial, batched = (HuggingFaceEngine(folder, threads=1, batch=size) for size in (1, max(2, *chosen.counts)))
        for engine in (serial, batched):
            engine.worker.run_sync(engine._loaded).ends = frozenset()  # so that each writes exactly `max_tokens`
        print(f"{'tokens per CPU-second':28}{'serial':>10}{'batched':>10}{'ratio':>8}")
        for lengths in ("equal", "ragged"):
            for count in chosen.counts:
                asked = requests(count, lengths == "ragged")
                seen = interleaved(
                    {
                        "serial": lambda asked=asked: cost(serial, asked, chosen.backend),
                        "batched": lambda asked=asked: cost(batched, asked, chosen.backend),
                    },
                    chosen.rounds,
                )
                ratio = seen["serial"] / seen["batched"]
                label = f"{lengths}, {count} at once"
                print(f"{label:28}{1 / seen['serial']:10.1f}{1 / seen['batched']:10.1f}{ratio:8.2f}", flush=True)
        serial.close()
        batched.close()


if __name__ == "__main__":
    main()
