"""Every runner end to end, on the real tiny model."""

import os

import pytest

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import (
    Agent,
    Chain,
    EvaluatorOptimizer,
    OrchestratorAgent,
    Parallel,
    PlanExecuteEvaluator,
    Router,
    SkillAgent,
)
from aimu.evals import Scorer
from aimu.skills import SkillManager
from aimu.testing import tiny_model
from aimu.tools import tool

HELPFUL = "You are a helpful assistant."
ROUTER = "You are a router. Answer with one word: math, weather or chat."
REVIEWER = "Answer PASS if the response is good. Otherwise give feedback."


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return "sunny, 21 C"


@pytest.fixture(scope="module")
def weights():
    with aimu.client(f"hf:{os.fspath(tiny_model())}", threads=1) as client:
        yield client


@pytest.fixture
def client(weights):
    return aio.client(weights).fork()


@pytest.fixture
def skills(tmp_path):
    (tmp_path / "haiku").mkdir()
    (tmp_path / "haiku" / "SKILL.md").write_text("---\nname: haiku\ndescription: Writes haiku.\n---\nText\n")
    return SkillManager([tmp_path])


def clerk(client, name="clerk"):
    return Agent(client, HELPFUL, name, tools=[add, get_weather])


def valid(runner):
    for history in runner.messages.values():
        check_history(history)
    return runner.messages


async def test_a_chain_passes_answers_on(client):
    class Question(aio.AsyncRunner):
        messages = {}  # noqa: RUF012

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            return f"What is {task} plus 1?"

    chain = Chain([Question(), clerk(client)])
    assert await chain.run("41") == "The answer is 42."
    assert list(valid(chain)) == ["clerk"]


async def test_a_router_selects_a_handler(client):
    handlers = {"math": clerk(client, "math"), "weather": clerk(client, "weather"), "chat": HELPFUL}
    router = Router.from_client(client, ROUTER, handlers)
    assert await router.run("What is 17 plus 25?") == "The answer is 42."
    assert await router.run("Weather in Oslo?") == "Oslo: sunny, 21 C."
    assert len(valid(router)["math"]) == len(router.messages["weather"]) == 5


async def test_workers_in_parallel_stream_together(client):
    parallel = Parallel([clerk(client), clerk(client), clerk(client)])
    async with parallel.run("What is 17 plus 25?", stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    assert stream.result == parallel.separator.join(["The answer is 42."] * 3)
    assert {chunk.agent for chunk in chunks[:-1]} == {"clerk", "clerk_2", "clerk_3"} == set(valid(parallel))


async def test_an_evaluator_optimizer_revises_until_the_draft_passes(client):
    loop = EvaluatorOptimizer(clerk(client), Agent(client, REVIEWER, "reviewer"))
    assert await loop.run("What is 17 plus 25?") == "The answer is 42."
    assert valid(loop)["reviewer"][-1]["content"] == "PASS"


async def test_an_orchestrator_calls_its_workers_and_its_own_tools(client):
    class Office(OrchestratorAgent):
        def __init__(self):
            self.forecaster = clerk(client, "forecaster")

            @tool(name="get_weather")
            async def ask_forecaster(city: str) -> str:
                """Get the weather in a city."""
                said = await self.forecaster.run(f"Weather in {city}?")
                return said.removeprefix(f"{city}: ").removesuffix(
                    "."
                )  # the format of the real tool, which the model knows

            self._init_orchestrator(client, name="office", system_message=HELPFUL, tools=[add, ask_forecaster])

    office = Office()
    async with office.run("Weather in Oslo?", stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    assert stream.result == "Oslo: sunny, 21 C."
    assert {"office", "forecaster"} == {chunk.agent for chunk in chunks} == set(valid(office))


async def test_an_agent_loads_a_skill(client, skills):
    agent = SkillAgent(client, HELPFUL, tools=[add], skill_manager=skills)
    assert await agent.run("What is 17 plus 25?") == "The answer is 42."
    assert "haiku" in valid(agent)["agent"][0]["content"]


async def test_a_plan_execute_evaluator_runs_end_to_end(client, skills):
    class Length(Scorer):
        def score(self, row):
            return len(row["output"]) / 10_000, "longer"

    loop = PlanExecuteEvaluator.from_client(client, judge_client=client, skill_manager=skills, max_rounds=2)
    loop.scorer = Length()
    answer = await loop.run("Say hello.", {"max_tokens": 100})
    outputs = [message["content"] for message in valid(loop)["executor"] if message["role"] == "assistant"]
    assert len(outputs) == 2
    assert answer == max(outputs, key=len)


async def test_a_map_answers_many_tasks(client):
    async with aio.amap(clerk(client), [f"What is {n} plus 1?" for n in range(6)], max_concurrency=3) as results:
        answers = dict([result async for result in results])
    assert answers == {n: f"The answer is {n + 1}." for n in range(6)}


async def test_a_run_on_a_model_in_this_process_costs_nothing(weights):
    team = Chain.from_client(aio.client(weights), [HELPFUL, HELPFUL])
    answer = await team.run("Hello!")
    assert (answer.cost, answer.requests, answer.agent) == (0.0, 2, "step_2")
    assert answer.usage.output > 0
