"""Loading a history: whose system message stays, and who sees the new history."""

import json

import pytest

import aimu
from aimu import agents, aio
from aimu.errors import InvalidOptionError
from aimu.testing import ScriptedProvider

OWN = {"role": "system", "content": "Be brief."}
OTHER = {"role": "system", "content": "Be long.", "cache": True}
SAID = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


def handles():
    """Pairs of a client and a handle of its conversation to which a history is assigned, on both surfaces."""
    for room, runners in ((aio, aio), (aimu, agents)):
        client = room.client(ScriptedProvider("Fine."), system="Be brief.")
        yield client, client
        agent = runners.Agent(client)
        yield agent.model_client, agent.model_client
        yield agent.model_client, agent.as_model_client()
        fork = client.fork()
        yield fork, fork
    client = aimu.client(ScriptedProvider("Fine."), system="Be brief.")
    yield client, aio.client(client)


def test_a_history_without_a_system_message_keeps_that_of_the_client():
    for client, handle in handles():
        for loaded in (SAID, tuple(SAID), iter(SAID), json.loads(json.dumps(SAID))):
            handle.messages = loaded
            assert client.messages == handle.messages == [OWN, *SAID]
            assert client.system_message == "Be brief."
        handle.messages = []
        assert client.messages == [OWN]


def test_a_history_with_a_system_message_replaces_that_of_the_client():
    for client, handle in handles():
        handle.messages = [OTHER, *SAID]
        assert client.messages == handle.messages == [OTHER, *SAID]
        handle.messages = handle.messages[1:]
        assert client.messages == [OTHER, *SAID]


async def test_the_model_sees_the_system_message_that_was_kept():
    provider = ScriptedProvider("Fine.")
    client = aio.client(provider, system="Be brief.")
    client.messages = SAID
    await client.chat("Go on.")
    assert provider.requests[0].messages == [OWN, *SAID, {"role": "user", "content": "Go on."}]


def test_a_client_without_a_system_message_gets_none():
    client = aio.client(ScriptedProvider())
    client.messages = SAID
    assert client.messages == SAID


def test_an_agent_of_a_second_handle_begins_with_the_history_of_the_first():
    client = aimu.client(ScriptedProvider("Hello."), system="Be brief.")
    client.chat("Hi")
    second = aio.client(client)
    assert aio.Agent(second).messages == {"agent": [OWN, *SAID]}
    assert aio.Agent(second.fork()).messages == {"agent": [OWN]}


@pytest.mark.parametrize("bad", [None, "Hi", b"Hi", {"agent": SAID}, 5], ids=repr)
def test_a_history_must_be_a_list(bad):
    for client, handle in handles():
        with pytest.raises(InvalidOptionError, match=r"messages must be a list of dicts, got \w+; to clear"):
            handle.messages = bad
        assert client.messages == [OWN]
