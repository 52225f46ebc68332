"""Batches of the llama.cpp engine against llama.cpp's own server with as many parallel slots, on the same file.

The model and the requests are those of `batching_llamacpp`, on one thread each. The server runs with its defaults and
gets the tokens that the engine computes, so neither chat template nor tokenizer counts. Each round begins its prompts
differently, so that nothing of an earlier round is reused. CPU is that of the engine's process and of the server's;
that of the server's client does not count.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import httpx2
import psutil
from attrs import define

from aimu.engines import LlamaCppEngine
from aimu.providers import Request
from benchmarks._random_gguf import random_gguf
from benchmarks.batching import answered, equal
from benchmarks.batching_llamacpp import agents
from benchmarks.harness import Bench, Clock
from tests.ports import accepting, free_port

SECONDS = (120, 40)
CONTEXT = 1024
ROUNDS = itertools.count()
Requests = Callable[[int], list[Request]]


def fresh(count: int, requests: Requests) -> list[Request]:
    """Return requests whose prompts begin as none before."""
    asked, number = requests(count), next(ROUNDS)
    for request in asked:
        request.messages[0]["content"] = f"{number:06} {request.messages[0]['content']}"
    return asked


@define
class Server:
    """llama.cpp's server in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str

    def cpu(self) -> float:
        """Return the seconds of CPU that it has spent."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


@contextmanager
def running(program: str, path: Path, slots: int) -> Iterator[Server]:
    """Run the server with so many slots until the block ends."""
    port = free_port()
    command = [program, "--model", str(path), "--port", str(port), "--no-webui"]
    command += ["--threads", "1", "--parallel", str(slots), "--ctx-size", str(slots * CONTEXT)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            accepting(process, port)
            found = Server(process, f"http://127.0.0.1:{port}")
            while httpx2.get(f"{found.url}/health").status_code == 503:  # it loads the model
                time.sleep(0.05)
            yield found
        finally:
            process.terminate()


async def served(clock: Clock, count: int, server: Server, engine: LlamaCppEngine, requests: Requests) -> None:
    asked = fresh(count, requests)
    model = engine.worker.run_stoppable(engine._loaded)
    prompts = [model.encode(engine._render(model, request)) for request in asked]
    written = 0

    async def ask(request: Request, prompt: list[int], http: httpx2.AsyncClient) -> None:
        nonlocal written
        body = {"prompt": prompt, "n_predict": request.options["max_tokens"], "temperature": 0, "ignore_eos": True}
        reply = await http.post(f"{server.url}/completion", json=body)
        written += reply.raise_for_status().json()["tokens_predicted"]

    expected = sum(request.options["max_tokens"] for request in asked)
    async with httpx2.AsyncClient(timeout=600) as http:
        cpu, began = server.cpu(), time.perf_counter()
        async with anyio.create_task_group() as group:
            for request, prompt in zip(asked, prompts, strict=True):
                group.start_soon(ask, request, prompt, http)
        clock.record((server.cpu() - cpu) / expected, (time.perf_counter() - began) / expected)
    assert written == expected


def measure(bench: Bench) -> None:
    assert bench.llama_server is not None, "llama_server needs --llama-server"
    counts = bench.pick(full=[1, 4, 8], quick=[1, 4])
    with random_gguf() as path, running(bench.llama_server, path, max(counts)) as server:
        engine = LlamaCppEngine(path, n_ctx=CONTEXT, threads=1, batch=max(counts))
        engine.worker.run_stoppable(engine._loaded).ends = frozenset()  # so that each writes exactly `max_tokens`
        grow = partial(bench.grow, along="requests at once", against="llama.cpp's server", operation="token",
                       shows=("cpu", "wall"), rounds=5)  # fmt: skip
        for name, requests in {"equal lengths": equal, "agents": agents}.items():
            ways = {"llama.cpp's server": partial(served, server=server, engine=engine, requests=requests),
                    "aimu": partial(answered, engine=engine, requests=partial(fresh, requests=requests))}  # fmt: skip
            grow(f"with slots, {name}", counts, ways)
        engine.close()
