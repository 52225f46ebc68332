"""Runs programs one after the other, each in a process of its own, and gathers what they measured."""

from __future__ import annotations

import importlib
import multiprocessing
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.bench import Bench
from benchmarks.harness.progress import Progress
from benchmarks.harness.results import Measurement, Results
from benchmarks.harness.tables import table

FOLDER = ROOT / "benchmarks"
NEEDS = "peers", "llama_server"
"""Programs that need the option of their own name."""
_SECONDS = re.compile(r"^SECONDS = \(([\d.]+), ([\d.]+)\)", re.MULTILINE)
_MEASURE = re.compile(r"^def measure\(", re.MULTILINE)


def programs() -> dict[str, tuple[float, float]]:
    """Return every program with its estimates in full and quick, read without importing it."""
    found: dict[str, tuple[float, float]] = {}
    for path in sorted(FOLDER.glob("[a-z]*.py")):
        text = path.read_text("utf8")
        if _MEASURE.search(text):
            stated = _SECONDS.search(text)
            found[path.stem] = (float(stated[1]), float(stated[2])) if stated else (60.0, 10.0)
    return found


def run(names: Sequence[str], options: dict[str, Any], path: Path) -> list[str]:
    """Run programs and write their results after each measurement.

    Args:
        names: The programs.
        options: The arguments `backend`, `quick`, `rounds`, `peers` and `llama_server` of Bench.
        path: The file of the results.

    Returns:
        The programs that failed.
    """
    results = Results.begin({**options, **{name: options[name] is not None for name in NEEDS}})
    progress = Progress(estimates(names, results, path.parent))
    failed: list[str] = []
    for name in names:
        progress.begin(name)
        begun = len(results.measurements)
        for measurement in _measurements(name, options, results, progress, failed):
            results.measurements.append(measurement)
            results.save(path)
        took = progress.end()
        if name not in failed:
            results.seconds[name] = round(took, 1)
        progress.clear()
        print(f"\n{name}\n\n{table(results.measurements[begun:])}", flush=True)
    results.save(path)
    return failed


def estimates(names: Sequence[str], begun: Results, folder: Path) -> dict[str, float]:
    """Return how long programs will take: as in the newest run of this kind on this machine, else as they say."""
    found = {name: programs()[name][bool(begun.options["quick"])] for name in names}
    for path in sorted(folder.glob("*.json")):
        try:
            earlier = Results.load(path)
        except ValueError:  # of another schema
            continue
        if earlier.options["quick"] == begun.options["quick"]:
            found |= {name: seconds for name, seconds in earlier.seconds.items() if name in found}
    return found


def _measurements(
    name: str, options: dict[str, Any], results: Results, progress: Progress, failed: list[str]
) -> Iterator[Measurement]:
    """Yield the measurements of a program as it makes them."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_program, args=(name, options, theirs))
    process.start()
    theirs.close()
    ended = False
    try:
        while True:
            kind, *content = ours.recv()
            if kind == "step":
                progress.step(*content)
            elif kind == "measurement":
                yield replace(content[0], program=name)
            elif kind == "note":
                results.versions[content[0]] = content[1]
            elif kind == "end":
                ended = True
    except EOFError:
        pass
    finally:
        if not ended:
            process.terminate()
        process.join()
        ours.close()
    if not ended:
        failed.append(name)


def _program(name: str, options: dict[str, Any], pipe: Connection) -> None:
    """Run one program in this process, and send what it says through the pipe."""

    def sends(kind: str) -> Callable[..., None]:
        return lambda *content: pipe.send((kind, *content))

    try:
        program = importlib.import_module(f"benchmarks.{name}")
        program.measure(Bench(**options, publish=sends("measurement"), note=sends("note"), step=sends("step")))
        pipe.send(("end",))
    except Exception:
        traceback.print_exc()
