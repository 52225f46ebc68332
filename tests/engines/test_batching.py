"""Engines with `batch=4`: requests share forward passes, and nothing else."""

import random
from contextlib import aclosing
from functools import partial
from itertools import pairwise

import anyio
import pytest

import aimu
from aimu._core.messages import assistant_message, tool_message
from aimu.errors import (
    BadRequestError,
    ClosedClientError,
    ContextLengthError,
    EngineError,
    InvalidOptionError,
)
from aimu.testing._recipe.world import CITIES, PLAIN, SUMS, SYSTEM_PROMPTS, THOUGHTFUL, WEATHER_QUESTIONS
from tests.engines.asking import STORY, TOOLS, ask, streamed, user
from tests.engines.conftest import ENGINES
from tests.engines.evaluations import Passes
from tests.holding import Hold, join, start, until, wait_in_thread

STORIES = [ask(*STORY, max_tokens=tokens) for tokens in (40, 50, 60)]


@pytest.fixture
def passes(batch_engine):
    seen = Passes(batch_engine)
    with seen.recorded():
        yield seen
    check_idle(batch_engine)


def check_idle(engine):
    assert (engine.worker.running, engine.worker.waiting) == (0, 0)
    assert not engine._batch._running
    assert not engine._batch._arrived


def said(reply):
    calls = [(call.name, call.arguments) for call in reply.calls]
    return reply.text, reply.thinking, calls, reply.stop_reason, reply.usage.input, reply.usage.output


def greedy_request(chance):
    """Draw a greedy request to the tiny model; some have a history, tools or options."""

    def question():
        kind = chance.randrange(4)
        if kind == 0:
            return chance.choice(SUMS).format(chance.randrange(1000), chance.randrange(1000))
        if kind == 1:
            return chance.choice(WEATHER_QUESTIONS).format(chance.choice(CITIES))
        return chance.choice(PLAIN if kind == 2 else THOUGHTFUL)[0]

    messages = [{"role": "system", "content": chance.choice(SYSTEM_PROMPTS)}] if chance.random() < 0.5 else []
    for _ in range(chance.randrange(3)):
        asked, answer = chance.choice(PLAIN)
        messages += [user(asked), {"role": "assistant", "content": answer}]
    options = [{}, {}, {"max_tokens": 12}, {"stop": ["a"]}, {"thinking": False}, {"repeat_penalty": 1.2}]
    options += [{"presence_penalty": 0.5, "frequency_penalty": 0.2}]
    tools = TOOLS if chance.random() < 0.5 else ()
    return ask(*messages, question(), tools=tools, temperature=0, **chance.choice(options))


async def one_by_one(engine, requests):
    return [said(await engine.complete(request)) for request in requests]


async def at_once(engine, requests):
    replies = [None] * len(requests)

    async def one(n):
        replies[n] = said((await streamed(engine, requests[n]))[1])

    async with anyio.create_task_group() as group:
        for n in range(len(requests)):
            group.start_soon(one, n)
    return replies


async def test_each_of_many_requests_gets_the_same_answer_as_alone(serial_engine, batch_engine, passes):
    chance = random.Random(7)
    requests = [greedy_request(chance) for _ in range(40)]
    passes.gather = 40
    assert await at_once(batch_engine, requests) == await one_by_one(serial_engine, requests)
    assert max(passes.rows) == passes.most_running == 4


async def test_draws_with_a_seed_do_not_depend_on_other_requests(serial_engine, batch_engine, passes):
    hot = {"temperature": 4.0, "top_k": 50, "top_p": 1.0, "extra_body": {"min_p": 0.0}, "max_tokens": 30}
    requests = [ask(*STORY, seed=seed, **hot) for seed in range(6)]
    requests += [ask("Who are you?", temperature=1.0, seed=0, repeat_penalty=1.3)]
    replies = await at_once(batch_engine, requests)
    assert replies == await one_by_one(serial_engine, requests)
    assert len({reply[0] for reply in replies}) > 5


async def test_forward_passes_are_shared(batch_engine, passes):
    passes.gather = 3
    replies = await at_once(batch_engine, STORIES)
    assert sum(reply[-1] for reply in replies) == 40 + 50 + 60
    assert len(passes.rows) <= 60 + 2 * 3
    assert passes.rows.count(3) >= 38


def held(passes, number):
    """Hold the forward pass with that number."""
    hold = Hold()
    passes.before = lambda rows, ids: hold() if len(passes.rows) == number else None
    return hold


async def test_a_new_request_joins_the_running_ones(serial_engine, batch_engine, passes):
    late = [ask("What is 3 plus 4?", tools=TOOLS), ask("Who are you?"), ask("Is 9 a prime number?")]
    came = []

    async def others():
        came.extend(await at_once(batch_engine, late))

    async with anyio.create_task_group() as group:
        with held(passes, 10) as hold:
            group.start_soon(batch_engine.complete, STORIES[0])
            await until(hold.reached.is_set)
            group.start_soon(others)
            await until(lambda: batch_engine.worker.waiting == 3)
    assert came == await one_by_one(serial_engine, late)
    assert max(passes.rows) == 4


async def test_other_requests_continue_during_a_long_prompt(serial_engine, batch_engine, passes, slice_prefill):
    slice_prefill(16)
    long, came = ask("weather " * 300, max_tokens=5), []

    async def stories():
        came.extend(await at_once(batch_engine, STORIES))

    async def last():
        came.append(said(await batch_engine.complete(long)))

    async with anyio.create_task_group() as group:
        with Hold() as hold:
            passes.gather, passes.before = 3, lambda rows, ids: hold() if rows == 3 else None
            group.start_soon(stories)
            await until(hold.reached.is_set)
            group.start_soon(last)
            await until(lambda: batch_engine.worker.waiting == 1)
    decoding = passes.rows[passes.rows.index(3) : len(passes.rows) - passes.rows[::-1].index(3)]
    assert decoding.count(0) > 10
    assert not any(a == b == 0 for a, b in pairwise(decoding))
    slice_prefill(512)
    assert sorted(came) == sorted(await one_by_one(serial_engine, [*STORIES, long]))


async def test_requests_beyond_the_batch_size_wait_and_begin_in_order_of_arrival(batch_engine, passes, monkeypatch):
    begun, render = [], batch_engine._render
    monkeypatch.setattr(batch_engine, "_render", lambda m, r: (begun.append(r), render(m, r))[1])
    requests = [ask(f"What is {n} plus 1?", tools=TOOLS) for n in range(15)]
    async with anyio.create_task_group() as group:
        with held(passes, 1):
            for n, request in enumerate(requests):
                group.start_soon(batch_engine.complete, request)
                await until(lambda n=n: batch_engine.worker.running + batch_engine.worker.waiting > n)
            assert batch_engine.worker.waiting >= 11
    assert begun == requests
    assert passes.most_running == 4


LONG = ask(" robot" * 300)
WAYS = [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")]


@pytest.mark.parametrize(("anyio_backend", "way"), WAYS)
@pytest.mark.parametrize("when", ["prefill", "decode", "waiting"])
async def test_cancelling_one_request_does_not_affect_the_others(
    serial_engine, batch_engine, passes, slice_prefill, when, way
):
    """The forward pass during which the cancellation comes is held, so that the count of later ones is exact."""
    slice_prefill(16)
    victim = LONG if when == "prefill" else STORIES[2]
    others = STORIES if when != "waiting" else [*STORIES, ask("Count to ten.")]
    expected = await one_by_one(serial_engine, others)
    held, robot = [], serial_engine._model.encode(" robot")[0]
    passes.gather = len(others) + 1
    worker = batch_engine.worker

    def before(rows, ids):
        mine = when == "prefill" and rows == 0 and ids.count(robot) > 5
        waits = when == "waiting" and (worker.running, worker.waiting) == (4, 1)
        if mine or waits or (when == "decode" and rows == 4):
            held.append(rows)
            hold()

    passes.before = before
    found = []

    async def neighbours():
        found.extend(await at_once(batch_engine, others))

    async def let_go():
        await anyio.wait_all_tasks_blocked()
        hold.released.set()

    async with anyio.create_task_group() as group:
        with Hold() as hold:
            group.start_soon(neighbours)
            await until(lambda: worker.running + worker.waiting == len(others))
            if way == "native":
                import asyncio

                task = asyncio.create_task(batch_engine.complete(victim))
                await until(hold.reached.is_set)
                task.cancel()
                group.start_soon(let_go)
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as inner:
                        inner.start_soon(streamed, batch_engine, victim)
                        await until(hold.reached.is_set)
                        group.start_soon(let_go)
                        scope.cancel()
            assert worker.running + worker.waiting <= len(others)
    assert found == expected
    assert when == "waiting" or len(held) == 1
    check_idle(batch_engine)


async def test_dropped_and_stalled_readers_do_not_delay_others(serial_engine, batch_engine, passes):
    stalled = batch_engine.stream(STORIES[2])
    async with aclosing(stalled):
        first = await anext(stalled)
        left = batch_engine.stream(ask(*STORY))
        await anext(left)
        await left.aclose()
        assert await at_once(batch_engine, STORIES[:2]) == await one_by_one(serial_engine, STORIES[:2])
        *deltas, reply = [piece async for piece in stalled]
    assert "".join(delta.text for delta in (first, *deltas)) == reply.text
    assert said(reply) == (await one_by_one(serial_engine, STORIES[2:]))[0]


NO_NUMBER = ask("Hi", temperature=1, frequency_penalty=float("nan"))
FAILING = {
    "an option": (ask("Hi", max_tokens=0), InvalidOptionError),
    "a prompt that is too long": (ask("hello " * 5000), ContextLengthError),
    "an option that breaks a draw": (NO_NUMBER, {"hf": EngineError, "llamacpp": InvalidOptionError}),
    "the chat template": (ask({"role": "user"}, extra_body={"chat_template_kwargs": {"messages": 1}}), BadRequestError),
}


@pytest.mark.parametrize("what", FAILING)
async def test_a_failing_request_does_not_affect_the_others(serial_engine, batch_engine, passes, library, what):
    request, error = FAILING[what]
    if isinstance(error, dict):
        error = error[library]
    caught = []

    async def failing():
        with pytest.raises(error) as info:
            await batch_engine.complete(request)
        caught.append(info.type)

    async with anyio.create_task_group() as group:
        group.start_soon(failing)
        group.start_soon(failing)
        assert await at_once(batch_engine, STORIES) == await one_by_one(serial_engine, STORIES)
    assert len(caught) == 2


@pytest.mark.parametrize("error", [ArithmeticError, MemoryError, KeyboardInterrupt, SystemExit])
async def test_a_failing_forward_pass_fails_the_requests_that_shared_it_and_the_next_one_works(
    serial_engine, batch_engine, passes, error
):
    def fail(rows, ids):
        if rows == 3:
            raise error("no such luck")

    passes.gather, passes.before = 3, fail
    failures = []

    async def one(request):
        with pytest.raises(EngineError, match=f"{error.__name__}: no such luck") as caught:
            await batch_engine.complete(request)
        failures.append(caught.value)

    async with anyio.create_task_group() as group:
        for request in STORIES:
            group.start_soon(one, request)
    assert len({id(failure) for failure in failures}) == 3
    check_idle(batch_engine)
    passes.before = lambda rows, ids: None
    assert await at_once(batch_engine, STORIES) == await one_by_one(serial_engine, STORIES)


async def test_each_conversation_reuses_its_prefix_in_the_next_turn(batch_engine, passes):
    async def conversation(a, b):
        history = [user(f"What is {a} plus {b}?")]
        first = await batch_engine.complete(ask(*history, tools=TOOLS))
        history += [assistant_message(first), tool_message(first.calls[0], str(a + b))]
        second = await batch_engine.complete(ask(*history, tools=TOOLS))
        assert second.text == f"The answer is {a + b}."
        assert second.usage.cache_read >= first.usage.input

    async with anyio.create_task_group() as group:
        for n in range(4):
            group.start_soon(conversation, random.randrange(1000), n)
    assert 0 < batch_engine.prefix_cache.bytes <= batch_engine.prefix_cache.limit


async def test_a_common_prefix_of_concurrent_requests_is_computed_once(serial_engine, batch_engine, passes):
    system = {"role": "system", "content": "Use tools when needed. " * 40}
    requests = [ask(system, question, tools=TOOLS) for question in ("Say hello.", "Who are you?", "Hi", "Thanks!")]
    replies = await at_once(batch_engine, requests)
    assert replies == await one_by_one(serial_engine, requests)
    prompts = [reply[-2] for reply in replies]
    assert min(prompts) > 250
    assert passes.tokens < max(prompts) + sum(reply[-1] for reply in replies) + 4 * 20


def test_two_loops_in_two_threads_share_forward_passes(serial_engine, batch_engine, passes):
    chance = random.Random(11)
    requests = {backend: [greedy_request(chance) for _ in range(10)] for backend in ("asyncio", "trio")}
    found = {}

    def run(backend):
        found[backend] = anyio.run(at_once, batch_engine, requests[backend], backend=backend)

    join(start(*(partial(run, backend) for backend in requests)))
    for backend, asked in requests.items():
        assert found[backend] == anyio.run(one_by_one, serial_engine, asked, backend="asyncio")


async def test_closing_stops_running_requests_and_refuses_waiting_ones(library):
    engine = ENGINES[library](threads=1, batch=2)
    refused = []

    async def one():
        with pytest.raises(ClosedClientError):
            await engine.complete(ask(*STORY))
        refused.append(1)

    seen, queue = Passes(engine), engine.worker._queue
    with seen.recorded() as counts:
        seen.gather = 4
        seen.before = lambda rows, ids: wait_in_thread(lambda: counts.calls < 4 or queue.closed)
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)
            await until(lambda: counts.calls == 4)
            assert (engine.worker.running, engine.worker.waiting) == (2, 2)
            await engine.aclose()
    assert len(refused) == 4
    assert counts.calls == 4
    assert not engine.worker._thread.is_alive()
    assert engine._batch is None


async def test_lazily_loaded_weights_are_batched(library, serial_engine):
    engine = ENGINES[library](threads=1, batch=3, lazy=True)
    assert await at_once(engine, STORIES) == await one_by_one(serial_engine, STORIES)
    await engine.aclose()


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_size_below_one_is_refused(model_string, batch):
    with pytest.raises(InvalidOptionError, match=f"batch={batch}"):
        aimu.client(model_string, batch=batch)
