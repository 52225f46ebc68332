"""The base of scorers: one row in, a number and its reason out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

Score: TypeAlias = tuple[float, str]


class Scorer(ABC):
    """Scores rows; `score` may be `def` or `async def`.

    A row is what is to be scored with what belongs to it: `PlanExecuteEvaluator` gives `task`, `plan`, `output`, and
    `criteria` where there are any.
    """

    @abstractmethod
    def score(self, row: Mapping[str, Any]) -> Score | Awaitable[Score]:
        """A number, by custom from 0 (bad) to 1 (good), and the reason for it."""

    @property
    def is_async(self) -> bool:
        """Whether `score` is to be awaited; if not, async callers run it in a worker thread."""
        return iscoroutinefunction(self.score)
