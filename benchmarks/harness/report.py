"""The report: puts tables and pictures of a run into a page, between the marks of each program.

A page shows the program `sync` where it has the lines `<!-- measured: sync -->` and `<!-- end: sync -->`. What stands
between them is replaced; a program that was not measured keeps what is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.harness.plots import draw
from benchmarks.harness.results import Measurement, Results
from benchmarks.harness.tables import table

_MARKED = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


Draw = Callable[[str, Sequence[Measurement], Path], Sequence[Path]]


def report(runs: Sequence[Results], page: Path, pictures: Path, draw: Draw = draw) -> list[str]:
    """Write the page and its pictures.

    Args:
        runs: The runs; a later one replaces what it measured again on the same backend.
        page: The Markdown page.
        pictures: The folder of the pictures, below that of the page.
        draw: Draws the measurements of a program into files in a folder whose names begin with the given name.

    Returns:
        The programs that the page has no marks for.
    """
    latest = {(name, str(run.options["backend"])): (run, found)
              for run in runs for name, found in by_program(run).items()}  # fmt: skip
    sections: dict[str, list[str]] = {}
    for (name, backend), (run, measurements) in latest.items():
        picture = name if backend == "asyncio" else f"{name}-{backend}"
        section = sections.setdefault(name, [])
        section += [_provenance(run), table(measurements)]
        if draw(picture, measurements, pictures):
            section.append(_picture(page, pictures, picture))
    text, missing = filled(page.read_text("utf8"), {name: "\n\n".join(parts) for name, parts in sections.items()})
    page.write_text(text, "utf8")
    return missing


def by_program(results: Results) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = {}
    for measurement in results.measurements:
        found.setdefault(measurement.program, []).append(measurement)
    return found


def filled(text: str, sections: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the text with the sections between their marks, and the names of those without marks."""
    marked = {match[2] for match in _MARKED.finditer(text)}

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n{sections[match[2]]}\n\n{match[3]}" if match[2] in sections else match[0]

    return _MARKED.sub(fill, text), [name for name in sections if name not in marked]


def _provenance(results: Results) -> str:
    """Say in one line where the figures come from."""
    machine, versions = results.machine, results.versions
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "aimu")
    load = f", load {machine['load_before']:.1f} before" if "load_before" in machine else ""
    quick = " A quick run: it shows that the program works, not what things cost." if results.options["quick"] else ""
    return (
        f"Measured on {results.began[:10]} on {results.options['backend']}, {machine['cores']} cores of "
        f"{machine['processor']}{load}; commit {versions['aimu']}, {others}.{quick}"
    )


def _picture(page: Path, pictures: Path, name: str) -> str:
    folder = pictures.resolve().relative_to(page.parent.resolve()).as_posix()
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{folder}/{name}.dark.svg">'
        f'<img alt="The figures of {name} as a picture" src="{folder}/{name}.light.svg"></picture>'
    )
