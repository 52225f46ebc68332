"""PlanExecuteEvaluator: plan, execute, score, replan."""

import threading

import anyio
import pytest

from aimu import aio
from aimu.aio import Agent, PlanExecuteEvaluator
from aimu.errors import ScoringError
from aimu.evals import Scorer
from aimu.skills import SkillManager
from aimu.testing import reply
from aimu.tools import tool
from tests.workflows.models import Shout, agent, asked, live, model, read, requests_of, text_by


class Scores(Scorer):
    """Gives the scores one after the other."""

    def __init__(self, *scores):
        self.scores, self.rows, self.threads = list(scores), [], set()

    def score(self, row):
        self.rows.append(dict(row))
        self.threads.add(threading.get_ident())
        return self.scores.pop(0), "because"


class AsyncScores(Scores):
    async def score(self, row):
        await anyio.lowlevel.checkpoint()
        return super().score(row)


def loop(provider, scorer, **fields):
    return PlanExecuteEvaluator(agent(provider, "plan"), agent(provider, "do"), scorer, **fields)


@pytest.mark.parametrize("kind", [Scores, AsyncScores])
async def test_an_output_with_a_sufficient_score_is_the_answer(kind):
    scorer = kind(0.7)
    runner = loop(model({"plan": "1. begin", "do": "done"}), scorer, criteria="short")
    assert await runner.run("task") == "done"
    assert scorer.rows == [{"task": "task", "plan": "1. begin", "output": "done", "criteria": "short"}]
    assert (threading.get_ident() in scorer.threads) == (kind is AsyncScores)


async def test_a_scorer_may_return_the_awaitable_of_an_async_scorer():
    class Passing(Scorer):
        inner = AsyncScores(1.0)

        def score(self, row):
            return self.inner.score(row)

    assert await loop(model({"plan": "p", "do": "done"}), Passing()).run("task") == "done"


async def test_the_planner_gets_task_plan_output_and_feedback_until_the_output_is_good():
    provider = model({"plan": ["plan A", "plan B"], "do": ["bad", "good"]})
    assert await loop(provider, Scores(0.2, 0.9)).run("the task") == "good"
    assert "plan A" in asked(requests_of(provider, "do")[0])
    replan = asked(requests_of(provider, "plan")[1])
    assert all(part in replan for part in ("the task", "plan A", "bad", "Score: 0.2", "because"))
    assert "plan B" in asked(requests_of(provider, "do")[1])


async def test_after_the_last_round_the_output_with_the_best_score_is_the_answer():
    provider = model({"plan": "p", "do": ["one", "two", "three"]})
    assert await loop(provider, Scores(0.1, 0.6, 0.3)).run("task") == "two"


async def test_a_pass_keyword_in_the_reason_is_enough():
    class Says(Scorer):
        def score(self, row):
            return 0.1, "**PASS** it will do"

    provider = model({"plan": "p", "do": ["one", "two"]})
    assert await loop(provider, Says(), pass_keyword="PASS").run("task") == "one"
    assert await loop(model({"plan": "p", "do": ["one", "two"]}), Says(), max_rounds=2).run("task") == "two"


@pytest.mark.parametrize("way", [read, live])
async def test_a_streamed_run_shows_plans_and_work_and_ends_with_the_round(way):
    provider = model({"plan": "p ", "do": "d "})
    chunks = await way(loop(provider, Scores(0, 1), name="pee").run("task", stream=True))
    assert text_by(chunks) == {"plan": "p p ", "do": "d d "}
    assert (chunks[-1].agent, chunks[-1].content, chunks[-1].iteration) == ("pee", "d ", 1)


async def test_a_score_that_is_not_a_number_raises():
    class Wrong(Scorer):
        def score(self, row):
            return "very good"

    with pytest.raises(ScoringError, match="'very good'"):
        await loop(model(), Wrong()).run("task")


async def test_from_client_makes_a_planner_with_skills_an_executor_with_tools_and_a_judge(tmp_path):
    (tmp_path / "haiku").mkdir()
    (tmp_path / "haiku" / "SKILL.md").write_text("---\nname: haiku\ndescription: Writes haiku.\n---\nText\n")

    @tool
    async def look() -> str:
        """Look."""
        return "seen"

    def answer(request):
        asks = asked(request)
        if request.kind == "generate":
            return "Score: 1"
        return "output" if "Plan" in asks else "plan"

    provider = model(dict.fromkeys(("P", "E", None), answer))
    provider.steps = (answer,)
    client = aio.client(provider, system="boss")
    runner = PlanExecuteEvaluator.from_client(
        client,
        executor_tools=[look],
        skill_manager=SkillManager([tmp_path]),
        planner_system_message="P",
        executor_system_message="E",
        criteria="short",
    )
    assert await runner.run("task") == "output"
    planning, working, judging = provider.requests
    assert planning.messages[0]["content"].startswith("P\n\n")
    assert "haiku" in planning.messages[0]["content"]
    assert [schema["function"]["name"] for schema in working.tools] == ["look"]
    assert judging.tools == ()
    assert "boss" not in judging.messages[0]["content"]
    assert "short" in judging.messages[-1]["content"]
    assert len(client.messages) == 1
    assert list(runner.messages) == ["planner", "executor"]


async def test_a_sync_judge_client_is_asked_in_a_worker_thread():
    class Judge:
        thread = None

        def generate(self, prompt, generate_kwargs=None):
            self.thread = threading.get_ident()
            return "Score: 0.8"

    judge = Judge()
    runner = PlanExecuteEvaluator.from_client(aio.client(model()), judge_client=judge, skill_manager=SkillManager([]))
    await runner.run("task")
    assert judge.thread not in (None, threading.get_ident())


async def test_chunks_of_the_judge_do_not_reach_the_stream_of_a_calling_agent():
    provider = model({"plan": "p", "do": "d"})
    judge = aio.client(model({None: "Score: 1"}))
    from aimu.evals import LLMJudgeScorer

    inner = loop(provider, LLMJudgeScorer(judge))

    @tool
    async def delegate() -> str:
        """Delegate."""
        return await inner.run("task")

    def boss(request):
        return "end" if request.messages[-1]["role"] == "tool" else reply(calls=[("delegate", {})])

    outer = Agent(aio.client(model({"boss": boss})), "boss", "boss", tools=[delegate])
    assert text_by(await live(outer.run("go", stream=True))) == {"plan": "p", "do": "d", "boss": "end"}


async def test_planner_and_executor_may_be_any_runner():
    assert "HEY" in await PlanExecuteEvaluator(Shout(), Shout(), Scores(1)).run("hey")
