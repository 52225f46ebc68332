"""The CPU time of imports above that of a bare interpreter, each in new processes."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.harness import Bench, Clock

SECONDS = (20, 5)
STATEMENTS = {
    "aimu": "import aimu",
    "aimu.aio": "import aimu.aio",
    "aimu: Agent and client": "from aimu.aio import Agent, client",
    "anyio and attrs": "import anyio, attrs",
}


def in_new_process(statement: str) -> Clock:
    clock = Clock()
    with clock.over(children=True):
        subprocess.run([sys.executable, "-c", statement], check=True)
    return clock


def above_bare(clock: Clock, statement: str) -> None:
    bare, whole = in_new_process("pass").cost, in_new_process(statement).cost
    clock.record(whole.cpu - bare.cpu, whole.wall - bare.wall)


def measure(bench: Bench) -> None:
    for statement in STATEMENTS.values():
        in_new_process(statement)  # warms the file cache and writes the bytecode
    ways = {name: partial(above_bare, statement=statement) for name, statement in STATEMENTS.items()}
    bench.compare("import", ways, operation="process", rounds=9)
