"""Scorers, which rate an output with a number and a reason."""

from aimu.evals._judge import LLMJudgeScorer
from aimu.evals._scorer import Scorer

__all__ = ["LLMJudgeScorer", "Scorer"]
