"""The user's own check of a typed answer: what it says, what it fails with, and what it runs."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

import aimu
from aimu import aio
from aimu.errors import OutputError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import current_call, tool
from aimu.types import Usage
from tests.output.kinds import Cat
from tests.output.test_runs import CAT, WAYS, agent_of


@WAYS
@pytest.mark.parametrize("sync", [True, False])
async def test_a_validator_sends_reasons_back(way, sync):
    seen = []

    def check(cat):
        seen.append(cat.lives)
        if cat.lives < 9:
            raise ValueError("it has too few lives", "and no name")

    async def check_later(cat):
        await checkpoint()
        check(cat)

    agent, _ = agent_of(CAT, '{"kind": "cat"}')
    answer = await way(agent, output_type=Cat, output_validator=check if sync else check_later)
    assert (answer.output.lives, seen) == (9, [3, 9])
    assert "- it has too few lives\n- and no name\n" in agent.history[2]["content"]


class _Named(ValueError):
    def __str__(self) -> str:
        return f"no {self.args[0]}"


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (ValueError("a", "b"), ("a", "b")),
        (ValueError(), ("ValueError",)),
        (ValueError(" "), ("ValueError",)),
        (_Named("name"), ("no name",)),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "odd"), ("'utf-8' codec can't decode byte 0x78 in position 0: odd",)),
    ],
)
async def test_every_error_of_a_validator_says_what_is_wrong(error, reasons):
    def check(cat):
        raise error

    with pytest.raises(OutputError) as caught:
        await agent_of(CAT)[0].run("Go.", output_type=Cat, output_validator=check, output_retries=0)
    assert caught.value.reasons == reasons


async def test_a_reason_from_a_task_group_of_a_validator_is_one_too():
    async def refuse():
        raise ValueError("it has too few lives")

    async def check(cat):
        async with anyio.create_task_group() as group:
            group.start_soon(refuse)
            group.start_soon(anyio.sleep_forever)

    with pytest.raises(OutputError) as caught:
        await agent_of(CAT)[0].run("Go.", output_type=Cat, output_validator=check, output_retries=0)
    assert caught.value.reasons == ("it has too few lives",)


async def test_what_a_validator_fails_with_is_the_failure_of_the_run():
    def check(cat):
        raise aimu.errors.BadRequestError("the validator's own model failed")

    agent, _ = agent_of(CAT)
    with pytest.raises(aimu.errors.BadRequestError):
        await agent.run("Go.", output_type=Cat, output_validator=check)

    def broken(cat):
        raise KeyError("x")

    with pytest.raises(KeyError):
        await agent_of(CAT)[0].run("Go.", output_type=Cat, output_validator=broken)


async def test_a_validator_may_run_an_agent():
    judge, _ = agent_of("It is fine.")

    async def check(cat):
        assert await judge.run(str(cat)) == "It is fine."

    agent, _ = agent_of(CAT)
    answer = await agent.run("Go.", output_type=Cat, output_validator=check)
    assert (answer.output.lives, answer.requests) == (3, 2)


@WAYS
@pytest.mark.parametrize("sync", [True, False])
async def test_what_a_validator_asks_of_models_counts_in_the_run(way, sync):
    contexts = []

    @tool
    def look() -> str:
        """Look."""
        contexts.append(current_call().context)
        return "fine"

    steps = reply(calls=[("look", {})], usage=Usage(input=3, output=1)), reply("Fine.", usage=Usage(input=5, output=1))

    def check(cat):
        aimu.agents.Agent(aimu.client(ScriptedProvider(*steps)), tools=[look]).run(str(cat))

    async def check_later(cat):
        await aio.Agent(aio.client(ScriptedProvider(*steps)), tools=[look]).run(str(cat))

    agent, _ = agent_of(reply(CAT, usage=Usage(input=2, output=1)))
    options = {"output_validator": check if sync else check_later, "context": "mine"}
    answer = await way(agent, output_type=Cat, **options)
    assert (answer.requests, answer.iterations, answer.usage.input) == (3, 1, 10)
    assert contexts == ["mine"]
    assert answer.new_messages == agent.history
