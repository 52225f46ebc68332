"""Scorers: how good an output is, as a number with a reason."""

from aimu.evals._judge import LLMJudgeScorer
from aimu.evals._scorer import Scorer

__all__ = ["LLMJudgeScorer", "Scorer"]
