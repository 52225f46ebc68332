"""Tries the cases with every library, and writes the table between the marks of a page.

python -m benchmarks.tried FOLDER PAGE     # FOLDER has an environment for each library
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import ROOT
from benchmarks.tried.cases import CASES
from tests.loopback import loopback_server

BEGIN, END = "<!-- tried -->", "<!-- end: tried -->"


def server() -> AbstractContextManager[str]:
    """The server of the cases in a process of its own: a context manager that gives its address."""
    return loopback_server(Path(__file__).with_name("server.py"))


def tried(python: str, name: str, case: str, address: str) -> str:
    """Try a case with a library, in a process of its own; return the outcome."""
    command = [python, "-W", "ignore", "-m", "benchmarks.tried.cases", name, case, address]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout.strip()


def row(cells: Iterable[str]) -> str:
    return " | ".join(["", *cells, ""]).strip()


def main(folder: Path, page: Path) -> None:
    pythons = {"aimu": sys.executable, **{path.name: str(path / "bin/python") for path in sorted(folder.iterdir())}}
    rows = []
    with server() as address:
        for name, python in pythons.items():
            rows.append(row(tried(python, name, case, address) for case in ["label", *CASES]))
            print(rows[-1], flush=True)
    head = ["library", *(str(case.__doc__) for case in CASES.values())]
    lines = [f"Tried on {time.strftime('%Y-%m-%d')} with Python {sys.version.split()[0]}.", ""]
    lines += [row(head), "|---" * len(head) + "|", *rows]
    before, _, rest = page.read_text("utf8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]), "utf8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
