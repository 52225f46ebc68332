"""Engines under cancellation and load: one forward pass at a time, and a stop at the next token."""

import random
from contextlib import aclosing
from functools import partial

import anyio
import pytest

from tests.engines.asking import STORY, TOOLS, ask, streamed
from tests.holding import Hold, join, start, until


def held(forwards, number):
    """Hold the forward pass with that number."""
    hold = Hold()
    forwards.before = lambda *args, **kwargs: hold() if forwards.calls == number else None
    return hold


async def let_go(hold):
    """Release the thread once all tasks wait for it."""
    await anyio.wait_all_tasks_blocked()
    hold.released.set()


async def test_a_cancelled_prefill_stops_between_two_slices(engine, forwards, slice_prefill):
    slice_prefill(1)
    expected = await engine.complete(ask("What is 1 plus 2?", tools=TOOLS))
    engine.prefix_cache.clear()
    forwards.calls = 0
    async with anyio.create_task_group() as group:
        with held(forwards, 3) as hold:  # two slices have been computed; the running one may be aborted
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as inner:
                    inner.start_soon(engine.complete, ask("What is 1 plus 2?", tools=TOOLS))
                    await until(hold.reached.is_set)
                    group.start_soon(let_go, hold)
                    scope.cancel()
    assert forwards.calls == 3 < expected.usage.input
    assert engine.prefix_cache.entries == 1  # the computed states are kept
    again = await engine.complete(ask("What is 1 plus 2?", tools=TOOLS))
    assert again.usage.cache_read > 0
    assert [call.arguments for call in again.calls] == [call.arguments for call in expected.calls]


@pytest.mark.parametrize(
    ("anyio_backend", "way"),
    [("asyncio", "scope"), ("asyncio", "close"), ("asyncio", "native"), ("trio", "scope"), ("trio", "close")],
)
async def test_stopping_takes_at_most_one_more_step(engine, forwards, way):
    """The forward pass during which the stop arrives is held, so that the count is exact."""
    async with anyio.create_task_group() as group:
        with held(forwards, 11) as hold:
            if way == "scope":
                with anyio.CancelScope() as scope:
                    pieces = engine.stream(ask(*STORY))
                    await anext(pieces)
                    await until(hold.reached.is_set)
                    group.start_soon(let_go, hold)
                    scope.cancel()
                    async for _ in pieces:
                        pass
                assert scope.cancelled_caught
            elif way == "close":
                pieces = engine.stream(ask(*STORY))
                await anext(pieces)
                await until(hold.reached.is_set)
                group.start_soon(let_go, hold)
                await pieces.aclose()
            else:
                import asyncio

                task = asyncio.create_task(engine.complete(ask(*STORY)))
                await until(hold.reached.is_set)
                task.cancel()
                group.start_soon(let_go, hold)
                with pytest.raises(asyncio.CancelledError):
                    await task
    assert forwards.calls == 11
    assert engine.worker.running == 0
    reply = await engine.complete(ask("Say hello."))
    assert reply.text == "Hello! How can I help you today?"


async def twelve(engine, hold, queued, loops):
    """Run twelve conversations at once: cancel four in the queue and four while they generate; four ask for sums.

    The first forward pass is held until all of `loops` event loops have made their requests and cancelled those in the
    queue; `queued` counts them. Return the expected and the actual calls, by the numbers in the question.
    """
    numbers = [(random.randrange(1000), random.randrange(1000)) for _ in range(4)]
    called, stories = {}, {}
    scopes = [anyio.CancelScope() for _ in range(8)]

    async def sum_of(a, b):
        _, reply = await streamed(engine, ask(f"What is {a} plus {b}?", tools=TOOLS))
        called[a, b] = [(call.name, call.arguments) for call in reply.calls]

    async def story(n):
        stories[n] = 0
        with scopes[n]:
            async with aclosing(engine.stream(ask(*STORY))) as pieces:
                async for _ in pieces:
                    stories[n] += 1
                    if stories[n] == 3:
                        scopes[n].cancel()
        assert scopes[n].cancelled_caught

    async with anyio.create_task_group() as group:
        with hold:
            for first in (0, 4):  # requests cancelled in the queue have others before them
                for n in range(first, first + 4):
                    group.start_soon(story, n)
                await anyio.wait_all_tasks_blocked()
            for pair in numbers:
                group.start_soon(sum_of, *pair)
            await anyio.wait_all_tasks_blocked()
            for n in range(4, 8):
                scopes[n].cancel()
            await anyio.wait_all_tasks_blocked()
            queued.append(1)
            await until(lambda: len(queued) == loops)
    assert all(stories[n] >= 3 for n in range(4))
    assert all(stories[n] == 0 for n in range(4, 8))
    return {pair: [("add", '{{"a": {}, "b": {}}}'.format(*pair))] for pair in numbers}, called


one_at_a_time = pytest.mark.parametrize("engine", ["hf", "llamacpp"], indirect=True)


@one_at_a_time
async def test_an_engine_survives_twelve_conversations_with_most_cancelled(engine, forwards):
    before = engine.worker.requests
    asked, answered = await twelve(engine, held(forwards, 1), [], 1)
    assert answered == asked
    assert engine.worker.requests == before + 12
    assert forwards.most == 1
    assert (engine.worker.running, engine.worker.waiting) == (0, 0)


@one_at_a_time
def test_two_loops_in_two_threads_can_use_one_engine_at_once(engine, forwards):
    found, hold, queued = [], held(forwards, 1), []

    def run(backend):
        found.append(anyio.run(twelve, engine, hold, queued, 2, backend=backend))

    join(start(partial(run, "asyncio"), partial(run, "trio")))
    assert len(found) == 2
    assert all(asked == answered for asked, answered in found)
    assert forwards.most == 1
