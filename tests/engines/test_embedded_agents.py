"""Agents on real weights: correct answers, true histories wherever they are stopped, one generation at a time."""

import itertools
import random
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from anyio.lowlevel import checkpoint

import aimu
from aimu import aio
from aimu._core.messages import check_history, text_of
from aimu.testing import ScriptedProvider, cancel_everywhere, leak_check
from aimu.tools import tool
from tests.engines.evaluations import evaluations
from tests.holding import Hold, join, start, until

CITIES = ["Paris", "Rome", "London", "Tokyo", "Berlin", "Oslo", "Madrid", "Cairo", "Lima", "Vienna"]


class EmbeddedScenario:
    """Two calls in one iteration on the embedded model, then a sum of new numbers in the same conversation."""

    def __init__(self, weights, mode, *, concurrent, sync_tools):
        self.mode, self.weights = mode, weights
        self.cities = random.sample(CITIES, 2 if concurrent else 1)
        self.numbers = random.randint(10, 99), random.randint(10, 99)
        self.begun, self.finished = set(), {}
        self.seen = ""

        def look_up(city):
            self.finished[city] = f"sunny, {random.randint(0, 30)} C"
            return self.finished[city]

        if sync_tools:

            @tool
            def get_weather(city: str) -> str:
                """Get the weather in a city."""
                self.begun.add(city)
                return look_up(city)
        else:

            @tool
            async def get_weather(city: str) -> str:
                """Get the weather in a city."""
                self.begun.add(city)
                await anyio.sleep(0.0002)
                return look_up(city)

        @tool
        async def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        client = aio.client(weights).fork()
        tools = [add, get_weather]
        self.agent = aio.Agent(client, "You are a careful agent.", tools=tools, concurrent_tool_calls=concurrent)

    async def run(self):
        question = "What is the weather in {}?".format(" and ".join(self.cities))
        if self.mode == "plain":
            answer = await self.agent.run(question)
        else:
            stream = self.agent.run(question, stream=True)
            if self.mode == "entered":
                async with stream:
                    await self.read(stream)
            else:
                await self.read(stream)
            answer = stream.result
        assert answer == " ".join(f"{city}: {self.finished[city]}." for city in self.cities)

    async def read(self, stream):
        async for chunk in stream:
            if chunk.is_text():
                self.seen += chunk.content
            for _ in range(4):  # gives each chunk its own points, even if several come at once
                await checkpoint()

    async def check(self, *, completed):
        history = self.agent.model_client.messages
        check_history(history)
        if self.mode != "bare":  # the next turn settles a bare stream that a traceback still holds
            self.check_truth()
        a, b = self.numbers
        assert await self.agent.run(f"What is {a} plus {b}?") == f"The answer is {a + b}."
        self.check_truth()
        self.check_idle(self.weights.__aio__.provider.provider.worker)

    def check_idle(self, worker):
        assert worker.running == worker.waiting == 0

    def check_truth(self):
        """Check that the history has all text that was seen and all finished results, and no other results."""
        history = self.agent.model_client.messages
        check_history(history)
        assert self.seen in "".join(text_of(message) for message in history if message["role"] == "assistant")
        results = [message for message in history if message["role"] == "tool" and message["name"] == "get_weather"]
        texts = [message["content"] for message in results if "status" not in message]
        assert sorted(texts) == sorted(self.finished.values())
        cut = [message for message in results if message.get("status") == "cancelled"]
        assert len(cut) == len(self.begun - self.finished.keys())


# The tests of engines cancel llama.cpp natively; above the worker, both engines share their code.
WAYS = [
    ("hf", "asyncio", "scope"),
    ("hf", "asyncio", "native"),
    ("hf", "trio", "scope"),
    ("llamacpp", "asyncio", "scope"),
    ("llamacpp", "trio", "scope"),
]
RUNS = {"plain": (False, True, 7), "bare": (False, True, 30), "entered": (True, False, 80)}
LONG = {("bare", *WAYS[2]), ("bare", *WAYS[3]), ("entered", *WAYS[1]), ("entered", *WAYS[4])}
"""The long combinations that the suite runs: each engine, backend and way to cancel at least once."""


COMBINATIONS = [
    pytest.param(mode, *way, marks=[] if mode == "plain" or (mode, *way) in LONG else [pytest.mark.exhaustive])
    for mode, way in itertools.product(RUNS, WAYS)
]


@pytest.mark.parametrize(("mode", "model_string", "backend", "how"), COMBINATIONS, indirect=["model_string"])
def test_an_agent_cancelled_at_any_step_leaves_a_valid_and_true_history(weights, mode, backend, how):
    concurrent, sync_tools, minimum = RUNS[mode]
    make = partial(EmbeddedScenario, weights, mode, concurrent=concurrent, sync_tools=sync_tools)
    make.__qualname__ = f"embedded agent, {mode}, {'concurrent' if concurrent else 'sequential'} tools"
    cancel_everywhere(make, backend=backend, how=how, minimum=minimum)


async def twelve(weights, answers, hold, queued, loops):
    """Run twelve conversations: cancel four while they generate and four while they wait, and check the others.

    The first evaluation is held until all of `loops` event loops have made their requests and cancelled; `queued`
    counts them.
    """
    scopes = {}

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def ask(number, question, right):
        client = aio.client(weights).fork()
        agent = aio.Agent(client, "You are a careful agent.", tools=[add])
        with anyio.CancelScope() as scope:
            scopes[number] = scope
            if right is None:
                async with agent.run(question, stream=True) as stream:
                    async for chunk in stream:
                        if number < 4 and chunk.is_text():
                            scope.cancel()  # while it generates
            else:
                answers.append(await agent.run(question) == right)
        check_history(agent.model_client.messages)

    async with anyio.create_task_group() as group:
        with hold:
            for number in range(4):
                group.start_soon(ask, number, "Tell me a story.", None)
            for number in range(4, 8):
                a, b = random.randint(10, 99), random.randint(10, 99)
                group.start_soon(ask, number, f"What is {a} plus {b}?", f"The answer is {a + b}.")
            await anyio.wait_all_tasks_blocked()
            for number in range(8, 12):
                group.start_soon(ask, number, "Tell me a story.", None)
            await anyio.wait_all_tasks_blocked()
            for number in range(8, 12):
                scopes[number].cancel()  # while it waits
            await anyio.wait_all_tasks_blocked()
            queued.append(1)
            await until(lambda: len(queued) == loops)


@pytest.mark.parametrize("backends", [["asyncio"], ["trio"], ["asyncio", "trio"]], ids="+".join)
def test_an_engine_with_twelve_conversations_never_runs_two_generations_at_once(model_string, backends):
    aimu.client(ScriptedProvider("x")).chat(
        "x"
    )  # makes the event loop of this thread, which stays until the thread ends
    with leak_check(within=3.0):
        with aimu.client(model_string, threads=1) as weights, evaluations(weights.__aio__.provider.provider) as counts:
            answers, failures, queued, hold = [], [], [], Hold()
            counts.before = lambda *args, **kwargs: hold()

            def loop(backend):
                try:
                    anyio.run(twelve, weights, answers, hold, queued, len(backends), backend=backend)
                except BaseException as exc:
                    failures.append(exc)

            join(start(*(partial(loop, backend) for backend in backends)))
            if failures:
                raise failures[0]
        assert answers == [True] * 4 * len(backends)
        assert counts.most == 1
        assert counts.calls > 40


async def test_a_cancelled_chat_has_stopped_generating_when_its_scope_ends(weights):
    """The tests of engines check exactly that it stops within one decode step."""
    with evaluations(weights.__aio__.provider.provider) as counts:
        client = aio.client(weights).fork()
        for _ in range(5):
            with anyio.CancelScope() as scope:
                async with client.chat("Tell me a story.", stream=True) as stream:
                    async for chunk in stream:
                        if chunk.is_text():
                            scope.cancel()
            assert counts.inside == 0
            stopped = counts.calls
            await anyio.sleep(0.02)
            assert counts.calls == stopped, "generation went on"
            client.reset()


QUICK_START = """
from aimu.tools import tool
from aimu import aio
import aimu

@tool
async def add(a: int, b: int) -> int:
    '''Add two numbers.'''
    return a + b

async def main():
    client = aio.client(weights)
    agent = aio.Agent(client, "You are a helpful assistant.", tools=[add])
    answers.append(await agent.run("What is 17 plus 25?"))
"""


@pytest.mark.parametrize("start", ["asyncio.run(main())", 'anyio.run(main, backend="trio")', "trio.run(main)"])
def test_the_quick_start_works_in_any_loop(weights, start):
    answers = []
    module = start.split(".")[0]
    exec(f"{QUICK_START}\nimport {module}\n{start}", {"weights": weights, "answers": answers})
    assert answers == ["The answer is 42."]
