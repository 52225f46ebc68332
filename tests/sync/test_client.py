"""The sync client and stream: the same conversation as on asyncio and trio, in the caller's thread."""

import threading
import time

import pytest

import aimu
from aimu import agents, aio
from aimu._core.reply import Usage
from aimu.errors import BusyConversationError, StreamClosedError
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from tests.holding import join, start


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def script():
    return ScriptedProvider(reply(calls=[("add", {"a": 1, "b": 2})]), "It is three.", "Bye now.")


@pytest.fixture(scope="module")
def sync_history():
    client = aimu.client(script(), system="Be brief.", tools=[add])
    assert client.chat("1 + 2?") == "It is three."
    assert client.chat("Thanks.") == "Bye now."
    return client.messages


async def test_the_history_equals_that_of_the_async_surface(sync_history):
    client = aio.client(script(), system="Be brief.", tools=[add])
    await client.chat("1 + 2?")
    await client.chat("Thanks.")
    assert client.messages == sync_history


@pytest.mark.parametrize("entered", [True, False])
def test_a_stream_yields_every_chunk_and_leaves_the_history_of_the_plain_call(entered, sync_history):
    client = aimu.client(script(), system="Be brief.", tools=[add])
    for question, answer in (("1 + 2?", "It is three."), ("Thanks.", "Bye now.")):
        stream = client.chat(question, stream=True)
        if entered:
            with stream:
                chunks = list(stream)
        else:
            chunks = list(stream)
        assert "".join(chunk.content for chunk in chunks if chunk.is_text()) == answer == stream.result
        assert chunks[-1].phase == "done"
    assert client.messages == sync_history


@pytest.mark.parametrize("entered", [True, False])
def test_a_stream_left_early_keeps_the_text_so_far_and_frees_the_conversation(entered):
    provider = ScriptedProvider("more " * 100, "four")  # more than the buffer of an entered stream
    client = aimu.client(provider)
    stream = client.chat("Count.", stream=True)
    if entered:
        with stream:
            next(stream)
    else:
        for _ in stream:
            break
    assert client.chat("Go on.") == "four"
    assert client.messages[1]["interrupted"]
    assert provider.open_streams == 0
    with pytest.raises((StopIteration, StreamClosedError)):
        next(stream)


def test_a_dropped_stream_is_closed_at_once():
    provider = ScriptedProvider("one two three", "four")
    client = aimu.client(provider)
    stream = client.chat("Count.", stream=True)
    next(stream)
    assert provider.open_streams == 1
    del stream
    assert provider.open_streams == 0
    assert client.messages[1]["content"] == "one "


@pytest.mark.parametrize("begun", [False, True])
def test_a_closed_stream_leaves_nothing_to_do_when_it_is_dropped(begun):
    stream = aimu.client(ScriptedProvider("one two three")).chat("?", stream=True)
    if begun:
        next(stream)
    stream.close()
    assert stream._remains is None
    assert list(stream) == []
    stream.close()
    with pytest.raises(StreamClosedError, match="already read, entered or closed"):
        stream.__enter__()


def test_a_stream_whose_block_was_closed_inside_or_failed_leaves_nothing_either():
    client = aimu.client(ScriptedProvider("one two three", reply("one two", error=ValueError("no"))))
    with client.chat("?", stream=True) as stream:
        next(stream)
        stream.close()
        assert stream._remains is not None
    assert stream._remains is None
    with pytest.raises(ValueError, match="no"):
        with client.chat("?", stream=True) as stream:
            list(stream)
    assert stream._remains is None


def many(runner):
    return agents.amap(runner, map(str, range(100)))


def long(runner):
    return runner.run("?", stream=True)


@pytest.mark.parametrize("begin", [many, long])
def test_a_block_that_is_entered_twice_is_still_left(begin):
    provider = ScriptedProvider("one two three " * 100, repeat=True)
    block = begin(agents.Agent(aimu.client(provider)))
    with block:
        next(block)
        with pytest.raises(StreamClosedError, match="already"):
            block.__enter__()
        next(block)
    assert provider.open_streams == 0
    asked = len(provider.requests)
    for _ in range(2):
        with pytest.raises(StreamClosedError, match="already"):
            block.__enter__()
    assert len(provider.requests) == asked
    assert block._remains is None


def test_a_stream_can_only_be_read_in_the_thread_that_began_it():
    stream = aimu.client(ScriptedProvider("one two three")).chat("Count.", stream=True)
    next(stream)
    errors = []

    def read():
        try:
            next(stream)
        except StreamClosedError as exc:
            errors.append(exc)

    join(start(read))
    assert len(errors) == 1
    assert next(stream).content == "two "


def test_a_sync_tool_runs_in_the_callers_thread():
    seen = []

    @tool
    def where() -> str:
        """Tell the thread."""
        seen.append(threading.current_thread())
        return "here"

    aimu.client(ScriptedProvider(reply(calls=[("where", {})]), "ok"), tools=[where]).chat("?")
    assert seen == [threading.current_thread()]


def test_an_async_tool_is_awaited():
    @tool
    async def twice(n: int) -> int:
        """Double it."""
        return 2 * n

    client = aimu.client(ScriptedProvider(reply(calls=[("twice", {"n": 4})]), "ok"), tools=[twice])
    client.chat("?")
    assert client.messages[2]["content"] == "8"


async def test_an_async_handle_shares_the_conversation():
    client = aimu.client(ScriptedProvider("a", "b", "c"))
    twin = aio.client(client)
    assert client.chat("1") == "a"
    assert await twin.chat("2") == "b"
    await twin.aclose()
    assert client.chat("3") == "c"
    assert twin.messages is client.messages
    assert [message["content"] for message in client.messages] == ["1", "a", "2", "b", "3", "c"]


def test_a_tool_cannot_use_the_conversation_that_calls_it():
    @tool
    def again() -> str:
        """Chat on the conversation that calls this."""
        with pytest.raises(BusyConversationError):
            client.chat("?")
        with pytest.raises(BusyConversationError):
            client.reset()
        return "busy"

    client = aimu.client(ScriptedProvider(reply(calls=[("again", {})]), "ok"), tools=[again])
    assert client.chat("?") == "ok"


def test_one_shot_closes_its_client():
    provider = ScriptedProvider("a", "b")
    assert aimu.chat("?", model=provider) == "a"
    assert provider.closed


def test_the_usage_of_a_provider_counts_every_reply_of_all_threads():
    class Slow(Usage):
        """Switches threads in the middle of an addition."""

        def __add__(self, other):
            time.sleep(0)
            return Slow(input=self.input + other.input)

    provider = ScriptedProvider(reply("Hi.", usage=Slow(input=1)), repeat=True)
    client = aimu.client(provider)

    def chat():
        fork = client.fork()
        for _ in range(50):
            fork.generate("Hello")

    join(start(*[chat] * 4))
    assert client.provider.usage.input == 200
