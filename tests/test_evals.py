"""Scorers: a verdict is read, or it is an error."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimu import aio
from aimu.errors import InvalidOptionError, ScoringError
from aimu.evals import LLMJudgeScorer, Scorer
from aimu.evals._judge import read_score
from aimu.testing import ScriptedProvider

ROW = {"task": "Add 2 and 2.", "output": "4"}

NUMBERS = {
    "plain": lambda score: f"{score:.2f}",
    "of ten": lambda score: f"{score * 10:.1f}/10",
    "spaced": lambda score: f"{score * 10:.1f} / 10",
    "words": lambda score: f"{score * 10:.1f} out of 10",
    "percent": lambda score: f"{score * 100:.0f} %",
    "exponent": lambda score: f"{score:.1e}",
    "comma": lambda score: f"{score:.2f}".replace(".", ","),
}
FRAMES = [
    "{}",
    "**{}**",
    "Score: {}",
    "score = {}.",
    "Fine work.\n\n**Score:** {}",
    "## Overall score: {}\nBecause it is.",
    "- Final Score: `{}`",
    "| Score | {} |",
    "Score (from 0 to 1): {}",
    "I give it a score of {}, no more.",
    "Reason: 3 of 4 points hold.\nScore: {}\nA score of 1 would need all.",
    '{{"reason": "3 of 4", "score": "{}"}}',
    'Here:\n```json\n{{"Score": "{}", "reason": "fine"}}\n```\n',
    'Not {{this}} but {{"score": "{}"}}',
]


@given(st.integers(0, 100), st.sampled_from(sorted(NUMBERS)), st.sampled_from(FRAMES))
@example(100, "plain", "Score: {}")
def test_a_score_is_read_in_any_form_and_markup(hundredths, form, frame):
    score = hundredths / 100
    assert read_score(frame.format(NUMBERS[form](score))) == pytest.approx(score)


@given(st.floats(0, 1), st.dictionaries(st.text(max_size=5).filter(lambda key: key.lower() != "score"), st.text()))
def test_a_json_number_is_read_exactly(score, rest):
    assert read_score(json.dumps({**rest, "score": score})) == score


@pytest.mark.parametrize(
    "verdict",
    [
        "",
        "Good.",
        "Score: high",
        "Score: 8",
        "Score: -0.5",
        "Score: 11/10",
        "Score: 3/0",
        "Score: 0-1",
        '{"score": 7}',
        '{"score": null}',
        "I would score it 0.5, or score it 0.9",
        "The clarity score is 0.5 and the depth score is 0.9.",
        "2 of 3 tests pass",
        "underscore: 0.5",
    ],
)
def test_a_verdict_without_one_clear_score_from_0_to_1_is_not_read(verdict):
    assert read_score(verdict) is None


@given(st.text())
def test_reading_never_fails(verdict):
    score = read_score(verdict)
    assert score is None or 0 <= score <= 1


async def test_an_async_client_makes_an_async_judge_that_leaves_no_history():
    provider = ScriptedProvider("Right.\nScore: 0.9")
    client = aio.client(provider, system="You are strict.")
    judge = LLMJudgeScorer(client, "It is the sum.", generate_kwargs={"temperature": 0})
    assert judge.is_async
    assert await judge.score(ROW) == (0.9, "Right.\nScore: 0.9")
    (request,) = provider.requests
    assert request.kind == "generate"
    assert request.options == {"temperature": 0}
    prompt = request.messages[-1]["content"]
    assert all(part in prompt for part in ("It is the sum.", "Add 2 and 2.", "## output\n4"))
    assert len(client.messages) == 1


class SyncClient:
    """As much of a sync client as a judge needs."""

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)
        self.prompts = []

    def generate(self, prompt, generate_kwargs=None):
        self.prompts.append(prompt)
        return self.verdicts.pop(0)


def test_a_sync_client_makes_a_sync_judge():
    judge = LLMJudgeScorer(SyncClient("Score: 7/10"))
    assert not judge.is_async
    assert judge.score(ROW) == (0.7, "Score: 7/10")


def test_criteria_of_the_row_go_before_the_judges_own():
    client = SyncClient("Score: 1")
    LLMJudgeScorer(client, "Own criteria.").score({**ROW, "criteria": "The row's."})
    assert "The row's." in client.prompts[0]
    assert "Own criteria." not in client.prompts[0]


async def test_an_unreadable_verdict_is_asked_for_once_more():
    provider = ScriptedProvider("Quite good!", "Score: 0.5")
    with provider:
        assert await LLMJudgeScorer(aio.client(provider)).score(ROW) == (0.5, "Score: 0.5")
    assert "Quite good!" in provider.requests[1].messages[-1]["content"]


async def test_a_verdict_that_stays_unreadable_raises_and_gives_no_score():
    with ScriptedProvider("Quite good!", "Great!") as provider:
        with pytest.raises(ScoringError, match="Great!"):
            await LLMJudgeScorer(aio.client(provider)).score(ROW)
    with pytest.raises(ScoringError, match="Great!"):
        LLMJudgeScorer(SyncClient("Quite good!", "Great!")).score(ROW)


def test_a_judge_without_a_client_is_refused():
    with pytest.raises(InvalidOptionError, match="needs a client with generate"):
        LLMJudgeScorer("anthropic:claude")


def test_a_scorer_knows_whether_its_score_is_awaited():
    class Sync(Scorer):
        def score(self, row):
            return 1.0, ""

    class Async(Scorer):
        async def score(self, row):
            return 1.0, ""

    assert (Sync().is_async, Async().is_async) == (False, True)
