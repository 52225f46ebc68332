"""Twelve conversations on one llama.cpp instance; six are cancelled: three while generating, three in a prefill."""

import random
from collections import Counter
from contextlib import aclosing
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from tests.engines.asking import STORY, TOOLS, ask, streamed
from tests.engines.evaluations import evaluations
from tests.holding import Hold, join, start, until

SLICE = 64
WORDS = {"asyncio": ["weather", "number", "user"], "trio": ["city", "robot", "answer"]}


class Prefill(Hold):
    """A long prompt of one repeated word; the computation of its first slice is held."""

    def __init__(self, word):
        super().__init__()
        self.request = ask(f" {word}" * 600)
        self.slices = 0

    def __call__(self):
        self.slices += 1
        super().__call__()


def watch(engine, prefills):
    """Make the function to call before each evaluation; it recognizes a long prompt by its most frequent token."""
    by_token = {}
    for prefill in prefills:
        text = prefill.request.messages[0]["content"]
        by_token[Counter(engine._model.encode(text)).most_common(1)[0][0]] = prefill

    def before(context, batch):
        if batch.n_tokens == SLICE:
            token, times = Counter(batch.token[: batch.n_tokens]).most_common(1)[0]
            if times > SLICE / 3 and token in by_token:
                by_token[token]()

    assert len(by_token) == len(prefills)
    return before


async def twelve(engine, prefills):
    """Run twelve requests at once; return whether each of the six that are not cancelled got the correct answer."""
    right = []

    async def sum_of(a, b):
        _, reply = await streamed(engine, ask(f"What is {a} plus {b}?", tools=TOOLS, temperature=0))
        right.append([call.arguments for call in reply.calls] == [f'{{"a": {a}, "b": {b}}}'])

    async def story():
        with anyio.CancelScope() as scope:
            async with aclosing(engine.stream(ask(*STORY))) as pieces:
                await anext(pieces)
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught

    async def long(prefill):
        async def stop():
            with prefill:
                await until(prefill.reached.is_set)
                scope.cancel()
                await anyio.wait_all_tasks_blocked()

        group.start_soon(stop)
        with anyio.CancelScope() as scope:
            await engine.complete(prefill.request)
        assert scope.cancelled_caught

    async with anyio.create_task_group() as group:
        for prefill in prefills:
            group.start_soon(long, prefill)
            group.start_soon(story)
            for _ in range(2):
                group.start_soon(sum_of, random.randrange(1000), random.randrange(1000))
    return right


@pytest.mark.parametrize("backends", [["asyncio"], ["trio"], ["asyncio", "trio"]], ids="+".join)
def test_six_of_twelve_conversations_are_cancelled_and_the_others_answer_correctly(
    llama_engine, slice_prefill, backends
):
    slice_prefill(SLICE)
    prefills = {backend: [Prefill(word) for word in WORDS[backend]] for backend in backends}
    right, failures = [], []

    def loop(backend):
        try:
            right.extend(anyio.run(twelve, llama_engine, prefills[backend], backend=backend))
        except BaseException as exc:
            failures.append(exc)

    asked = llama_engine.worker.requests
    with evaluations(llama_engine) as counts:
        counts.before = watch(llama_engine, [prefill for group in prefills.values() for prefill in group])
        join(start(*(partial(loop, backend) for backend in backends)))
    if failures:
        raise failures[0]
    assert right == [True] * 6 * len(backends)
    assert llama_engine.worker.requests - asked == 12 * len(backends)
    assert counts.most == 1
    assert all(prefill.slices == 1 for group in prefills.values() for prefill in group), "stopped within one slice"
    assert (llama_engine.worker.running, llama_engine.worker.waiting) == (0, 0)
