"""The command line of the benchmarks: run, report, compare."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT
from benchmarks.harness.comparison import compared, text
from benchmarks.harness.results import Results
from benchmarks.harness.runs import NEEDS, programs, run

RESULTS = ROOT / "benchmarks/results"
PAGE, PICTURES = ROOT / "docs/performance.md", ROOT / "docs/performance"


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["report"]:
        return _report(arguments[1:])
    if arguments[:1] == ["compare"]:
        return _compare(arguments[1:])
    return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    known = programs()
    parser = argparse.ArgumentParser(
        prog="nox -s bench --",
        description="Run benchmarks; without names, all. `report` draws results, `compare` compares two of them.",
        epilog=f"programs: {', '.join(known)}",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a program")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    parser.add_argument("--quick", action="store_true", help="few rounds and small sizes: shows that everything works")
    parser.add_argument("--rounds", type=int, help="rounds of every measurement")
    parser.add_argument("--peers", metavar="FOLDER", help="environments of other libraries; runs the program `peers`")
    parser.add_argument("--llama-server", metavar="PROGRAM", help="llama.cpp's server; runs the program `llama_server`")
    parser.add_argument("--results", type=Path, help="the file to write; by default a new one in benchmarks/results")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in known]
    if unknown:
        parser.error(f"there is no program {', '.join(unknown)}; there are {', '.join(known)}")
    given = [name for name in NEEDS if getattr(chosen, name)]
    for name in set(chosen.names).intersection(NEEDS).difference(given):
        parser.error(f"the program {name} needs --{name.replace('_', '-')}, which makes what it compares with")
    if chosen.peers and chosen.backend != "asyncio":
        parser.error("the peers are measured on asyncio, which most of them need; leave out --backend")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {chosen.rounds}")
    names = chosen.names or given or [name for name in known if name not in NEEDS]
    path = chosen.results or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{chosen.backend}.json"
    options = {name: getattr(chosen, name) for name in ("backend", "quick", "rounds", *NEEDS)}
    failed = run(names, options, path)
    print(f"\nresults: {path}")
    _pictures(path)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _pictures(path: Path) -> None:
    """Draw the results into a folder beside them."""
    from benchmarks.harness.plots import draw
    from benchmarks.harness.report import by_program

    try:
        for name, measurements in by_program(Results.load(path)).items():
            draw(name, measurements, path.with_suffix(""), ("svg", "png"))
    except ModuleNotFoundError as missing:
        print(f"no pictures: {missing}; `pip install matplotlib` to get some")
    else:
        print(f"pictures: {path.with_suffix('')}")


def _report(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="nox -s bench -- report", description="Put tables and pictures of results into docs/performance.md."
    )
    parser.add_argument("runs", nargs="*", type=Path, help="files of results; by default the newest")
    parser.add_argument("--page", type=Path, default=PAGE, help="the Markdown page")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="the folder of the pictures")
    chosen = parser.parse_args(arguments)
    from benchmarks.harness.report import report  # needs matplotlib

    runs = chosen.runs or sorted(RESULTS.glob("*.json"))[-1:]
    if not runs:
        parser.error(f"there are no results in {RESULTS}; run the benchmarks first")
    missing = report([Results.load(path) for path in runs], chosen.page, chosen.pictures)
    print(f"wrote {chosen.page} and {chosen.pictures}")
    if missing:
        print(f"{chosen.page} has no marks for {', '.join(missing)}; add them as benchmarks/README.md says")
    return 1 if missing else 0


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="nox -s bench -- compare",
        description="Tell what became better or worse from one run to another, beyond the spread of both.",
    )
    parser.add_argument("before", type=Path, help="the first file of results")
    parser.add_argument("after", type=Path, help="the second")
    parser.add_argument("--bound", type=float, default=1.1, help="exit with 1 if something is worse by this factor")
    chosen = parser.parse_args(arguments)
    comparison = compared(Results.load(chosen.before), Results.load(chosen.after))
    if not comparison.verdicts:
        parser.error("the two runs have no measurement in common")
    print(text(comparison, chosen.bound))
    return int(any(verdict.beyond(chosen.bound) for verdict in comparison.verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
