"""Engines under cancellation and with many at once: one forward at a time, stops at the next token."""

import random
import threading
from contextlib import aclosing

import anyio
import pytest

from tests.engines.asking import STORY, TOOLS, ask, streamed


async def test_a_cancelled_prefill_stops_between_two_slices(engine, forwards, slice_prefill):
    slice_prefill(1)
    expected = await engine.complete(ask("What is 1 plus 2?", tools=TOOLS))
    engine.prefix_cache.clear()
    forwards.calls = 0
    async with anyio.create_task_group() as group:
        group.start_soon(engine.complete, ask("What is 1 plus 2?", tools=TOOLS))
        while forwards.calls < 3:  # two slices have ended then; the running one may be broken off
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert forwards.calls < expected.usage.input
    assert engine.prefix_cache.entries == 1  # what was computed is kept
    again = await engine.complete(ask("What is 1 plus 2?", tools=TOOLS))
    assert again.usage.cache_read > 0
    assert [call.arguments for call in again.calls] == [call.arguments for call in expected.calls]


@pytest.mark.parametrize(
    ("anyio_backend", "way"),
    [("asyncio", "scope"), ("asyncio", "close"), ("asyncio", "native"), ("trio", "scope"), ("trio", "close")],
)
async def test_stopping_takes_at_most_one_more_step(engine, forwards, way):
    """The forward in which the stop arrives is held, so that the count is exact."""
    held, seen = threading.Event(), threading.Event()

    def slow(*args, **kwargs):
        if forwards.calls == 11:
            seen.set()
            held.wait()

    forwards.before = slow

    async def let_go():
        await anyio.wait_all_tasks_blocked()
        held.set()

    async with anyio.create_task_group() as group:
        if way == "scope":
            with anyio.CancelScope() as scope:
                pieces = engine.stream(ask(*STORY))
                await anext(pieces)
                await anyio.to_thread.run_sync(seen.wait)
                group.start_soon(let_go)
                scope.cancel()
                async for _ in pieces:
                    pass
            assert scope.cancelled_caught
        elif way == "close":
            pieces = engine.stream(ask(*STORY))
            await anext(pieces)
            await anyio.to_thread.run_sync(seen.wait)
            group.start_soon(let_go)
            await pieces.aclose()
        else:
            import asyncio

            task = asyncio.create_task(engine.complete(ask(*STORY)))
            await anyio.to_thread.run_sync(seen.wait)
            task.cancel()
            group.start_soon(let_go)
            with pytest.raises(asyncio.CancelledError):
                await task
    assert forwards.calls == 11
    assert engine.worker.running == 0
    reply = await engine.complete(ask("Say hello."))
    assert reply.text == "Hello! How can I help you today?"


async def twelve(engine):
    """Twelve conversations at once: four cancelled in the queue, four while generating, four that ask for sums.

    Returns the calls that were expected and those that came, by the numbers asked.
    """
    numbers = [(random.randrange(1000), random.randrange(1000)) for _ in range(4)]
    called, stories = {}, {}
    begun, released = anyio.Event(), anyio.Event()
    scopes = [anyio.CancelScope() for _ in range(8)]

    async def sum_of(a, b):
        _, reply = await streamed(engine, ask(f"What is {a} plus {b}?", tools=TOOLS))
        called[a, b] = [(call.name, call.arguments) for call in reply.calls]

    async def story(n):
        stories[n] = 0
        with scopes[n]:
            async with aclosing(engine.stream(ask(*STORY))) as pieces:
                async for _ in pieces:
                    begun.set()
                    stories[n] += 1
                    if stories[n] == 3:
                        await released.wait()
                        scopes[n].cancel()
        assert scopes[n].cancelled_caught

    async with anyio.create_task_group() as group:
        group.start_soon(story, 0)
        await begun.wait()
        for n in range(1, 8):
            group.start_soon(story, n)
        for pair in numbers:
            group.start_soon(sum_of, *pair)
        for _ in range(5):  # until each has asked; the first story is far from its end
            await anyio.lowlevel.checkpoint()
        for n in range(4, 8):
            scopes[n].cancel()
        released.set()
    assert all(stories[n] >= 3 for n in range(4))
    assert all(stories[n] == 0 for n in range(4, 8))
    return {pair: [("add", '{{"a": {}, "b": {}}}'.format(*pair))] for pair in numbers}, called


one_at_a_time = pytest.mark.parametrize("engine", ["hf", "llamacpp"], indirect=True)


@one_at_a_time
async def test_twelve_conversations_at_once_most_of_them_cancelled(engine, forwards):
    before = engine.worker.requests
    asked, answered = await twelve(engine)
    assert answered == asked
    assert engine.worker.requests == before + 12
    assert forwards.most == 1
    assert (engine.worker.running, engine.worker.waiting) == (0, 0)


@one_at_a_time
def test_two_loops_in_two_threads_at_once(engine, forwards):
    found = []

    def run(backend):
        found.append(anyio.run(twelve, engine, backend=backend))

    threads = [threading.Thread(target=run, args=(backend,)) for backend in ("asyncio", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert all(asked == answered for asked, answered in found)
    assert forwards.most == 1
