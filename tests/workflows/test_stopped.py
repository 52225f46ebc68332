"""Workflows that are stopped anywhere leave valid histories, free conversations, and nothing running."""

import json
from contextlib import suppress
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import check_history, text_of
from aimu.aio import (
    Chain,
    EvaluatorOptimizer,
    OrchestratorAgent,
    Parallel,
    PlanExecuteEvaluator,
    Router,
    SkillAgent,
    StreamingContentType,
)
from aimu.aio._runner import leaves
from aimu.evals import Scorer
from aimu.skills import SkillManager
from aimu.testing import cancel_everywhere, leak_check, reply
from aimu.tools import tool
from tests.workflows.models import Shout, agent, asked, live, model, read, text_by

MODES = ["plain", "bare", "held", "entered"]
MINIMUM = {"plain": 10, "bare": 17, "held": 17, "entered": 24}
WAYS = [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")]


@tool
async def look() -> str:
    """Look."""
    await checkpoint()
    return "seen"


def looker(request):
    if request.messages[-1]["role"] == "tool":
        return "I have looked."
    return reply("Let me look.", calls=[("look", {})])


def boss(request):
    if request.messages[-1]["role"] == "tool":
        return "All in all."
    return reply("You two.", calls=[("look_1", {"task": "left"}), ("look_2", {"task": "right"})])


ANSWERS = {
    "look": looker,
    "boss": boss,
    "route": "To the chain!",
    "write": lambda request: "second draft" if "Feedback" in asked(request) else "first draft",
    "judge": lambda request: "PASS" if "second draft" in asked(request) else "Once more.",
    "plan": lambda request: "plan two" if "Feedback" in asked(request) else "plan one",
}


class Judge(Scorer):
    async def score(self, row):
        await checkpoint()
        return float("two" in row["plan"]), "because"


def crew(provider):
    looking = agent(provider, "look", "same", tools=[look])
    return Parallel([looking, agent(provider, "say", "same"), Shout()], "crew", separator=" ")


def nested(provider):
    chain = Chain([agent(provider, "say", "same"), crew(provider)])
    return Parallel([crew(provider), chain], aggregator=agent(provider, "sum"), separator=" ")


def routed(provider):
    return Router(agent(provider, "route"), {"chain": Chain([crew(provider), agent(provider, "sum")])})


def revised(provider):
    return EvaluatorOptimizer(agent(provider, "write"), Parallel([agent(provider, "judge")]))


def planned(provider):
    planner = SkillAgent(aio.client(provider), "plan", "planner", skill_manager=SkillManager([]))
    return PlanExecuteEvaluator(planner, agent(provider, "look", tools=[look]), Judge())


def orchestrated(provider):
    workers = [agent(provider, "look", f"look_{n}", tools=[look]) for n in (1, 2)]
    return Chain([OrchestratorAgent.assemble(aio.client(provider), "boss", workers=workers), agent(provider, "sum")])


SHAPES = {
    nested: "sum(I have looked. say(go) GO I have looked. say(say(go)) SAY(GO))",
    routed: "sum(I have looked. say(go) GO)",
    revised: "second draft",
    planned: "I have looked.",
    orchestrated: "sum(All in all.)",
}


class Break(Exception):
    pass


class Stopped:
    """A run of a workflow that is stopped at some point, and a run after it."""

    def __init__(self, shape, mode, *, stop_at=None, raising=False):
        self.mode, self.stop_at, self.raising, self.answer = mode, stop_at, raising, SHAPES[shape]
        self.provider = model(ANSWERS)
        self.runner = shape(self.provider)
        self.seen, self.stopped, self.stream = {}, False, None

    async def run(self):
        if self.mode == "plain":
            assert await self.runner.run("go") == self.answer
            return
        stream = self.runner.run("go", stream=True)
        if self.mode == "held":
            self.stream = stream
        with suppress(Break):
            if self.mode == "entered":
                async with stream:
                    await self.read(stream)
            else:
                await self.read(stream)
        if self.mode == "closed":
            await stream.aclose()
        if not self.stopped:
            assert stream.result == self.answer

    async def read(self, stream):
        number = 0
        async for chunk in stream:
            number += 1
            if chunk.is_text() and chunk.agent != "shout":
                self.seen[chunk.agent] = self.seen.get(chunk.agent, "") + chunk.content
            if number == self.stop_at:
                self.stopped = True
                if self.raising:
                    raise Break
                break

    async def check(self, *, completed):
        if self.mode == "closed" and completed:
            assert self.provider.open_streams == 0, "open after aclose"
        if self.mode != "held":
            self.check_histories()
        assert await self.runner.run("go") == self.answer
        self.check_histories(after_another_run=True)
        self.stream = None
        for _ in range(10):  # lets the backend close dropped generators
            await checkpoint()
        assert self.provider.open_streams == 0, "a provider's stream is open"

    def check_histories(self, *, after_another_run=False):
        messages = self.runner.messages
        for name, history in messages.items():
            if not name.startswith("shout"):
                check_history(history)
        for leaf in leaves(self.runner):
            client = getattr(leaf, "model_client", None)
            assert client is None or not client.conversation.busy, f"{leaf!r} is busy"
        if not after_another_run:  # another run resets the calls of workers
            for name, text in self.seen.items():
                said = "".join(text_of(message) for message in messages[name] if message["role"] == "assistant")
                assert said.startswith(text.rstrip()), (name, text, said)
        assert json.dumps(messages)


@pytest.mark.parametrize(("backend", "how"), WAYS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_workflow_cancelled_at_any_step_leaves_valid_histories(shape, mode, backend, how):
    make = partial(Stopped, shape, mode)
    make.__qualname__ = f"{shape.__name__}, {mode}"
    cancel_everywhere(make, backend=backend, how=how, minimum=MINIMUM[mode])


@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")  # trio, bare form only
@pytest.mark.parametrize("raising", [False, True], ids=["break", "raise"])
@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_a_workflow_stream_left_at_any_chunk_leaves_valid_histories(shape, mode, raising):
    async with leak_check():
        for number in range(1, 1000):
            scenario = Stopped(shape, mode, stop_at=number, raising=raising)
            with anyio.fail_after(10):
                await scenario.run()
                await scenario.check(completed=True)
            if not scenario.stopped:
                break
        print(f"{shape.__name__}, {mode}: left at {number - 1} chunks")
        assert number > 5
    assert not scenario.stopped


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_a_pulled_stream_closed_at_any_chunk_leaves_nothing_open(shape):
    for number in range(1, 1000):
        scenario = Stopped(shape, "closed", stop_at=number)
        with anyio.fail_after(10):
            await scenario.run()
            await scenario.check(completed=True)
        if not scenario.stopped:
            break
    assert number > 5


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_a_bare_stream_shows_the_same_as_a_live_one(shape):
    shown = [await way(shape(model(ANSWERS)).run("go", stream=True)) for way in (read, live)]
    texts = [text_by(chunks) for chunks in shown]
    assert texts[0] == texts[1]
    assert len(shown[0]) == len(shown[1])


@pytest.mark.parametrize("way", [read, live])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_chunks_carry_the_keys_of_messages_at_any_depth(shape, way):
    runner = shape(model(ANSWERS))
    chunks = await way(runner.run("go", stream=True))
    assert chunks[-1].phase is StreamingContentType.DONE
    assert chunks[-1].agent == runner.name
    for chunk in chunks[:-1]:
        assert chunk.phase is not StreamingContentType.DONE
        if chunk.agent != "shout":  # a user runner names itself
            said = [text_of(message) for message in runner.messages[chunk.agent] if message["role"] == "assistant"]
            assert not chunk.is_text() or any(chunk.content in text for text in said)
