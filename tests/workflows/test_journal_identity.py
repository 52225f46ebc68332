"""amap(journal=path): whose answers a journal has, and what it does not answer for."""

import types

import pytest

from aimu import aio
from aimu.aio import AsyncRunner, Chain, EvaluatorOptimizer, OrchestratorAgent, PlanExecuteEvaluator, Router, SkillAgent
from aimu.errors import JournalError
from aimu.evals import LLMJudgeScorer
from aimu.skills import SkillManager
from aimu.testing import ScriptedProvider
from aimu.tools import tool
from tests.workflows.journals import mapped, plain
from tests.workflows.models import Shout, model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch.jsonl"


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def changed_docs(function=add):
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return function(a, b)

    return add


def seeded(client):
    client.messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    return client


class Clerk(aio.Agent):
    pass


CHANGES = {
    "system_message": lambda provider: plain(provider, "Count!"),
    "name": lambda provider: plain(provider, name="v"),
    "model": lambda provider: plain(ScriptedProvider(repeat=True, name="other")),
    "tools.add": lambda provider: plain(provider, tools=[add]),
    "class": lambda provider: Clerk(aio.client(provider), "Count.", "w"),
    "reset_messages_on_run": lambda provider: plain(provider, reset_messages_on_run=True),
    "generate_kwargs.temperature": lambda provider: aio.Agent(
        aio.client(provider, generate_kwargs={"temperature": 0.5}), "Count.", "w"
    ),
    "messages": lambda provider: lambda: aio.Agent(seeded(aio.client(provider)), "Count.", "w"),
    "class, name, model": lambda provider: lambda: Chain([plain(provider)]),
}


@pytest.mark.parametrize("fact", CHANGES)
async def test_a_journal_does_not_answer_for_another_runner(path, fact):
    await mapped(plain(model()), ["a"], path)
    before, provider = path.read_bytes(), model()
    with pytest.raises(JournalError, match=f"a runner that differs from this one in {fact}") as caught:
        await mapped(CHANGES[fact](provider), ["a"], path, on_error="collect")
    assert "restore that to go on with it, or give another path to ask all tasks again" in str(caught.value)
    assert not provider.requests
    assert path.read_bytes() == before
    assert await mapped(plain(model()), ["a"], path) == {0: "Count.(a)"}


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        ({}, {"output_type": list[int]}, "output_type"),
        ({"output_type": list[int]}, {}, "output_type"),
        ({"output_type": list[int]}, {"output_type": list[str]}, "output_type"),
        ({"output_type": list[int]}, {"output_type": list[int], "output_validator": print}, "output_validator"),
        ({}, {"generate_kwargs": {"seed": 1}}, "amap.generate_kwargs.seed"),
    ],
)
async def test_a_journal_does_not_answer_for_another_type_or_other_options(path, before, after, fact):
    await mapped(plain(ScriptedProvider("[1]")), ["a"], path, **before)
    with pytest.raises(JournalError, match=f"differs from this one in {fact};"):
        await mapped(plain(ScriptedProvider()), ["a"], path, **after)


def judged(provider, **fields):
    return EvaluatorOptimizer(plain(provider, "write"), plain(provider, "judge"), **fields)


def routed(provider, prompt="go"):
    return Router(plain(provider, "route"), {"go": plain(provider, prompt, "go"), "stay": Shout()})


def orchestrated(provider, prompt="work"):
    workers = [plain(provider, prompt, "worker"), plain(provider, "other", "second")]
    return OrchestratorAgent.assemble(aio.client(provider), "boss", workers=workers)


class Wrapper(AsyncRunner):
    messages = types.MappingProxyType({})

    def __init__(self, provider, prompt="inner", text="text"):
        self._agent = plain(provider, prompt)
        self.text = text
        self.seen = []
        self.count = 0

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        self.count += 1
        self.seen.append(task)
        return await self._agent.fork().run(task)


class Spy(aio.Agent):
    def __init__(self, provider, text="text"):
        super().__init__(aio.client(provider), "s")
        self.text = text
        self.runs = 0

    def run(self, task, *args, **options):
        self.runs += 1
        return super().run(f"{self.text}: {task}", *args, **options)


def scored(provider, criteria="Short."):
    judge = LLMJudgeScorer(aio.client(provider), criteria)
    return PlanExecuteEvaluator(plain(provider, "plan"), plain(provider, "do"), judge)


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        (Spy, lambda provider: Spy(provider, "other"), "text;"),
        (scored, lambda provider: scored(provider, "Long."), "scorer.criteria;"),
        (judged, lambda provider: judged(provider, pass_keyword="OK"), "pass_keyword"),
        (routed, lambda provider: routed(provider, "gone"), "handlers.go.system_message"),
        (orchestrated, lambda provider: orchestrated(provider, "rest"), "parts.0.tools.worker, parts.1.agent.system"),
        (Wrapper, lambda provider: Wrapper(provider, "outer"), "_agent.system_message"),
        (Wrapper, lambda provider: Wrapper(provider, text="other"), "text"),
    ],
)
async def test_what_a_workflow_is_made_of_belongs_to_what_was_asked(path, before, after, fact):
    provider = ScriptedProvider("go PASS\nScore: 1", repeat=True)
    await mapped(lambda: before(provider), ["a"], path)
    again = ScriptedProvider()
    assert await mapped(lambda: before(again), ["a"], path) == {0: "go PASS\nScore: 1"}
    with pytest.raises(JournalError, match=f"differs from this one in {fact}"):
        await mapped(lambda: after(again), ["a"], path)


async def test_limits_may_change_so_that_tasks_that_failed_succeed(path):
    def limited(provider, **fields):
        return aio.Agent(aio.client(provider, generate_kwargs={"max_tokens": fields.pop("tokens")}), "s", "w", **fields)

    one = limited(ScriptedProvider("1"), tokens=10, max_iterations=1)
    await mapped(one, ["a"], path, output_type=int, timeout=5, generate_kwargs={"max_tokens": 5})
    two = limited(ScriptedProvider("2"), tokens=20, max_iterations=2, concurrent_tool_calls=3, continuation_prompt="?")
    found = await mapped(
        two, ["a", "b"], path, output_type=int, output_mode="prompt", output_retries=5, max_concurrency=1, context=3
    )
    assert [found[0].output, found[1].output] == [1, 2]


async def test_agents_that_ran_before_and_agents_with_skills_keep_their_journal(path, tmp_path):
    folder = tmp_path / "skills" / "knot"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: knot\ndescription: Tie knots.\n---\nPull.\n", "utf8")

    def skilled(provider):
        manager = SkillManager([tmp_path / "skills"])
        return SkillAgent(aio.client(provider), "Be brief.", "w", skill_manager=manager)

    first = skilled(ScriptedProvider("A", "B"))
    await first.run("before")
    await mapped(first, ["a"], path)
    assert await mapped(skilled(ScriptedProvider()), ["a"], path) == {0: "B"}


async def test_a_runner_of_the_users_own_that_remembers_its_tasks_keeps_its_journal(path):
    shout = Shout()
    assert await mapped(lambda: shout, ["a", "b"], path) == {0: "A", 1: "B"}
    assert await mapped(lambda: shout, ["a", "b", "c"], path) == {0: "A", 1: "B", 2: "C"}
    assert sorted(shout.seen) == ["a", "b", "c"]


async def test_a_factory_may_deal_equal_runners_but_not_different_ones(path):
    servers = [model(), model()]
    dealt = iter([plain(servers[n % 2]) for n in range(10)])
    await mapped(lambda: next(dealt), ["a", "b", "c", "d"], path)
    assert all(server.requests for server in servers)
    mixed = iter([plain(model(), f"prompt {n}") for n in range(10)])
    with pytest.raises(JournalError, match=r"runners that differ in system_message; .*run amap once for each"):
        await mapped(lambda: next(mixed), ["a", "b"], path.with_name("mixed"), on_error="collect")


async def test_a_changed_tool_changes_what_was_asked(path):
    await mapped(plain(model(), tools=[add]), ["a"], path)
    with pytest.raises(JournalError, match=r"differs from this one in tools\.add;"):
        await mapped(plain(model(), tools=[changed_docs()]), ["a"], path)
