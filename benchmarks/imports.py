"""Measures the CPU time of `import aimu.aio` over a bare interpreter: user + system, medians over new processes.

python benchmarks/imports.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

ROUNDS = 7


def cost(statement: str) -> float:
    """Return the CPU seconds of one new process."""
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main() -> None:
    statements = ["pass", "import aimu.aio", "from aimu.aio import Agent, client", "import anyio, attrs"]
    for statement in statements:
        cost(statement)  # warms the file cache and writes the bytecode
    rounds = [[cost(statement) for statement in statements] for _ in range(ROUNDS)]
    bare, *others = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare interpreter: {bare:.3f} s")
    for statement, seconds in zip(statements[1:], others, strict=True):
        print(f"{statement:36} {seconds - bare:+.3f} s")


if __name__ == "__main__":
    main()
