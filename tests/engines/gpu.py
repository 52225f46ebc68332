"""Checks the engines on a GPU, and prints a table: `python -m tests.engines.gpu [DEVICE]`, by default cuda.

Each check compares texts with those of the CPU or of `generate()` in float32, and counts how often the CPU waits for
the GPU. Ends with 1 if a check fails, or if there is no such device.
"""

import importlib.util
import sys
import tempfile
import time
import warnings
from pathlib import Path

import anyio
import torch

from aimu.engines._huggingface import HuggingFaceEngine
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.testing import tiny_gguf, tiny_model
from tests.engines.asking import ask, show
from tests.engines.vision_models import CAT, DOG, FAMILIES, write_model

WORDS = ["Say hello.", "Tell me a story.", "Is 7 a prime number?", "What is 3 plus 4?"]
LENGTH = 48


def engine(model, device, **options):
    return HuggingFaceEngine(model, device=device, dtype="float32", threads=1, **options)


async def answers(engine, requests, *, together=False):
    """Return the texts of the replies, and the number of tokens of all."""
    found = [None] * len(requests)

    async def answer(index):
        found[index] = await engine.complete(requests[index])

    async with anyio.create_task_group() as group:
        for index in range(len(requests)):
            if together:
                group.start_soon(answer, index)
            else:
                await answer(index)
    return [reply.text for reply in found], sum(reply.usage.output for reply in found)


def timed(engine, requests, **options):
    """Return the texts, the tokens per second, and the waits for the GPU per token; the first run is not counted."""
    anyio.run(lambda: answers(engine, requests, **options))
    engine.prefix_cache.clear()
    waits = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _note_waits("warn")
        began = time.perf_counter()
        try:
            texts, tokens = anyio.run(lambda: answers(engine, requests, **options))
        finally:
            spent = time.perf_counter() - began
            _note_waits("default")
        waits = [warning for warning in caught if "synchroniz" in str(warning.message)]
    return texts, tokens / spent, len(waits) / tokens


def _note_waits(mode):
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode(mode)


def requests(**options):
    return [ask(words, max_tokens=LENGTH, **options) for words in WORDS]


def text_checks(device):
    """Yield the rows of the engine of transformers on text."""
    with_seed = requests(temperature=0.8, seed=7)
    alone, cpu = engine(tiny_model(), device), engine(tiny_model(), "cpu")
    batch = engine(tiny_model(), device, batch=4)
    half = HuggingFaceEngine(tiny_model(), device=device, dtype="bfloat16", threads=1)
    expected, _, _ = timed(cpu, requests(temperature=0))
    greedy = timed(alone, requests(temperature=0))
    yield "hf, likeliest tokens", greedy[0] == expected, *greedy[1:]
    sampled, again = timed(alone, with_seed), timed(alone, with_seed)
    yield "hf, sampled with a seed", sampled[0] == again[0], *sampled[1:]
    together = timed(batch, requests(temperature=0), together=True)
    yield "hf, batch of 4", together[0] == expected, *together[1:]
    mixed = timed(batch, with_seed, together=True)
    yield "hf, batch of 4, sampled", mixed[0] == sampled[0], *mixed[1:]
    short = timed(half, requests(temperature=0))
    yield "hf, bfloat16", all(short[0]), *short[1:]
    for opened in (alone, cpu, batch, half):
        opened.close()


def vision_checks(device):
    """Yield a row for each family of models with vision, against the CPU."""
    asked = [ask(show("What is this?", CAT, "Say."), max_tokens=8, temperature=0)]
    asked += [ask(show("Compare", CAT, "with", DOG, "now."), max_tokens=8, temperature=0)]
    for kind in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            write_model(kind, Path(folder))
            here, cpu = engine(folder, device), engine(folder, "cpu")
            expected, _, _ = timed(cpu, asked)
            found = timed(here, asked)
            yield f"images, {kind}", found[0] == expected, *found[1:]
            for opened in (here, cpu):
                opened.close()


def gguf_checks():
    """Yield the row of llama.cpp, if there is a build of it that uses GPUs."""
    if importlib.util.find_spec("llama_cpp") is None:
        return
    import llama_cpp

    if not llama_cpp.llama_supports_gpu_offload():
        return
    cpu, gpu = (LlamaCppEngine(tiny_gguf(), threads=1, n_gpu_layers=layers) for layers in (0, -1))
    expected, _, _ = timed(cpu, requests(temperature=0))
    found = timed(gpu, requests(temperature=0))
    yield "llamacpp, likeliest tokens", found[0] == expected, *found[1:]
    cpu.close()
    gpu.close()


def main(device="cuda"):
    if device == "cuda" and not torch.cuda.is_available():
        print(f"there is no GPU for torch {torch.__version__}: a build with CUDA and a driver are needed")
        return 1
    if device == "cuda":
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    rows = []
    print("| check | result | tokens per second | waits for the GPU per token |\n|---|---|---|---|", flush=True)
    for row in (row for checks in (text_checks(device), vision_checks(device), gguf_checks()) for row in checks):
        name, equal, speed, waits = row
        rows.append(row)
        print(f"| {name} | {'equal' if equal else 'DIFFERS'} | {speed:,.0f} | {waits:.2f} |", flush=True)
    if device == "cuda" and any(waits > 1.5 for name, _, _, waits in rows if name.startswith("hf")):
        print("the CPU waits for the GPU more often than once for each token")
        return 1
    return 0 if all(equal for _, equal, _, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
