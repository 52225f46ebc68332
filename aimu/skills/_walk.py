"""Finds the folders that are skills. Decides where and how deep to search; reads no file.

The limits are those of the format's guide for tools: "max depth of 4-6 levels, max 2000 directories"
(https://agentskills.io/client-implementation/integrating-skills, "What to scan for", read 2026-11-25).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from aimu.errors import SkillError
from aimu.skills._skill import MAX_FOLDERS, PASSED_OVER, skill_file

MAX_DEPTH = 6

_MACHINERY = PASSED_OVER | {".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".cache"}
_BUNDLED = frozenset({"assets", "references", "scripts"})  # the format's own folders for the files of a skill


class Report(Protocol):
    """Called for each problem; in strict mode it raises the problem, unless that is `harmless`."""

    def __call__(self, problem: SkillError, *, harmless: bool = False) -> None: ...


def skill_folders(root: Path, report: Report) -> Iterator[Path]:
    """Yield the folders at and below `root` that have a SKILL.md, level by level, hidden folders last.

    Folders inside a skill are not searched, unless the skill is `root` itself. A folder with several links to it is
    visited once.
    """
    level = [root] if os.path.isdir(root) else []
    seen: set[str] = set()
    for depth in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            if len(seen) > MAX_FOLDERS:
                problem = f"has more than {MAX_FOLDERS} folders; the rest was not searched"
                report(SkillError(problem, path=root, remedy="give the folders of the skills instead"))
                return
            try:
                names = sorted(os.listdir(folder), key=lambda name: (name.startswith("."), name))
            except OSError as exc:
                report(SkillError(f"cannot be searched: {exc}", path=folder, remedy="make it readable"))
                continue
            found = skill_file(names) is not None
            if found:
                yield folder
            if found and depth:
                _report_nested(folder, names, report)
                continue
            passed = _MACHINERY | _BUNDLED if found else _MACHINERY
            below += (folder / name for name in names if name not in passed and os.path.isdir(folder / name))
        level = below
    if level:
        problem = f"has folders more than {MAX_DEPTH} levels down, which were not searched, such as {level[0]}"
        report(SkillError(problem, path=root, remedy="if there are skills, give that folder too"), harmless=True)


def _report_nested(folder: Path, names: Sequence[str], report: Report) -> None:
    for name in names:
        try:
            inside = skill_file(os.listdir(folder / name))
        except OSError:  # a file, or not to be read
            continue
        if inside is not None:
            problem = f"lies inside the skill in {folder} and was not read"
            report(
                SkillError(problem, path=folder / name / inside, remedy="give its folder too, or move it out"),
                harmless=True,
            )
