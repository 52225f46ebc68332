"""`resume` with a type: whatever history it continues, plain, streamed and on the sync surface."""

import pytest

import aimu
from aimu.errors import InvalidOptionError, NothingToResumeError, OutputError
from aimu.testing import ScriptedProvider, reply
from tests.output.kinds import Cat
from tests.output.test_runs import CAT, DOG, MODES, WRONG, agent_of

HISTORIES = {
    "question": [{"role": "user", "content": "Go."}],
    "interrupted": [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": '{"kind": ', "interrupted": True, "stop_reason": "interrupted"},
    ],
    "results": [
        {"role": "user", "content": "Go."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "add", "content": "3"},
    ],
    "invalid": [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": DOG, "stop_reason": "invalid_output"},
    ],
}


async def plain(agent, **options):
    return await agent.resume(**options)


async def pulled(agent, **options):
    stream = agent.resume(stream=True, **options)
    async for _ in stream:
        pass
    return stream.result


async def entered(agent, **options):
    async with agent.resume(stream=True, **options) as stream:
        async for _ in stream:
            pass
        assert stream.partial is not None
    return stream.result


WAYS = pytest.mark.parametrize("way", [plain, pulled, entered])


@WAYS
@MODES
@pytest.mark.parametrize("name", HISTORIES)
async def test_the_continued_answer_has_its_value(way, mode, name):
    agent, provider = agent_of(CAT)
    agent.history = HISTORIES[name]
    answer = await way(agent, output_type=Cat, output_mode=mode)
    assert (answer, answer.output) == (CAT, Cat(kind="cat", lives=3))
    assert agent.history[-1] == {"role": "assistant", "content": CAT}
    asked = str(provider.requests[0].messages[-1]["content"])
    assert ("JSON Schema" in asked) == (mode == "prompt")


@WAYS
async def test_an_answer_that_does_not_fit_goes_back_with_the_reasons(way):
    agent, _ = agent_of(DOG, '{"kind": "cat", "lives": 1}', CAT)
    agent.history = HISTORIES["question"]
    seen = []

    def check(cat):
        seen.append(cat.lives)
        if cat.lives < 3:
            raise ValueError("it has too few lives")

    answer = await way(agent, output_type=Cat, output_validator=check)
    assert (answer.output.lives, answer.requests, seen) == (3, 3, [1, 3])
    assert agent.history[2]["content"] == WRONG


@WAYS
async def test_a_run_that_failed_to_fit_goes_on(way):
    agent, _ = agent_of(DOG, DOG, reply(calls=[("final_answer", {"kind": "cat", "lives": 3})]))
    with pytest.raises(OutputError):
        await agent.run("Go.", output_type=Cat, output_retries=0)
    with pytest.raises(OutputError):
        await way(agent, output_type=Cat, output_retries=0)
    assert (await way(agent, output_type=Cat, output_mode="tool")).output.lives == 3
    with pytest.raises(NothingToResumeError):
        await way(agent, output_type=Cat)


async def test_options_of_the_output_are_checked_at_the_call():
    agent, _ = agent_of(CAT)
    agent.history = HISTORIES["question"]
    with pytest.raises(InvalidOptionError, match="output_retries needs output_type"):
        agent.resume(output_retries=1)
    with pytest.raises(InvalidOptionError, match="output_mode must be one of"):
        agent.resume(output_type=Cat, output_mode="json", stream=True)
    assert await agent.resume() == CAT


async def test_an_agent_under_a_client_of_its_own_is_held_too():
    agent, provider = agent_of(DOG, CAT)
    agent.history = HISTORIES["question"]
    handle = agent.as_model_client()
    assert (await agent.resume(output_type=Cat)).output.lives == 3
    assert [request.output is not None for request in provider.requests] == [True, True]
    assert handle.messages == agent.history


def test_the_sync_surface_gives_the_same():
    agent = aimu.agents.Agent(aimu.client(ScriptedProvider(DOG, CAT, CAT)))
    agent.history = HISTORIES["question"]
    answer = agent.resume(output_type=Cat)
    assert (answer.output.lives, answer.requests) == (3, 2)
    agent.history = HISTORIES["interrupted"]
    with agent.resume(stream=True, output_type=Cat) as stream:
        assert "".join(stream.text_stream) == CAT
    assert stream.result.output.lives == 3
