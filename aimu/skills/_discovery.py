"""The skills that a program can use: found in folders, by name, and as text for a system message.

Looks when first asked, and again after `refresh()`. Owns which folders are searched and who wins when a name is there
twice; the format is `aimu.skills._skill`'s.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import final

from aimu.errors import InvalidOptionError, SkillError
from aimu.skills._skill import FILE_NAME, Skill

log = logging.getLogger("aimu.skills")

PROJECT_FOLDERS = (".agents/skills", ".claude/skills", "skills")
USER_FOLDERS = (".agents/skills", ".claude/skills")
MAX_DEPTH = 3
MAX_FOLDERS = 2_000

_HOW_TO = (
    "You have skills: instructions for particular kinds of task, loaded on demand. When the task fits one of the "
    "descriptions below, call activate_skill with its name before you begin, and follow what it returns. Files that "
    "a skill mentions are listed by list_skill_files and read by read_skill_file."
)


@final
class SkillManager:
    """Skills by name, from `folders`, or from the usual places of a project and a user.

    A folder may be a skill itself or hold skills up to three levels down; earlier folders win. Without `folders`, the
    project's (below `project`, by default the working directory when skills are first asked for) come before the user's
    (below `user`, by default the home directory). A malformed skill raises SkillError when `strict`; else it is left
    out, logged, and told in `problems`.
    """

    def __init__(
        self,
        folders: Iterable[Path | str] | None = None,
        *,
        project: Path | str | None = None,
        user: Path | str | None = None,
        strict: bool = False,
    ) -> None:
        if folders is not None and (project is not None or user is not None):
            raise InvalidOptionError("give SkillManager either folders= or project= and user=, not both")
        if isinstance(folders, str | Path):
            folders = [folders]
        self._folders = None if folders is None else tuple(Path(folder) for folder in folders)
        self._project = project
        self._user = user
        self._strict = strict
        self._found: tuple[Mapping[str, Skill], tuple[SkillError, ...]] | None = None
        self._looking = Lock()  # of many runs that begin at once, in their threads, one looks and the others wait

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where skills are looked for, in order of precedence; they need not exist."""
        if self._folders is not None:
            return self._folders
        project = Path.cwd() if self._project is None else Path(self._project)
        # not Path.home(): that raises where a container's user has no home
        user = Path(os.path.expanduser("~") if self._user is None else self._user)
        return (*(project / folder for folder in PROJECT_FOLDERS), *(user / folder for folder in USER_FOLDERS))

    @property
    def looked(self) -> bool:
        """Whether the skills are known; if not, the next use reads files."""
        return self._found is not None

    @property
    def skills(self) -> Mapping[str, Skill]:
        """Skills by name, sorted; read-only."""
        return self._look()[0]

    @property
    def problems(self) -> tuple[SkillError, ...]:
        """Why folders that look like skills are not among them."""
        return self._look()[1]

    def get(self, name: str) -> Skill:
        """The skill of that name; SkillError lists those that there are."""
        try:
            return self.skills[name]
        except KeyError:
            raise SkillError(f"there is no skill {name!r}; available: {', '.join(self.skills) or 'none'}") from None

    def catalog(self) -> str:
        """Text for a system message: how to use skills, then name and description of each; empty without skills."""
        if not self.skills:
            return ""
        lines = (f"- {skill.name}: {' '.join(skill.description.split())}" for skill in self.skills.values())
        return "\n".join([_HOW_TO, "", *lines])

    def refresh(self) -> None:
        """Forget what was found; the next use looks again."""
        self._found = None

    def __repr__(self) -> str:
        found = "not looked yet" if self._found is None else f"{len(self._found[0])} skills"
        return f"<SkillManager: {found}>"

    def _look(self) -> tuple[Mapping[str, Skill], tuple[SkillError, ...]]:
        found = self._found
        if found is None:
            with self._looking:
                found = self._found = self._found or self._search()
        return found

    def _search(self) -> tuple[Mapping[str, Skill], tuple[SkillError, ...]]:
        problems: list[SkillError] = []

        def report(problem: SkillError) -> None:
            if self._strict:
                raise problem
            log.warning("skill left out: %s", problem)
            problems.append(problem)

        for folder in self._folders or ():
            if not os.path.isdir(folder):
                report(SkillError(f"{folder}: there is no such folder"))
        skills = _discover(self.folders, report)
        return MappingProxyType(dict(sorted(skills.items()))), tuple(problems)


def _discover(roots: Iterable[Path], report: Callable[[SkillError], None]) -> dict[str, Skill]:
    skills: dict[str, Skill] = {}
    real: set[Path] = set()  # one skill linked into several folders is no clash
    for root in roots:
        for folder in _skill_folders(root, report):
            if folder.resolve() in real:
                continue
            real.add(folder.resolve())
            try:
                skill = Skill.load(folder)
            except SkillError as problem:
                report(problem)
                continue
            first = skills.setdefault(skill.name, skill)
            if first is not skill:
                log.warning("skill %r in %s is hidden by the one in %s", skill.name, skill.folder, first.folder)
    return skills


def _skill_folders(root: Path, report: Callable[[SkillError], None]) -> Iterator[Path]:
    """The folders at and below `root` that have a SKILL.md, level by level; none is searched below a skill."""
    level = [root] if os.path.isdir(root) else []
    visited = 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            visited += 1
            if visited > MAX_FOLDERS:
                report(SkillError(f"{root}: has more than {MAX_FOLDERS} folders; the rest was not searched"))
                return
            try:
                names = sorted(os.listdir(folder))
            except OSError as exc:
                report(SkillError(f"{folder}: cannot be searched: {exc}"))
                continue
            if FILE_NAME in names:
                yield folder
            else:
                below += (folder / name for name in names if not name.startswith(".") and os.path.isdir(folder / name))
        level = below
