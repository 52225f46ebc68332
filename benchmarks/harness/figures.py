"""The statistics: medians with their spread, and ratios pair by pair."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """The median of some rounds, and the quartiles around it as the spread."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def has_spread(self) -> bool:
        """Whether there are enough rounds to tell a difference from noise."""
        return self.rounds >= 3


def figure(values: Sequence[float]) -> Figure:
    """Summarize the values of the rounds.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("there are no rounds to summarize")
    if len(values) == 1:
        return Figure(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median, low, high, len(values))


def ratios(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return the ratio to the reference in each round.

    What disturbs the machine during a round disturbs both sides of the pair, so these ratios vary less than the times.
    """
    return [value / other for value, other in zip(values, reference, strict=True) if other]
