"""Defines the base class of scorers: a row in, a number and its reason out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from aimu._doors import public

Score: TypeAlias = tuple[float, str]


@public("aimu.evals")
class Scorer(ABC):
    """Base class of scorers, whose `score` may be `def` or `async def`.

    A row holds the output to score and its context by name: `PlanExecuteEvaluator` passes `task`, `plan`, `output`, and
    `criteria` if it has any.

    Example:
        class Brevity(Scorer):
            def score(self, row):
                words = len(row["output"].split())
                return min(1.0, 50 / max(1, words)), f"{words} words"
    """

    @abstractmethod
    def score(self, row: Mapping[str, Any]) -> Score | Awaitable[Score]:
        """Score a row.

        Args:
            row: What to score, by name.

        Returns:
            A number, by convention from 0 (bad) to 1 (good), and the reason for it.
        """

    @property
    def is_async(self) -> bool:
        """Whether `score` is to be awaited; if not, async callers run it in a worker thread."""
        return iscoroutinefunction(self.score)
