"""Measures the compared ways in turns, since machines are noisy."""

from __future__ import annotations

import statistics
from collections.abc import Callable


def interleaved(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Run the ways in turns for `rounds` rounds; return the median of the results of each."""
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seen[name].append(way())
    return {name: statistics.median(values) for name, values in seen.items()}
