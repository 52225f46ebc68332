"""The sync surface on real weights: the same histories as the async one, Ctrl-C, and dropped streams."""

import os
import signal
import sqlite3
import threading

import pytest

import aimu
from aimu import agents, aio
from aimu.tools import tool
from tests.holding import join, start

SYSTEM = "You are a careful agent."
QUESTIONS = ["What is the weather in Oslo?", "What is 17 plus 25?", "Say hello."]


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return "sunny, 21 C"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def without_ids(messages):
    """Replace the random ids of calls by numbers in the order of appearance."""
    ids = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    text = repr(messages)
    for number, call_id in enumerate(ids):
        text = text.replace(call_id, str(number))
    return text


@pytest.fixture(scope="module")
def sync_history(weights):
    histories = []
    for stream in (False, True):
        agent = agents.Agent(weights.fork(), SYSTEM, tools=[get_weather, add])
        for question in QUESTIONS:
            if stream:
                with agent.run(question, stream=True) as chunks:
                    assert list(chunks)[-1].content == chunks.result
            else:
                agent.run(question)
        histories.append(without_ids(agent.model_client.messages))
    assert histories[0] == histories[1]
    assert "42" in histories[0]
    return histories[0]


async def test_async_agents_have_the_history_of_the_sync_surface(weights, sync_history):
    agent = aio.Agent(aio.client(weights).fork(), SYSTEM, tools=[get_weather, add])
    for question in QUESTIONS:
        await agent.run(question)
    assert without_ids(agent.model_client.messages) == sync_history


@pytest.mark.parametrize("entered", [True, False])
def test_ctrl_c_stops_a_streamed_generation_and_keeps_its_text(weights, entered):
    client = weights.fork()
    seen = []

    def read(stream):
        for chunk in stream:
            seen.append(chunk.content)
            if len(seen) == 3:
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()

    def tell():
        stream = client.chat("Tell me a story.", stream=True)
        if entered:
            with stream:
                read(stream)
        else:
            read(stream)

    with pytest.raises(KeyboardInterrupt):
        tell()
    last = client.messages[-1]
    assert last["interrupted"]
    assert last["content"].startswith("".join(seen))
    assert client.chat("Say hello.")


def test_a_dropped_stream_frees_the_engine_at_once(weights):
    stream = weights.fork().chat("Tell me a story.", {"max_tokens": 4000}, stream=True)
    next(stream)
    del stream
    answers = []
    join(start(lambda: answers.append(weights.fork().chat("Say hello."))))
    assert len(answers) == 1


def test_a_tool_may_use_objects_bound_to_the_callers_thread(weights):
    database = sqlite3.connect(":memory:")
    database.execute("create table calls (city text)")

    @tool(name="get_weather")
    def note(city: str) -> str:
        """Get the weather in a city."""
        database.execute("insert into calls values (?)", [city])
        return "sunny, 21 C"

    agents.Agent(weights.fork(), SYSTEM, tools=[note]).run("What is the weather in Oslo?")
    assert database.execute("select city from calls").fetchall() == [("Oslo",)]
    database.close()


def test_parallel_conversations_share_the_weights(weights):
    parallel = agents.Parallel.from_client(weights, [SYSTEM] * 3)
    answers = parallel.run("Say hello.").split(parallel.separator)
    assert len(set(answers)) == 1
    assert isinstance(weights, aimu.ModelClient)
