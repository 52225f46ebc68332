"""Text beside the call of the output tool: the answer is the arguments alone, in history, stream and value alike."""

import pytest

import aimu
from aimu.aio import StreamingContentType
from aimu.testing import ScriptedProvider, reply
from tests.output.kinds import Cat
from tests.output.test_runs import CAT, WAYS, agent_of

ANSWER, OTHER = ("final_answer", {"kind": "cat", "lives": 3}), ("final_answer", {"kind": "cat", "lives": 7})
LOOK = ("add", {"a": 1, "b": 2})
TYPED = {"output_type": Cat, "output_mode": "tool"}


@WAYS
@pytest.mark.parametrize("thinking", ["", "Hm."])
@pytest.mark.parametrize("beside", [[], [LOOK]])
async def test_text_beside_the_call_is_thinking(way, thinking, beside):
    step = reply("I am done.", calls=[ANSWER, *beside], thinking=thinking)
    agent, _ = agent_of(step)
    answer = await way(agent, **TYPED)
    assert (answer, answer.output.lives) == (CAT, 3)
    assert agent.history[-1]["content"] == CAT
    assert agent.history[1]["thinking"] == (f"{thinking}\n\nI am done." if thinking else "I am done.")
    assert agent.model_client.last_thinking == agent.history[1]["thinking"]


@pytest.mark.parametrize("pieces", [1, 4])
async def test_a_stream_shows_what_is_kept(pieces):
    agent, _ = agent_of(reply("I am done.", calls=[ANSWER], pieces=pieces))
    said = {StreamingContentType.THINKING: "", StreamingContentType.GENERATING: ""}
    stream = agent.run("Go.", stream=True, **TYPED)
    async for chunk in stream:
        if chunk.phase in said:
            said[chunk.phase] += chunk.content
    assert list(said.values()) == [agent.history[1]["thinking"], agent.history[1]["content"]] == ["I am done.", CAT]
    assert stream.result == CAT
    assert stream.partial == {"kind": "cat", "lives": 3}


@WAYS
@pytest.mark.parametrize("text", ["I give {this} now.", 'It is {"lives": 3}.', '{"lives": 3}', "```json\n", "\n\n"])
async def test_any_text_may_stand_beside_the_call(way, text):
    agent, _ = agent_of(reply(text, calls=[ANSWER], pieces=3))
    answer = await way(agent, **TYPED)
    assert (answer, answer.output.lives, answer.requests) == (CAT, 3, 1)
    assert agent.history[-1].get("thinking", "") == (text if text.strip() else "")


@WAYS
async def test_text_beside_other_calls_stays_text(way):
    agent, _ = agent_of(reply("Let me look.", calls=[LOOK]), reply(calls=[ANSWER]))
    assert (await way(agent, **TYPED)).output.lives == 3
    assert agent.history[1]["content"] == "Let me look."


@WAYS
async def test_the_same_answer_twice_is_one(way):
    agent, _ = agent_of(reply(calls=[ANSWER, ANSWER]))
    answer = await way(agent, **TYPED)
    assert (answer, answer.requests) == (CAT, 1)


@WAYS
async def test_two_answers_that_differ_go_back_to_the_model(way):
    agent, _ = agent_of(reply("Both.", calls=[ANSWER, LOOK, OTHER]), reply(calls=[OTHER]))
    answer = await way(agent, **TYPED)
    assert (answer.output.lives, answer.requests) == (7, 2)
    assert [message["role"] for message in agent.history[1:]] == ["assistant", "tool", "assistant", "user", "assistant"]
    assert agent.history[3]["content"] == '{"kind": "cat", "lives": 3}\n{"kind": "cat", "lives": 7}'
    assert "- there are 2 answers; give one\n" in agent.history[4]["content"]


def test_the_sync_surface_gives_the_same():
    agent = aimu.agents.Agent(aimu.client(ScriptedProvider(reply("I am done.", calls=[ANSWER]))))
    with agent.run("Go.", stream=True, **TYPED) as stream:
        assert "".join(stream.text_stream) == CAT
    assert (stream.result.output.lives, agent.history[-1]["thinking"]) == (3, "I am done.")
