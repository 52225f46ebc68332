"""EvaluatorOptimizer: draft, review, revise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu import aio
from aimu.aio import EvaluatorOptimizer
from aimu.aio._workflows.evaluator_optimizer import accepts
from aimu.errors import InvalidOptionError
from tests.workflows.models import Shout, agent, asked, live, model, read, requests_of, text_by


@pytest.mark.parametrize(
    "verdict",
    [
        "PASS",
        "**PASS**",
        "PASS: well done",
        "## PASS\n\nAll good.",
        "- __PASS__ -",
        "> `PASS`",
        "1. PASS",
        "<b>PASS</b>",
        "\n\n'PASS'",
        "I looked at it.\nIt is fine.\n\nPASS.\n",
    ],
)
def test_a_verdict_whose_first_or_last_line_begins_with_the_keyword_accepts(verdict):
    assert accepts(verdict, "PASS")


@pytest.mark.parametrize(
    "verdict",
    [
        "",
        "This does not PASS.",
        "PASSABLE, but no",
        "PASS_ON this one",
        "Pass the salt",
        "Weak.\nPASS would need more.\nRevise it.",
        "BYPASS",
        "No PASS\n",
    ],
)
def test_any_other_verdict_is_feedback(verdict):
    assert not accepts(verdict, "PASS")


@given(st.text("ab \n*#>-.", max_size=30), st.text("ab \n.*", max_size=30))
def test_a_keyword_within_a_line_does_not_accept(before, after):
    assert not accepts(f"{before}x PASS {after}", "PASS")


def test_the_keyword_can_be_any_text():
    assert accepts("OK! go on", "OK!")
    assert accepts("✅ fine", "✅")
    assert not accepts("(a) no", "a.")


async def test_the_generator_gets_task_draft_and_feedback_until_the_draft_passes():
    provider = model({"write": ["one", "two"], "judge": ["Too short.", "PASS"]})
    loop = EvaluatorOptimizer.from_client(aio.client(provider), "write", "judge")
    assert await loop.run("an essay") == "two"
    review, revision = asked(requests_of(provider, "judge")[0]), asked(requests_of(provider, "write")[1])
    assert "an essay" in review
    assert "one" in review
    assert all(part in revision for part in ("an essay", "one", "Too short."))
    assert list(loop.messages) == ["generator", "evaluator"]


async def test_after_the_last_round_the_last_draft_is_the_answer():
    provider = model({"write": ["one", "two", "three"], "judge": "Again."})
    loop = EvaluatorOptimizer.from_client(aio.client(provider), "write", "judge", max_rounds=2)
    assert await loop.run("an essay") == "two"
    assert len(requests_of(provider, "judge")) == 2


@pytest.mark.parametrize("way", [read, live])
async def test_a_streamed_loop_shows_drafts_and_verdicts_and_ends_with_the_round(way):
    provider = model({"write": ["one ", "two"], "judge": ["no ", "PASS"]})
    loop = EvaluatorOptimizer.from_client(aio.client(provider), "write", "judge", name="loop")
    chunks = await way(loop.run("an essay", stream=True))
    assert text_by(chunks) == {"generator": "one two", "evaluator": "no PASS"}
    assert (chunks[-1].agent, chunks[-1].content, chunks[-1].iteration) == ("loop", "two", 1)


async def test_generator_and_evaluator_may_be_any_runner():
    loop = EvaluatorOptimizer(Shout(), agent(model({"judge": "PASS"}), "judge"))
    assert await loop.run("hey") == "HEY"


def test_fewer_than_one_round_is_refused():
    with pytest.raises(InvalidOptionError, match="max_rounds must be an integer of at least 1, got 0"):
        EvaluatorOptimizer(Shout(), Shout(), max_rounds=0)
