"""Requests over HTTP compared with plain use of the openai SDK: CPU time of the client, and memory of many agents.

One loopback server in a process of its own answers both sides. It sends streams at full speed, and one delta every
2 ms; aimu reads them pulled and entered. In the crowd with faults, one request in twenty fails, and both sides try
again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from benchmarks.harness import Bench
from benchmarks.sides import aimu, openai
from benchmarks.sides.works import WORKS, Work, crowd, sequence, server

SECONDS = (300, 60)
SIDES = {"openai SDK": openai.Side, "aimu": aimu.Side}
TARGETS = {"one-shot chat": 0.40, "agent, one tool call": 0.38, "delta": 0.12, "delta every 2 ms": 0.45}


def measure(bench: Bench) -> None:
    with server() as address:
        for work in WORKS:
            one_after_another(bench, address, work, TARGETS.get(work.name))
            if work.method == "stream":
                entered = replace(work, name=f"{work.name}, entered", method="entered")
                one_after_another(bench, address, entered, TARGETS[work.name])
        at_once(bench, address)


def one_after_another(bench: Bench, address: str, work: Work, target: float | None) -> None:
    arguments = {"url": f"{address}/{work.path}/v1", "work": work.method, "count": work.count, "parts": work.parts}
    ways = {side: partial(sequence, make=make, **arguments) for side, make in SIDES.items()}
    bench.compare(work.name, ways, against="openai SDK", operation=work.operation, target=target, rounds=5)


def at_once(bench: Bench, address: str) -> None:
    """Run crowds of agents; memory is measured in a new process each time."""
    many = 200 if bench.quick else 1000
    ways = {side: partial(crowd, make=make, url=f"{address}/ok/v1", count=200) for side, make in SIDES.items()}
    bench.compare("200 agents at once", ways, against="openai SDK", operation="agent", target=0.40, rounds=5)
    for name, path in ((f"{many:,} agents at once, memory too", "ok"), (f"{many:,} agents, 5 % of requests fail", "5")):
        url = f"{address}/{path}/v1"
        ways = {side: partial(crowd, make=make, url=url, count=many, memory=True) for side, make in SIDES.items()}
        shows = ("cpu", "memory")
        bench.compare(
            name, ways, against="openai SDK", operation="agent", shows=shows, target=0.30, apart=True, rounds=3
        )
