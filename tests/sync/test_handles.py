"""Sync and async handles share one conversation; sync subclasses of users keep their behaviour."""

import pytest

import aimu
from aimu import aio
from aimu.agents import Agent, Chain, amap
from aimu.errors import BusyConversationError
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def echo(request):
    last = request.messages[-1]
    if request.tools and last["role"] == "user":
        return reply(calls=[("add", {"a": 2, "b": 3})])
    return str(last["content"])


def provider():
    return ScriptedProvider(echo, repeat=True)


class Polite(aimu.ModelClient):
    """A user client with its own constructor, attribute and chat."""

    def __init__(self, model, *, greeting):
        super().__init__(model, system="Be polite.")
        self.greeting = greeting
        self.asked = 0

    def chat(self, user_message, *args, **kwargs):
        self.asked += 1
        return super().chat(f"{self.greeting}, {user_message}", *args, **kwargs)

    def generate(self, prompt, *args, **kwargs):
        return super().generate(f"{self.greeting}! {prompt}", *args, **kwargs)


def polite():
    return Polite(provider(), greeting="Please")


def test_a_fork_of_a_user_client_has_its_class():
    client = polite()
    fork = client.fork("T")
    assert type(fork) is Polite
    assert fork.chat("add.") == "Please, add."
    assert fork.generate("add.") == "Please! add."
    assert (fork.asked, client.asked) == (1, 0)
    assert [message["content"] for message in fork.messages] == ["T", "Please, add.", "Please, add."]


async def test_an_async_handle_of_a_user_client_uses_its_chat():
    client = polite()
    handle = aio.client(client)
    assert await handle.chat("add.") == "Please, add."
    stream = handle.chat("add.", stream=True)
    assert "".join([chunk.content async for chunk in stream if chunk.is_text()]) == "Please, add."
    assert await handle.generate("add.") == "Please! add."
    assert client.asked == 2
    assert handle.messages is client.messages
    fork = handle.fork()
    assert await fork.chat("add.") == "Please, add."
    assert (client.asked, len(client.messages)) == (2, 5)
    assert await aio.Agent(handle, name="a").run("add.") == "Please, add."
    assert client.asked == 2


def test_an_agent_works_on_a_user_client():
    agent = Agent(polite(), tools=[add], max_iterations=1)
    for worker in (agent, agent.fork()):
        assert type(worker.model_client) is Polite
        worker.tools = []
        assert worker.run("add.") == "Please, add."
        assert worker.model_client.asked == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_of_an_agent_on_a_user_client_has_its_class_and_runs_the_agents_loop(stream):
    agent = Agent(polite(), tools=[add], max_iterations=1)
    for client in (agent.as_model_client(), agent.as_model_client().fork(), agent.fork().as_model_client()):
        assert type(client) is Polite
        if stream:
            list(client.chat("add.", stream=True))
        else:
            client.chat("add.")
        assert client.asked == 1
        asked, _, result = client.messages[-4:-1]
        assert asked["content"] == "Please, add."
        assert result["status"] == "not_executed"


class Moody(Agent):
    """A user agent with its own constructor, attribute and run."""

    def __init__(self, client, mood):
        super().__init__(client, f"Be {mood}.", "moody")
        self.mood = mood

    def run(self, task, *args, **kwargs):
        return super().run(f"{task} ({self.mood})", *args, **kwargs)


def test_a_user_agent_keeps_its_class():
    agent = Moody(aimu.client(provider()), "glad")
    fork = agent.fork("Be sad.")
    assert type(fork) is Moody
    assert fork.system_message == "Be sad."
    for run in (agent.run, fork.run, agent.as_model_client().chat, agent.as_model_client().fork().chat):
        assert run("Go.") == "Go. (glad)"
    assert len(agent.messages["moody"]) == 5
    assert Chain([fork]).run("Go.") == "Go. (glad)"
    with amap(agent, ["a", "b"]) as results:
        assert sorted(results) == [(0, "a (glad)"), (1, "b (glad)")]


async def test_an_async_handle_of_a_user_agents_client_uses_its_run():
    agent = Moody(aimu.client(provider()), "glad")
    assert await aio.client(agent.as_model_client()).chat("Go.") == "Go. (glad)"
    assert len(agent.messages["moody"]) == 3


@tool
def later() -> str:
    """A tool that is added later."""
    return "later"


SETTINGS = {
    "generate_kwargs": {"seed": 7},
    "max_tool_rounds": 3,
    "concurrent_tool_calls": 2,
    "tools": [later],
    "mcp_client": [],
    "system_message": "Be long.",
    "messages": [{"role": "system", "content": "Be long."}, {"role": "user", "content": "Hi"}],
}


@pytest.mark.parametrize("name", SETTINGS)
async def test_all_handles_of_a_conversation_share_its_settings(name):
    for forth in (True, False):
        client = aimu.client(provider(), system="Be brief.", tools=[add])
        handle = aio.client(client)
        second = aimu.client(client)
        here, there = (client, handle) if forth else (handle, client)
        setattr(here, name, SETTINGS[name])
        assert getattr(there, name) == getattr(second, name) == SETTINGS[name]
        assert getattr(there, name) is getattr(second, name)


async def test_two_handles_share_one_busy_guard_and_closing_the_second_closes_nothing():
    scripted = ScriptedProvider("one two three", "four", "five")
    client = aimu.client(scripted)
    handle = aio.client(client)
    stream = handle.chat("Go.", stream=True)
    async with stream:
        await anext(stream)
        with pytest.raises(BusyConversationError):
            client.chat("Go.")
    await handle.aclose()
    assert not scripted.closed
    assert client.chat("Go.") == "four"
    client.close()
    assert scripted.closed
