"""Requests over HTTP compared with plain use of the openai SDK: CPU time of the client, and memory of many agents.

One loopback server in a process of its own answers both sides. Streams are sent at full speed, and one delta every
2 ms. In the crowds with faults, one request in twenty fails, and both sides try again.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness import Bench
from benchmarks.sides import aimu, openai
from benchmarks.sides.works import DELTAS, crowd, sequence, server

SECONDS = (300, 60)
SIDES = {"openai SDK": openai.Side, "aimu": aimu.Side}


def measure(bench: Bench) -> None:
    with server() as address:
        one_after_another(bench, address)
        at_once(bench, address)


def one_after_another(bench: Bench, address: str) -> None:
    for name, path, work, count, parts, target in (
        ("one-shot chat", "ok", "chat", 100, 1, 0.40),
        ("agent, one tool call", "ok", "agent", 50, 1, 0.38),
        ("agent, eight tool calls", "8calls", "agent", 25, 1, None),
        ("delta, pulled", "ok", "stream", 16, DELTAS, 0.12),
        ("delta, entered", "ok", "entered", 16, DELTAS, 0.12),
        ("delta every 2 ms, pulled", "2ms", "stream", 1, DELTAS, 0.45),
        ("delta every 2 ms, entered", "2ms", "entered", 1, DELTAS, 0.45),
    ):
        url = f"{address}/{path}/v1"
        ways = {side: partial(sequence, make=make, url=url, work=work, count=count, parts=parts)
                for side, make in SIDES.items()}  # fmt: skip
        operation = "delta" if parts > 1 else "call"
        bench.compare(name, ways, against="openai SDK", operation=operation, target=target, rounds=5)


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
