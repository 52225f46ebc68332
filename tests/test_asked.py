"""What a caller asks is checked at the call, before it reaches a history."""

import copy
import json
import pickle
from enum import Enum

import pytest

import aimu
from aimu import agents, aio
from aimu.errors import InvalidHistoryError, InvalidOptionError
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
NOT_A_TEXT = [None, {"role": "user", "content": "Hi"}, 5, [], ["Hi"], b"Hi", 1.5, True]
BLANK = ["", " \n\t", "\u3000"]


class Plain(str):
    __slots__ = ()

    def __str__(self):
        return "not this"


class Name(str, Enum):  # noqa: UP042 - `str()` of such a member is not its value
    TIDES = "tides"


def clients():
    return [(aio, aio.client(ScriptedProvider("Fine.", repeat=True))), (aimu, aimu.client(ScriptedProvider("Fine.")))]


def calls(room, client):
    """Every call that takes a text, and the conversations that it may touch."""
    room = agents if room is aimu else aio
    agent = room.Agent(client, name="clerk")
    skilled = room.SkillAgent(client, skill_manager=SkillManager([]))
    chain = room.Chain([room.Agent(client), room.Agent(client)])
    parallel = room.Parallel([room.Agent(client), room.Agent(client)])
    router = room.Router(client, {"a": room.Agent(client)})
    as_client = agent.as_model_client()
    asked = [client.chat, client.generate, as_client.chat, as_client.generate]
    asked += [runner.run for runner in (agent, skilled, chain, parallel, router)]
    return asked, lambda: [client.messages, agent.messages, skilled.messages, chain.messages, parallel.messages]


@pytest.mark.parametrize("bad", [*NOT_A_TEXT, *BLANK], ids=repr)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("which", [0, 1], ids=["aio", "sync"])
def test_what_is_asked_must_be_a_text(which, stream, bad):
    room, client = clients()[which]
    asked, messages = calls(room, client)
    before = copy.deepcopy(messages())
    for ask in asked:
        with pytest.raises(InvalidOptionError, match=r"must be a string, got|is (empty|blank); pass the text"):
            ask(bad, stream=stream)
    assert messages() == before
    assert not client.provider.provider.requests


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (None, "user_message must be a string, got None; pass the text to send"),
        (b"Hi", "got bytes b'Hi'; decode it to a str first"),
        ({"role": "user"}, r"got dict \{'role': 'user'\}; pass the text alone; .* client.messages"),
        (5, "got int 5; convert it to a str first"),
        ("", "user_message is empty; pass the text to send, or add images="),
        (" ", "user_message is blank"),
        ([1] * 1000, r"\.\.\.; "),
    ],
    ids=repr,
)
def test_the_error_says_what_was_given_and_what_to_do(bad, says):
    with pytest.raises(InvalidOptionError, match=says) as caught:
        aio.client(ScriptedProvider()).chat(bad)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("room", [aio, aimu])
def test_the_functions_for_one_message_check_it_too(room):
    with pytest.raises(InvalidOptionError, match="user_message must be a string, got None"):
        room.chat(None, model=ScriptedProvider())


async def test_a_text_may_be_blank_beside_images():
    for text in BLANK:
        provider = ScriptedProvider("A dot.", repeat=True)
        client = aio.client(provider)
        await client.chat(text, images=[PNG])
        await aio.Agent(client).run(text, images=[PNG])
        async for _ in client.generate(text, images=[PNG], stream=True):
            pass
        for empty in ((), []):
            with pytest.raises(InvalidOptionError):
                client.chat(text, images=empty)
        assert len(provider.requests) == 3


@pytest.mark.parametrize("given", [Plain("tides"), Name.TIDES])
async def test_a_subclass_of_str_is_kept_as_a_plain_str(given):
    client = aio.client(ScriptedProvider("Fine."), system=given)
    await client.chat(given)
    for message in client.messages[:2]:
        assert message["content"] == "tides"
        assert type(message["content"]) is str
    assert json.loads(json.dumps(client.messages)) == client.messages


async def test_the_tasks_of_amap_are_checked_one_by_one():
    provider = ScriptedProvider("Fine.")
    agent = aio.Agent(aio.client(provider))
    async with aio.amap(agent, ["Go.", None, ""], max_concurrency=1, on_error="collect") as results:
        found = [result async for _, result in results]
    assert found[0] == "Fine."
    assert [type(result) for result in found[1:]] == [InvalidOptionError] * 2
    assert "a task of amap must be a string, got None" in str(found[1])
    with pytest.raises(InvalidOptionError) as caught:
        async with aio.amap(lambda: agent, [5]) as results:
            async for _ in results:
                pass
    assert caught.value.__notes__ == ["in task 0 of amap"]


@pytest.mark.parametrize("bad", [{"role": "system"}, 5, [], ["Be brief."], b"Be brief.", True], ids=repr)
@pytest.mark.parametrize("which", [0, 1], ids=["aio", "sync"])
def test_a_system_message_is_a_text_or_none(which, bad):
    room, client = clients()[which]
    client.system_message = "Be brief."
    runners = agents if room is aimu else aio
    agent = runners.Agent(client)

    def assign(handle):
        handle.system_message = bad

    for ask in (
        lambda: room.client(ScriptedProvider(), system=bad),
        lambda: assign(client),
        lambda: client.reset(bad),
        lambda: client.fork(bad),
        lambda: client.fork(system=bad, keep_history=True),
        lambda: runners.Agent(client, bad),
        lambda: agent.fork(bad),
        lambda: assign(agent),
        lambda: runners.Chain.from_client(client, [bad]),
    ):
        with pytest.raises(InvalidOptionError, match="a system message must be a string or None, got"):
            ask()
    assert client.messages == agent.messages["agent"] == [{"role": "system", "content": "Be brief."}]


async def test_a_loaded_system_message_that_is_no_text_is_never_turned_into_one():
    client = aio.client(ScriptedProvider())
    for content in (None, 5, [{"type": "text", "text": "Be brief."}]):
        client.messages = [{"role": "system", "content": content}]
        assert client.system_message is None
        fork = client.fork()
        agent = aio.Agent(client, reset_messages_on_run=True)
        for ask in (client.chat, fork.chat, agent.run):
            with pytest.raises(InvalidHistoryError, match=r"messages\[0\]"):
                await ask("Go.")
        with pytest.raises(InvalidHistoryError, match=r"messages\[0\]"):
            client.reset()
        client.reset("Be brief.")
        assert client.messages == [{"role": "system", "content": "Be brief."}]


@pytest.mark.parametrize("which", [0, 1], ids=["aio", "sync"])
def test_the_histories_of_a_runner_cannot_be_assigned_into(which):
    room, client = clients()[which]
    room = agents if room is aimu else aio
    client.system_message = "Be brief."
    agent = room.Agent(client, name="clerk")
    for runner, name in ((agent, "clerk"), (room.Chain([agent]), "clerk")):
        view = runner.messages
        for change in (
            lambda view=view: view.__setitem__("clerk", []),
            lambda view=view: view.__delitem__("clerk"),
            lambda view=view: view.update(clerk=[]),
            lambda view=view: view.setdefault("other", []),
            lambda view=view: view.pop("clerk"),
            lambda view=view: view.popitem(),
            lambda view=view: view.clear(),
            lambda view=view: view.__ior__({}),
        ):
            with pytest.raises(TypeError, match=r"runner.messages = \{...\}, or agent.history = \[...\]"):
                change()
        plain = {name: [{"role": "system", "content": "Be brief."}]}
        assert view == plain
        assert list(view) == [name]
        assert json.loads(json.dumps(view)) == plain
        assert isinstance(view, dict)
        for copied in (copy.copy(view), copy.deepcopy(view), pickle.loads(pickle.dumps(view)), view.copy(), view | {}):
            assert copied == plain
            copied["other"] = []
        assert copy.deepcopy(view)[name] is not view[name]
