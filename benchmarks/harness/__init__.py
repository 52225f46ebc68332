"""What all benchmarks share: interleaved rounds, clocks, statistics, results as JSON, comparison and report.

Imports only the standard library at first, and AnyIO to run a program: the peers of aimu are measured by the same
clock in environments that have little else.
"""

from __future__ import annotations

from benchmarks.harness.bench import Bench
from benchmarks.harness.clock import Clock

__all__ = ["Bench", "Clock"]
