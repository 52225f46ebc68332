"""Scorers: how good an output is, as a number with a reason."""

from aimu.evals.judge import LLMJudgeScorer
from aimu.evals.scorer import Scorer

__all__ = ["LLMJudgeScorer", "Scorer"]
