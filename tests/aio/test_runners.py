"""What a run does with a user's own runners, and with runners that are parts of themselves."""

from contextlib import aclosing
from typing import ClassVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu.aio import StreamChunk, StreamingContentType
from aimu.errors import InvalidOptionError
from aimu.evals import Scorer
from aimu.testing import scripted_client

GENERATING = StreamingContentType.GENERATING


class Scoped(aio.AsyncRunner):
    """A user's runner that holds a cancel scope, or a task group, across its yields."""

    def __init__(self, scope, *, fails=False, sleeps=False):
        self.scope, self.fails, self.sleeps = scope, fails, sleeps

    @property
    def messages(self):
        return {}

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        return self.chunks()

    async def chunks(self):
        async with anyio.create_task_group() if self.scope == "group" else Sync(anyio.fail_after(60)):
            for word in ("one ", "two ", "three"):
                yield StreamChunk(GENERATING, word)
                await checkpoint()
            if self.sleeps:
                await anyio.sleep_forever()
            if self.fails:
                raise ValueError("broken")


class Sync:
    """A sync context manager as an async one."""

    def __init__(self, block):
        self.block = block

    async def __aenter__(self):
        return self.block.__enter__()

    async def __aexit__(self, *exc):
        return self.block.__exit__(*exc)


def agent():
    return aio.Agent(scripted_client("The end.", repeat=True), name="last")


@pytest.mark.parametrize("timeout", [None, 30])
@pytest.mark.parametrize("scope", ["scope", "group"])
@pytest.mark.parametrize("entered", [False, True], ids=["bare", "entered"])
async def test_a_users_runner_may_hold_a_scope_across_its_yields(scope, timeout, entered):
    stream = aio.Chain([Scoped(scope), agent()]).run("Go.", stream=True, timeout=timeout)
    if entered:
        async with stream:
            text = [chunk.content async for chunk in stream if chunk.is_text()]
    else:
        text = [chunk.content async for chunk in stream if chunk.is_text()]
    assert "".join(text) == "one two threeThe end."
    assert stream.result == "The end."
    with anyio.move_on_after(0.01):  # the scopes of this task are as they were
        await anyio.sleep_forever()


async def test_what_a_users_runner_yielded_before_it_failed_is_read_before_the_failure():
    read = []
    with pytest.raises(ValueError, match="broken"):
        async for chunk in aio.Chain([Scoped("scope", fails=True)]).run("Go.", stream=True, timeout=30):
            read.append(chunk.content)
    assert read == ["one ", "two ", "three"]


async def test_a_deadline_stops_a_users_runner_that_holds_a_scope():
    with pytest.raises(TimeoutError, match=r"within 0\.01 seconds"):
        async for _ in aio.Chain([Scoped("group", sleeps=True)]).run("Go.", stream=True, timeout=0.01):
            pass
    with anyio.move_on_after(0.01):
        await anyio.sleep_forever()


class Rates(Scorer):
    def score(self, row):
        return 1.0, "good"


def chain():
    chain = aio.Chain([agent()], name="loop")
    chain.agents.append(chain)
    return chain


def chain_of_parallels():
    inner = aio.Parallel([agent()], name="inner")
    outer = aio.Chain([agent(), inner], name="outer")
    inner.workers.append(outer)
    return outer


def aggregator():
    parallel = aio.Parallel([agent()], name="loop")
    parallel.aggregator = parallel
    return parallel


def router():
    router = aio.Router(agent(), {"a": agent()}, name="loop")
    router.handlers["a"] = aio.Chain([router])
    return router


def evaluator():
    loop = aio.EvaluatorOptimizer(agent(), agent(), name="loop")
    loop.generator = loop
    return loop


def below():
    return aio.Chain([agent(), chain()], name="outermost")


@pytest.mark.parametrize("make", [chain, chain_of_parallels, aggregator, router, evaluator, below])
async def test_a_runner_that_is_a_part_of_itself_is_refused_at_the_call_with_the_circle(make):
    runner = make()
    for stream in (False, True):
        with pytest.raises(InvalidOptionError, match="a runner cannot be a part of itself: "):
            runner.run("Go.", stream=stream)
    with pytest.raises(InvalidOptionError, match="a runner cannot be a part of itself: "):
        _ = runner.messages


@pytest.mark.parametrize(
    ("make", "circle"),
    [
        (chain, "Chain 'loop' -> Chain 'loop'"),
        (below, "Chain 'loop' -> Chain 'loop'"),
        (chain_of_parallels, "Chain 'outer' -> Parallel 'inner' -> Chain 'outer'"),
        (router, "Router 'loop' -> Chain 'chain' -> Router 'loop'"),
    ],
)
def test_the_error_names_the_circle_and_nothing_else(make, circle):
    with pytest.raises(InvalidOptionError) as caught:
        make().run("Go.")
    assert str(caught.value) == f"a runner cannot be a part of itself: {circle}"


async def test_a_runner_may_be_a_part_twice():
    shared = agent()
    chain = aio.Chain([shared, aio.Chain([shared]), aio.Parallel([aio.Chain([shared])])])
    assert await chain.run("Go.") == "The end."


class Yields(aio.AsyncRunner):
    """A user's runner that yields what it is given, and in one case uses its chunk again."""

    messages: ClassVar = {}

    def __init__(self, *items, again=False):
        self.items, self.again = items, again

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        return self.chunks()

    async def chunks(self):
        chunk = StreamChunk(GENERATING, "")
        for item in self.items:
            if self.again:
                chunk.content = item
            yield chunk if self.again else item


@pytest.mark.parametrize("entered", [False, True], ids=["bare", "entered"])
@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (None, "yielded NoneType"),
        ("text", "yielded str"),
        (StreamChunk(GENERATING, None), "generating chunk with NoneType content"),
        (StreamChunk(StreamingContentType.THINKING, b"x"), "thinking chunk with bytes content"),
        (StreamChunk("text", "x"), "phase 'text'"),
        (StreamChunk(None, "x"), "phase None"),
    ],
)
async def test_a_chunk_of_a_users_runner_that_is_not_right_is_an_error_that_says_so(item, wrong, entered):
    with pytest.raises(InvalidOptionError, match=wrong):
        await read(aio.Chain([Yields(StreamChunk(GENERATING, "a"), item), agent()]), entered)


@pytest.mark.parametrize("entered", [False, True], ids=["bare", "entered"])
async def test_a_users_runner_may_name_the_phase_and_use_its_chunk_again(entered):
    named = Yields(StreamChunk("generating", "one "), StreamChunk("generating", "two"), StreamChunk("done", "one two"))
    assert await read(aio.Chain([named]), entered) == ["one ", "two", "one two"]
    assert await read(aio.Chain([Yields("one ", "two", again=True)]), entered) == ["one ", "two", "one two"]


async def read(runner, entered):
    async with runner.run("Go.", stream=True) if entered else aclosing(runner.run("Go.", stream=True)) as stream:
        if entered:
            await anyio.wait_all_tasks_blocked()  # until everything is in the buffer
        return [chunk.content async for chunk in stream]
