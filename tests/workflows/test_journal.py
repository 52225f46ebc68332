"""amap(journal=path): a batch that goes on where it was cut off."""

import os
import signal
import threading
import time
import types

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import frozen
from pydantic import BaseModel, field_validator

import aimu
from aimu import agents, aio
from aimu.aio import AsyncRunner, Parallel
from aimu.errors import JournalError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from aimu.types import Answer, StopReason, Usage
from tests.workflows.journals import mapped, plain, recorded, tasks_of
from tests.workflows.models import agent, asked, model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch.jsonl"


def facts(answer):
    return {"text": str(answer), **vars(answer), "parts": [facts(part) for part in answer.parts]}


async def test_what_the_journal_has_is_not_asked_again(path):
    first, second = model(), model()
    assert await mapped(agent(first, "w"), ["a", "b"], path) == {0: "w(a)", 1: "w(b)"}
    assert await mapped(agent(second, "w"), ["a", "b", "c"], path) == {0: "w(a)", 1: "w(b)", 2: "w(c)"}
    assert tasks_of(second) == ["c"]
    third = model()
    assert await mapped(agent(third, "w"), iter(["c", "a"]), str(path)) == {0: "w(c)", 1: "w(a)"}
    assert not third.requests


async def test_a_task_that_failed_or_was_cut_off_is_asked_again(path):
    def answer(request):
        return {"bad": ValueError("no"), "slow": reply("late", delay=1000)}.get(asked(request), "yes")

    broken = ScriptedProvider(answer, repeat=True)
    with pytest.raises(ValueError, match="no"):
        await mapped(agent(broken, "w"), ["good", "slow", "bad"], path)
    collected = ScriptedProvider(answer, repeat=True)
    found = await mapped(agent(collected, "w"), ["good", "bad"], path, on_error="collect")
    assert (found[0], repr(found[1])) == ("yes", "ValueError('no')")
    assert tasks_of(collected) == ["bad"]
    mended = ScriptedProvider("well", repeat=True)
    found = await mapped(agent(mended, "w"), ["good", "slow", "bad"], path)
    assert found == {0: "yes", 1: "well", 2: "well"}
    assert sorted(tasks_of(mended)) == ["bad", "slow"]


@tool
def look(at: str) -> str:
    """Look."""
    return "seen — 'ü' \ud83d"


async def test_an_answer_comes_back_with_all_its_facts(path):
    def answer(request):
        if request.messages[-1]["role"] == "tool":
            return reply("Fine.\n\u2028 ü \ud83d", usage=Usage(input=5, output=2, reasoning=1), thinking="Hm.")
        return reply(calls=[("look", {"at": "ü"})], usage=Usage(input=3, cache_read=1))

    def runner():
        provider = ScriptedProvider(answer, repeat=True)
        return Parallel([agent(provider, "one", tools=[look]), agent(provider, "two", tools=[look])], name="both")

    found = await mapped(runner, ["a"], path)
    again = await mapped(
        lambda: Parallel(
            [agent(ScriptedProvider(), "one", tools=[look]), agent(ScriptedProvider(), "two", tools=[look])],
            name="both",
        ),
        ["a"],
        path,
    )
    assert facts(again[0]) == facts(found[0])
    assert type(again[0].stop_reason) is StopReason
    assert again[0].usage == Usage(input=16, output=4, cache_read=2, reasoning=2)
    assert [part.agent for part in again[0].parts] == ["one", "two"]
    assert again[0].parts[0].new_messages[2]["name"] == "look"


async def test_a_single_agents_facts_come_back(path):
    found = await mapped(agent(ScriptedProvider(reply("x", stop_reason=StopReason.MAX_TOKENS)), "w"), ["a"], path)
    again = await mapped(agent(ScriptedProvider(), "w"), ["a"], path)
    assert facts(again[0]) == facts(found[0])
    assert (again[0].agent, again[0].model, again[0].iterations, again[0].requests) == ("w", "scripted", 1, 1)
    assert again[0].stop_reason is StopReason.MAX_TOKENS
    assert again[0].new_messages == [{"role": "user", "content": "a"}, *found[0].new_messages[1:]]


class Pet(BaseModel):
    name: str
    age: int


@frozen
class Point:
    x: int


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Pet, '{"name": "Rex", "age": 3}', Pet(name="Rex", age=3)),
        (Point, '{"x": 1}', Point(1)),
        (list[int], "[1, 2]", [1, 2]),
    ],
)
async def test_a_typed_answer_comes_back_with_its_value(path, kind, text, value):
    checked = []

    async def check(value):
        await checkpoint()
        checked.append(value)

    options = {"output_type": kind, "output_validator": check}
    found = await mapped(agent(ScriptedProvider(text), "w"), ["a"], path, **options)
    again = await mapped(agent(ScriptedProvider(), "w"), ["a"], path, **options)
    assert again[0].output == found[0].output == value
    assert type(again[0].output) is type(value)
    assert checked == [value, value]


async def test_a_recorded_answer_that_no_longer_fits_its_type_is_asked_again(path):
    def kind(least):
        class Old(BaseModel):
            age: int

            @field_validator("age")
            @classmethod
            def check(cls, age):
                if age < least:
                    raise ValueError(f"must be at least {least}")
                return age

        return Old

    tasks = ["a", "b"]
    provider = ScriptedProvider(lambda request: {"a": '{"age": 3}', "b": '{"age": 9}'}[asked(request)], repeat=True)
    await mapped(agent(provider, "w"), tasks, path, output_type=kind(0))
    stricter = ScriptedProvider('{"age": 8}')
    found = await mapped(agent(stricter, "w"), tasks, path, output_type=kind(5))
    assert {index: answer.output.age for index, answer in found.items()} == {0: 8, 1: 9}
    again = await mapped(agent(ScriptedProvider(), "w"), tasks, path, output_type=kind(5))
    assert {index: answer.output.age for index, answer in again.items()} == {0: 8, 1: 9}


async def test_equal_tasks_are_told_apart_by_their_number(path):
    held = anyio.Event()
    numbers = iter("12")

    class Late(AsyncRunner):
        messages = types.MappingProxyType({})
        name = "late"

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            number = next(numbers)
            if number == "1":
                await held.wait()
            return f"{task}{number}"

    async with aio.amap(Late, ["x", "x"], journal=path) as results:
        assert await anext(results) == (1, "x2")
    numbers = iter("34")
    assert await mapped(Late, ["x", "x", "y"], path) == {0: "x3", 1: "x2", 2: "y4"}


class Kept(AsyncRunner):
    """A runner of the user's own that returns what it was given."""

    messages = types.MappingProxyType({})

    def __init__(self, answer):
        self._answer = answer

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        await checkpoint()
        return self._answer


async def test_an_output_that_json_cannot_keep_is_refused_with_the_remedy(path):
    assert await mapped(lambda: Kept(Answer("a", output={"n": [1]})), ["a"], path) == {0: "a"}
    again = await mapped(lambda: Kept(None), ["a"], path)
    assert again[0].output == {"n": [1]}
    for value in (Pet(name="Rex", age=3), (1, 2), {1, 2}):
        with pytest.raises(JournalError, match="an answer cannot be kept as JSON.*pass output_type= to amap"):
            await mapped(lambda value=value: Kept(Answer("a", output=value)), ["b"], path, on_error="collect")


def test_the_sync_twin_goes_on_with_the_journal_of_the_async_one(path):
    anyio.run(mapped, plain(model()), ["a"], path)
    provider = model()
    worker = agents.Agent(aimu.client(provider), "Count.", "w")
    with agents.amap(worker, ["a", "b"], journal=path) as results:
        assert dict(results) == {0: "Count.(a)", 1: "Count.(b)"}
    assert tasks_of(provider) == ["b"]
    with pytest.raises(JournalError, match="differs from this one in name"):
        with agents.amap(agents.Agent(aimu.client(provider), "Count."), ["a"], journal=path) as results:
            dict(results)


def test_a_sync_batch_that_is_left_early_goes_on(path):
    provider = model()
    worker = agents.Agent(aimu.client(provider), "Count.", "w")
    with agents.amap(worker, [str(n) for n in range(9)], journal=path, max_concurrency=2) as results:
        for _ in results:
            break
    done = len(path.read_bytes().splitlines()) - 1
    assert 1 <= done < 9
    again = model()
    with agents.amap(agents.Agent(aimu.client(again), "Count.", "w"), map(str, range(9)), journal=path) as results:
        assert dict(results) == {n: f"Count.({n})" for n in range(9)}
    assert len(again.requests) == 9 - done


@pytest.mark.parametrize("where", ["in the body", "in a request"])
def test_a_sync_batch_that_ctrl_c_stops_goes_on(path, where):
    def press():
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()

    def answer(request):
        if where == "in a request" and asked(request) == "4":
            press()
            return reply(delay=3600.0)
        return asked(request)

    worker = agents.Agent(aimu.client(ScriptedProvider(answer, repeat=True)), "Count.", "w")
    got = {}
    with pytest.raises(KeyboardInterrupt):
        with agents.amap(worker, map(str, range(9)), journal=path, max_concurrency=2) as results:
            for index, text in results:
                got[index] = text
                if where == "in the body" and len(got) == 3:
                    press()
                    time.sleep(3600)
    done = recorded(path)
    assert {*got.values()} <= {*done} < {*map(str, range(9))}
    provider = ScriptedProvider(asked, repeat=True)
    with agents.amap(agents.Agent(aimu.client(provider), "Count.", "w"), map(str, range(9)), journal=path) as results:
        assert dict(results) == {n: str(n) for n in range(9)}
    assert sorted([*done, *tasks_of(provider)]) == [*map(str, range(9))]


def test_a_sync_runner_of_the_users_own_has_a_journal_too(path):
    class Loud(agents.Runner):
        messages = types.MappingProxyType({})
        asked = 0

        def run(self, task, generate_kwargs=None, stream=False, images=None):
            Loud.asked += 1
            return task.upper()

    for _ in range(2):
        with agents.amap(Loud, ["a", "b"], journal=path) as results:
            assert dict(results) == {0: "A", 1: "B"}
    assert Loud.asked == 2
