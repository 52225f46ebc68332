"""Clients and agents are handles of one conversation; subclasses of users keep their behaviour."""

import time

import pytest
from attrs import define

from aimu import aio
from aimu.aio._stream import Stream
from aimu.errors import ClosedClientError, InvalidOptionError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def subtract(a: int, b: int) -> int:
    """Subtract two numbers."""
    return a - b


def echo(request):
    """Echo the task; call a tool first if the request has tools and no result yet."""
    last = request.messages[-1]
    if request.tools and last["role"] == "user":
        return reply(calls=[("add", {"a": 2, "b": 3})])
    return str(last["content"])


def provider():
    return ScriptedProvider(echo, repeat=True)


class Polite(aio.AsyncModelClient):
    """A user client with its own constructor, attribute and chat."""

    def __init__(self, model, *, greeting):
        super().__init__(model, system="Be polite.")
        self.greeting = greeting

    def chat(self, user_message, *args, **kwargs):
        return super().chat(f"{self.greeting}, {user_message}", *args, **kwargs)

    def generate(self, prompt, *args, **kwargs):
        return super().generate(f"{self.greeting}! {prompt}", *args, **kwargs)


class Borrowing(aio.AsyncBaseModelClient):
    """A user handle on a conversation that another client opened."""

    def __init__(self, other, *, greeting):
        super().__init__(other.conversation)
        self.greeting = greeting

    def chat(self, user_message, *args, **kwargs):
        return super().chat(f"{self.greeting}, {user_message}", *args, **kwargs)


def polite():
    return Polite(provider(), greeting="Please")


def borrowing():
    return Borrowing(aio.client(provider()), greeting="Please")


OWN = pytest.mark.parametrize("make", [polite, borrowing])


@OWN
async def test_a_fork_of_a_user_client_has_its_class(make):
    client = make()
    assert await client.chat("add.") == "Please, add."
    for fork in (client.fork(), client.fork(system="T", keep_history=True)):
        assert type(fork) is type(client)
        assert fork.greeting == "Please"
        fork.greeting = "Kindly"
        assert await fork.chat("add.") == "Kindly, add."
    assert client.greeting == "Please"
    assert [message["content"] for message in client.messages[-2:]] == ["Please, add.", "Please, add."]


async def test_the_generate_of_a_user_client_is_kept():
    assert await polite().generate("add.") == "Please! add."
    assert await polite().fork().generate("add.") == "Please! add."


@OWN
@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_works_on_a_user_client(make, stream):
    agent = aio.Agent(make(), name="a")
    assert type(agent.model_client) is type(make())
    for worker in (agent, agent.fork()):
        if stream:
            run = worker.run("add.", stream=True)
            assert [chunk async for chunk in run][-1].content == run.result == "Please, add."
        else:
            assert await worker.run("add.") == "Please, add."
        assert worker.messages["a"][-2]["content"] == "Please, add."


@OWN
@pytest.mark.parametrize("stream", [False, True])
async def test_the_client_of_an_agent_on_a_user_client_has_its_class_and_runs_the_agents_loop(make, stream):
    agent = aio.Agent(make(), tools=[add], max_iterations=1)
    for client in (agent.as_model_client(), agent.as_model_client().fork(), agent.fork().as_model_client()):
        assert type(client) is type(make())
        assert client.greeting == "Please"
        if stream:
            async for _ in client.chat("add.", stream=True):
                pass
        else:
            await client.chat("add.")
        asked, called, result = client.messages[-4:-1]
        assert asked["content"] == "Please, add."  # once
        assert called["tool_calls"]
        assert result["status"] == "not_executed"  # at the agent's limit, not the client's


class Moody(aio.Agent):
    """A user agent with its own constructor, attribute and run."""

    def __init__(self, client, mood):
        super().__init__(client, f"Be {mood}.", "moody")
        self.mood = mood

    def run(self, task, *args, **kwargs):
        return super().run(f"{task} ({self.mood})", *args, **kwargs)


@define(eq=False)
class Tagged(aio.Agent):
    """A user agent written as an attrs class."""

    tag: str = "tag"

    def run(self, task, *args, **kwargs):
        return super().run(f"{task} ({self.tag})", *args, **kwargs)


def moody():
    return Moody(aio.client(provider()), "glad")


def tagged():
    return Tagged(aio.client(provider()), "Be glad.", "tagged", tag="glad")


OWN_AGENT = pytest.mark.parametrize("make", [moody, tagged])


@OWN_AGENT
async def test_a_fork_of_a_user_agent_has_its_class(make):
    agent = make()
    assert await agent.run("Go.") == "Go. (glad)"
    full = agent.fork(keep_history=True)
    assert full.messages == agent.messages
    for fork in (full, agent.fork(), agent.fork("Be brief.")):
        assert type(fork) is type(agent)
        assert await fork.run("Go.") == "Go. (glad)"
        assert fork.name == agent.name
    assert fork.system_message == fork.messages[agent.name][0]["content"] == "Be brief."
    assert len(agent.messages[agent.name]) == 3


@OWN_AGENT
async def test_the_client_of_a_user_agent_calls_the_agents_run(make):
    agent = make()
    for client in (agent.as_model_client(), agent.as_model_client().fork()):
        assert await client.chat("Go.") == "Go. (glad)"
        stream = client.chat("Go.", stream=True)
        assert "".join([chunk.content async for chunk in stream if chunk.is_text()]) == "Go. (glad)"
    assert len(agent.messages[agent.name]) == 5
    assert await aio.Chain([agent.fork()]).run("Go.") == "Go. (glad)"
    async with aio.amap(agent, ["a", "b"]) as results:
        assert sorted([result async for result in results]) == [(0, "a (glad)"), (1, "b (glad)")]


async def test_the_client_of_an_agent_is_a_full_client_on_its_conversation():
    agent = aio.Agent(aio.client(provider(), generate_kwargs={"seed": 1}), "Be brief.", tools=[add], max_iterations=1)
    client = agent.as_model_client()
    assert await client.chat("add") == "The call was not executed."
    assert client.messages is agent.model_client.messages
    assert client.messages[3]["status"] == "not_executed"
    assert (client.usage, client.tools, client.system_message) == (agent.model_client.usage, [add], "Be brief.")
    assert client.provider is agent.model_client.provider
    assert isinstance(client.chat("add", stream=True), Stream)
    assert await client.chat("plain", use_tools=False) == "plain"
    assert await client.generate("free") == "free"
    fork = client.fork("Be long.")
    await fork.chat("add")
    assert fork.messages[0]["content"] == "Be long."
    assert fork.messages[3]["status"] == "not_executed"
    assert len(client.messages) == 7
    for name in (name for name in dir(agent.model_client) if not name.startswith("_")):
        getattr(client, name)


async def test_an_agent_and_its_client_share_one_conversation():
    agent = aio.Agent(aio.client(provider()), "One", tools=[add])
    agent.model_client.reset("Two")
    assert agent.system_message == "Two"
    agent.system_message = "Three"
    assert agent.model_client.system_message == "Three"
    agent.model_client.tools = [subtract]
    assert agent.tools == [subtract]
    agent.tools = [add]
    assert agent.model_client.tools == [add]
    agent.tools.append(subtract)
    assert agent.model_client.tools == [add, subtract]
    agent.concurrent_tool_calls = 2
    assert agent.model_client.concurrent_tool_calls == 2
    agent.system_message = None
    agent.tools = []
    assert agent.model_client.messages == agent.model_client.tools == []


async def test_an_agent_has_another_conversation_than_the_client_it_was_made_from():
    client = aio.client(provider(), system="S", tools=[add], generate_kwargs={"seed": 1}, concurrent_tool_calls=True)
    agent = aio.Agent(client)
    assert (agent.system_message, agent.tools, agent.concurrent_tool_calls) == ("S", [add], True)
    agent.tools.append(subtract)
    agent.system_message = "T"
    agent.concurrent_tool_calls = False
    agent.model_client.generate_kwargs["seed"] = 2
    assert (client.system_message, client.tools, client.concurrent_tool_calls) == ("S", [add], True)
    assert client.generate_kwargs == {"seed": 1}


async def test_the_client_of_an_agent_can_be_replaced():
    agent = aio.Agent(aio.client(provider()), "One", name="a")
    other = aio.client(ScriptedProvider("Other."), system="Two")
    agent.model_client = other
    assert agent.system_message == "Two"
    assert await agent.run("Go.") == "Other."
    assert agent.messages["a"] is other.messages
    with pytest.raises(InvalidOptionError, match="model_client must be an async client, got str"):
        agent.model_client = "openai:gpt"
    assert agent.model_client is other


async def test_a_fork_does_not_copy_the_history_that_it_drops():
    client = aio.client(ScriptedProvider())
    client.messages = [{"role": "user", "content": "Hi"}] * 20_000
    agent = aio.Agent(client)

    def fastest(fork):
        times = []
        for _ in range(10):
            begun = time.perf_counter()
            fork()
            times.append(time.perf_counter() - begun)
        return min(times)

    whole = fastest(lambda: client.fork(keep_history=True))
    for fork in (client.fork, agent.fork, agent.as_model_client().fork):
        assert fastest(fork) < whole / 20


async def test_the_error_after_closing_names_the_closed_client_and_the_remedy():
    provider = ScriptedProvider("Hi.", "Still here.", name="model-7")
    client = aio.client(provider)
    agent = aio.Agent(client, name="clerk")
    fork = client.fork()
    await client.aclose()
    assert await fork.chat("Hello") == "Hi."  # a fork keeps the provider open
    assert await agent.run("Hello") == "Still here."
    await fork.aclose()
    assert provider.closed
    for ask in (agent.run, agent.fork().run, client.chat, client.generate):
        with pytest.raises(ClosedClientError, match="AsyncModelClient scripted:model-7.* is closed") as caught:
            await ask("Hello")
        assert any("keep that client or a fork() of it open" in note for note in caught.value.__notes__)
    assert agent.messages["clerk"][1:] == agent.model_client.messages[1:]
