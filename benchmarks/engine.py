"""The Hugging Face engine compared with plain `generate` of transformers; and what its prefix cache saves.

The tiny model computes so little that everything around it shows; the other is a random model of 29 million parameters.
The conversation begins with about 1,000 tokens, and turns 2 to 5 are measured.
"""

from __future__ import annotations

from functools import partial

import torch
import transformers

from aimu.engines import HuggingFaceEngine
from aimu.providers import Request
from aimu.testing import tiny_model
from benchmarks._random_model import random_model, words
from benchmarks.harness import Bench, Clock

SECONDS = (240, 60)
TOKENS = 100
STORY = [{"role": "user", "content": "Tell me a story."}]


def measure(bench: Bench) -> None:
    with random_model() as folder:
        for name, source in (("tiny model", tiny_model()), ("29M model", folder)):
            engine = HuggingFaceEngine(source, threads=1)
            model = engine.worker.run_stoppable(engine._loaded)
            ids = model.encode(engine._render(model, Request(messages=STORY)))
            model.ends = frozenset()  # so that both sides write exactly `TOKENS`
            ways = {
                "transformers": partial(plain, model=model.model, ids=torch.tensor([ids])),
                "aimu": partial(streamed, engine=engine),
            }
            bench.compare(f"token of the {name}", ways, against="transformers", operation="token", rounds=5)
            if source == folder:
                reuse = {"without": partial(turns, engine=engine, reuse=False),
                         "aimu": partial(turns, engine=engine, reuse=True)}  # fmt: skip
                bench.compare("turn, prefix cache", reuse, against="without", operation="turn", rounds=3)
            engine.close()


def plain(clock: Clock, model: transformers.PreTrainedModel, ids: torch.Tensor) -> None:
    with clock.over(TOKENS):
        whole = model.generate(ids, do_sample=False, min_new_tokens=TOKENS, max_new_tokens=TOKENS, pad_token_id=0)
    assert whole.shape[1] - ids.shape[1] == TOKENS


async def streamed(clock: Clock, engine: HuggingFaceEngine) -> None:
    engine.prefix_cache.clear()
    with clock.over(TOKENS):
        async for piece in engine.stream(Request(messages=STORY, options={"temperature": 0, "max_tokens": TOKENS})):
            last = piece
    assert last.usage.output == TOKENS


async def turns(clock: Clock, engine: HuggingFaceEngine, reuse: bool) -> None:
    engine.prefix_cache.clear()
    messages = [{"role": "user", "content": words(900)}]
    options = {"temperature": 0, "max_tokens": 8}
    reply = await engine.complete(Request(messages=messages, options=options))
    with clock.over(4):
        for seed in range(4):
            later = {"role": "user", "content": words(20, seed)}
            messages += [{"role": "assistant", "content": reply.text}, later]
            if not reuse:
                engine.prefix_cache.clear()
            reply = await engine.complete(Request(messages=messages, options=options))
