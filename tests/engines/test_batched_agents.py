"""Agents on an engine with `batch=4`: correct answers, and cancellation that does not disturb a neighbour."""

import random
import threading
from contextlib import contextmanager
from functools import partial

import anyio
import pytest

import aimu
from aimu import aio
from aimu.testing import cancel_everywhere
from aimu.tools import tool
from tests.engines.asking import STORY
from tests.engines.evaluations import Passes
from tests.engines.test_embedded_agents import RUNS, EmbeddedScenario
from tests.holding import join, start


class BusyScenario(EmbeddedScenario):
    """The agent of the cancellation tests, on an engine where another request always generates a story."""

    def check_idle(self, worker):
        assert worker.running + worker.waiting <= 1


@contextmanager
def neighbour(client):
    """Generate stories on the same engine, in another thread and event loop; record which were correct."""
    results, ended = [], threading.Event()
    story = client.fork(keep_history=False).chat(STORY[0]["content"])

    async def tell():
        while not ended.is_set():
            results.append(await aio.client(client).fork(keep_history=False).chat(STORY[0]["content"]) == story)

    threads = start(partial(anyio.run, tell))
    try:
        yield results
    finally:
        ended.set()
        join(threads)


@pytest.fixture(scope="module")
def batched_client(model_string):
    with aimu.client(model_string, batch=4, threads=1) as client:
        yield client


@pytest.mark.parametrize(
    ("mode", "backend", "how"),
    [
        ("plain", "asyncio", "native"),
        ("bare", "asyncio", "scope"),
        pytest.param("entered", "trio", "scope", marks=pytest.mark.exhaustive),
    ],
)
def test_an_agent_cancelled_at_any_step_does_not_disturb_a_busy_neighbour(batched_client, mode, backend, how):
    concurrent, sync_tools, _ = RUNS[mode]
    make = partial(BusyScenario, batched_client, mode, concurrent=concurrent, sync_tools=sync_tools)
    make.__qualname__ = f"batched agent, {mode}"
    with neighbour(batched_client) as results:
        cancel_everywhere(make, backend=backend, how=how)
    assert len(results) > 1
    assert all(results)
    worker = batched_client.__aio__.provider.provider.worker
    assert (worker.running, worker.waiting) == (0, 0)


async def test_concurrent_agents_call_their_tools_and_answer_correctly(batched_client):
    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def one(a, b):
        agent = aio.Agent(aio.client(batched_client).fork(), "You are a careful agent.", tools=[add])
        assert await agent.run(f"What is {a} plus {b}?") == f"The answer is {a + b}."

    seen = Passes(batched_client.__aio__.provider.provider)
    seen.gather = 10
    with seen.recorded():
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one, random.randrange(1000), random.randrange(1000))
    assert max(seen.rows) == 4
