"""The same work by other libraries, each at its newest version in an environment and a process of its own.

All processes stay open and take turns, on asyncio. One loopback server answers them, and every answer is checked; a
library that cannot do a work is left out of it, and the reason is printed. Memory is measured in new processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.harness import Bench, Clock
from benchmarks.harness.bench import Way
from benchmarks.sides.works import WORKS, server

SECONDS = (900, 150)
REFERENCE = "openai SDK"


class Peer:
    """The process of one library."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self.python = python
        command = [python, "-m", "benchmarks.sides.child", name]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def label(self) -> str:
        return REFERENCE if self.name == "openai" else self.name.replace("_", "-")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def do(self, clock: Clock, function: str, **arguments: Any) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([function, arguments]), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline() or '{"error": "the process has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        clock.record(**answer)

    def do_in_new_process(self, clock: Clock, function: str, **arguments: Any) -> None:
        with Peer(self.name, self.python) as peer:
            peer.do(clock, function, **arguments)

    def load(self, clock: Clock) -> None:
        """Measure the import that users begin with."""
        with clock.over(children=True):
            self.run(self.stated("IMPORT"))

    def version(self) -> str:
        return self.run(f"from importlib.metadata import version; print(version({self.stated('DISTRIBUTION')!r}))")

    def run(self, program: str) -> str:
        command = [self.python, "-W", "ignore", "-c", program]
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def stated(self, name: str) -> str:
        """Return a constant of the side, which cannot be imported here."""
        source = (ROOT / f"benchmarks/sides/{self.name}.py").read_text("utf8")
        return next(line for line in source.splitlines() if line.startswith(f"{name} = ")).split('"')[1]


def measure(bench: Bench) -> None:
    pythons = {"openai": "", "aimu": sys.executable}  # the reference first, then aimu, then the others
    pythons |= {path.name: str(path / "bin/python") for path in sorted(Path(str(bench.peers)).iterdir())}
    with server() as address, ExitStack() as stack:
        peers = [stack.enter_context(Peer(name, python)) for name, python in pythons.items()]
        for peer in peers:
            if peer.name != "aimu":  # whose version is the commit
                bench.note(peer.stated("DISTRIBUTION"), peer.version())
        in_turn(bench, peers, address)
        at_once(bench, peers, address)
    ways = {peer.label: peer.load for peer in peers}
    bench.compare("import", ways, against=REFERENCE, operation="process", rounds=5)


def in_turn(bench: Bench, peers: Sequence[Peer], address: str) -> None:
    for work in WORKS:
        count = max(1, work.count // 10) if bench.quick else work.count
        arguments = {"url": f"{address}/{work.path}/v1", "work": work.method, "parts": work.parts}
        ways = {peer.label: partial(peer.do, function="sequence", **arguments) for peer in peers}
        ways = able(work.name, ways, count)
        bench.compare(work.name, ways, against=REFERENCE, operation=work.operation, shows=("cpu", "wall"), rounds=5)


def at_once(bench: Bench, peers: Sequence[Peer], address: str) -> None:
    """Run crowds of agents; memory is measured in new processes, for agents that run and for idle ones."""
    some, many = (40, 100) if bench.quick else (200, 1000)
    crowd = {"function": "crowd", "url": f"{address}/ok/v1"}
    idle = {**crowd, "function": "idle"}
    for name, count, shows, ways in (
        (f"{some} agents at once", some, ("cpu", "wall"), {peer.label: partial(peer.do, **crowd) for peer in peers}),
        (f"{many:,} agents at once, memory too", many, ("cpu", "memory"),
         {peer.label: partial(peer.do_in_new_process, **crowd, memory=True) for peer in peers}),
        ("idle agent", many, ("memory",), {peer.label: partial(peer.do_in_new_process, **idle) for peer in peers}),
    ):  # fmt: skip
        ways = able(name, ways, count)
        against = REFERENCE if REFERENCE in ways else None
        bench.compare(name, ways, against=against, operation="agent", shows=shows, rounds=3)


def able(work: str, ways: dict[str, Way], count: int) -> dict[str, Way]:
    """Return the ways that can do the work, which each does once for that, with the number of calls set."""
    found: dict[str, Way] = {}
    for name, way in ways.items():
        try:
            way(Clock(), count=count)
        except RuntimeError as error:
            print(f"{name} cannot do the work {work!r}: {error}", file=sys.stderr)
        else:
            found[name] = partial(way, count=count)
    return found
