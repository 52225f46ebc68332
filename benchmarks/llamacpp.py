"""The llama.cpp engine compared with llama-cpp-python's own loop; and what the prefix cache saves two agents in turn.

The model is the tiny one, which computes so little that everything around it shows; with larger models the prefix cache
saves more.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

import llama_cpp

from aimu.engines import LlamaCppEngine
from aimu.providers import Request
from aimu.testing import tiny_gguf
from benchmarks._random_model import words
from benchmarks.harness import Bench, Clock

SECONDS = (60, 20)
STORY = [{"role": "user", "content": "Tell me a story."}]
TURNS = 4


def measure(bench: Bench) -> None:
    engine = LlamaCppEngine(tiny_gguf(), threads=1)
    model = engine.worker.run_stoppable(engine._loaded)
    llama = llama_cpp.Llama(str(tiny_gguf()), n_ctx=4096, n_threads=1, verbose=False)
    ids = llama.tokenize(engine._render(model, Request(messages=STORY)).encode(), add_bos=False, special=True)
    ways = {"llama-cpp-python": partial(plain, llama=llama, ids=ids), "aimu": partial(streamed, engine=engine)}
    bench.compare("token of a stream", ways, against="llama-cpp-python", operation="token")
    for length in bench.pick(full=[100, 500, 2000], quick=[500]):
        histories = [history(model, length, seed) for seed in (1, 2)]
        reuse = {"without": partial(turns, engine=engine, histories=histories, reuse=False),
                 "aimu": partial(turns, engine=engine, histories=histories, reuse=True)}  # fmt: skip
        name = f"two agents in turn, {length:,} tokens of history, prefix cache"
        bench.compare(name, reuse, against="without", operation="request")
    engine.close()


def plain(clock: Clock, llama: llama_cpp.Llama, ids: list[int]) -> None:
    count = answer_length(llama, ids)
    llama.reset()
    with clock.over(count):
        answer_length(llama, ids)


def answer_length(llama: llama_cpp.Llama, ids: list[int]) -> int:
    for count, token in enumerate(llama.generate(ids, temp=0.0), 1):
        if token == llama.token_eos():
            return count
    raise AssertionError("the answer has no end")


async def streamed(clock: Clock, engine: LlamaCppEngine) -> None:
    count = (await engine.complete(Request(messages=STORY, options={"temperature": 0}))).usage.output
    engine.prefix_cache.clear()
    with clock.over(count):
        async with aclosing(engine.stream(Request(messages=STORY, options={"temperature": 0}))) as pieces:
            *_, reply = [piece async for piece in pieces]
    assert reply.usage.output == count


def history(model: object, length: int, seed: int) -> list[dict[str, str]]:
    """Make a history of one user message of about `length` tokens."""
    text = words(length, seed)
    while len(model.encode(text)) > length:
        text = text.rsplit(" ", 1)[0]
    return [{"role": "user", "content": text}]


async def turns(clock: Clock, engine: LlamaCppEngine, histories: list[list[dict[str, str]]], reuse: bool) -> None:
    """Measure the later turns of agents that ask in turn."""
    talks = [list(messages) for messages in histories]
    engine.prefix_cache.clear()
    await ask_all(engine, talks, reuse)
    with clock.over(TURNS * len(talks)):
        for _ in range(TURNS):
            await ask_all(engine, talks, reuse)


async def ask_all(engine: LlamaCppEngine, talks: list[list[dict[str, str]]], reuse: bool) -> None:
    for messages in talks:
        if not reuse:
            engine.prefix_cache.clear()
        reply = await engine.complete(Request(messages=messages, options={"temperature": 0, "max_tokens": 8}))
        messages += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": "Say hello."}]
