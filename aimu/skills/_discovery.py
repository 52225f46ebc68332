"""The skills that a program can use: found in folders, by name, and as text for a system message.

Searches at first use, and again after `refresh()`. Decides which folders are searched and which of two skills with the
same name wins.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import final
from unicodedata import normalize

from attrs import field, frozen

from aimu._core.escaping import escaping
from aimu._core.forks import FreshLock
from aimu._core.nearest import nearest
from aimu._doors import public
from aimu.errors import InvalidOptionError, SkillError
from aimu.skills import _catalog as catalog
from aimu.skills._skill import Skill, is_skill_file
from aimu.skills._walk import Report, skill_folders

log = escaping(logging.getLogger("aimu.skills"))

PROJECT_FOLDERS = (".agents/skills", ".claude/skills", "skills")
USER_FOLDERS = (".agents/skills", ".claude/skills")
CATALOG_CHARACTERS = 20_000  # some 5,000 tokens
FOUND = 10  # skills that a search returns
NAMES_IN_ERROR = 20


@frozen
class _Found:
    skills: Mapping[str, Skill]
    problems: tuple[SkillError, ...]
    catalog: str
    shortened: bool


@frozen
class _Problems:
    """Logs and collects problems, or raises them if `strict`."""

    strict: bool
    found: list[SkillError] = field(factory=list[SkillError])

    def __call__(self, problem: SkillError, *, harmless: bool = False) -> None:
        if self.strict and not harmless:
            raise problem
        log.log(logging.INFO if problem.loaded else logging.WARNING, "skills: %s", problem)
        self.found.append(problem)


@public("aimu.skills")
@final
class SkillManager:
    """Finds skills in `folders`, or in the usual folders of a project and a user.

    A skill that deviates from the format is loaded, and `problems` says how to correct it. An unusable or unsafe one is
    left out, logged as a warning, and listed in `problems` too.

    Args:
        folders: Folders that are skills or have skills up to six levels down; the first skill of a name wins. `~` is
            the home directory. Default: `.agents/skills`, `.claude/skills` and `skills` of the project, then the first
            two of the user.
        project: The project's folder; by default the working directory at first use.
        user: The user's folder; by default the home directory.
        strict: Whether every deviation from the format raises SkillError.
        catalog_characters: The maximum size of the catalog. A larger one is shortened, and `search_skills` is added to
            the tools.
    """

    def __init__(
        self,
        folders: Iterable[Path | str] | Path | str | None = None,
        *,
        project: Path | str | None = None,
        user: Path | str | None = None,
        strict: bool = False,
        catalog_characters: int = CATALOG_CHARACTERS,
    ) -> None:
        if folders is not None and (project is not None or user is not None):
            raise InvalidOptionError("give SkillManager either folders= or project= and user=, not both")
        if catalog_characters < 0:
            raise InvalidOptionError(f"catalog_characters must be 0 or more, got {catalog_characters!r}")
        if isinstance(folders, str | Path):
            folders = [folders]
        self._folders = None if folders is None else tuple(map(_expanded, folders))
        self._project = None if project is None else _expanded(project)
        self._user = None if user is None else _expanded(user)
        self._strict = strict
        self._catalog_characters = catalog_characters
        self._found: _Found | None = None
        self._looking = FreshLock()  # of many runs that begin at once, in their threads, one looks and the others wait

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where skills are looked for, in order of precedence; they need not exist."""
        if self._folders is not None:
            return self._folders
        project = Path.cwd() if self._project is None else self._project
        user = _expanded("~") if self._user is None else self._user
        return (*(project / folder for folder in PROJECT_FOLDERS), *(user / folder for folder in USER_FOLDERS))

    @property
    def looked(self) -> bool:
        """Whether the skills are known; if not, the next use reads files."""
        return self._found is not None

    @property
    def skills(self) -> Mapping[str, Skill]:
        """Skills by name, sorted; read-only."""
        return self._look().skills

    @property
    def problems(self) -> tuple[SkillError, ...]:
        """What is wrong with skills and folders, and how to correct it.

        A skill whose problem is `loaded` is used all the same; the others are left out.
        """
        return self._look().problems

    @property
    def catalog_shortened(self) -> bool:
        """Whether the catalog leaves out what `search` finds."""
        return self._look().shortened

    def get(self, name: str) -> Skill:
        """The skill of that name; SkillError lists those that there are."""
        skills = self.skills
        plain = " ".join(normalize("NFKC", name).split())
        found = skills.get(name) or skills.get(plain)
        if found is None:
            alike = [skill for known, skill in skills.items() if known.casefold() == plain.casefold()]
            found = alike[0] if len(alike) == 1 else None
        if found is None:
            raise SkillError(f"there is no skill {name!r}; {self._hint(plain)}")
        return found

    def search(self, query: str, *, limit: int = FOUND) -> list[Skill]:
        """Return at most `limit` skills whose names and descriptions share words with the query, best first."""
        return catalog.search(self.skills.values(), query, limit)

    def catalog(self) -> str:
        """Text for a system message: how to use skills, then name and description of each; empty without skills."""
        return self._look().catalog

    def refresh(self) -> None:
        """Forget what was found; the next use looks again."""
        self._found = None

    def __repr__(self) -> str:
        found = "not looked yet" if self._found is None else f"{len(self._found.skills)} skills"
        return f"<SkillManager: {found}>"

    def _hint(self, name: str) -> str:
        names = list(self.skills)
        if len(names) <= NAMES_IN_ERROR:
            return f"available: {', '.join(names) or 'none'}"
        close = nearest(name, names, NAMES_IN_ERROR // 4)
        return f"of {len(names)}, the names most like it: {', '.join(close) or 'none'}"

    def _look(self) -> _Found:
        found = self._found
        if found is None:
            with self._looking.lock:
                found = self._found = self._found or self._search()
        return found

    def _search(self) -> _Found:
        report = _Problems(self._strict)
        for folder in self._folders or ():
            if not os.path.isdir(folder):
                report(SkillError("there is no such folder", path=folder, remedy="correct the path, or create it"))
        skills = dict(sorted(_discover(self.folders, report, strict=self._strict).items()))
        text, shortened = catalog.write(skills.values(), self._catalog_characters)
        return _Found(MappingProxyType(skills), tuple(report.found), text, shortened)


def _expanded(folder: Path | str) -> Path:
    # not Path.expanduser(): that raises where a container's user has no home
    path = Path(os.path.expanduser(folder))
    return path.parent if is_skill_file(path.name) and path.is_file() else path


def _discover(roots: Iterable[Path], report: Report, *, strict: bool) -> dict[str, Skill]:
    skills: dict[str, Skill] = {}
    real: set[Path] = set()  # one skill linked into several folders is no clash
    for root in roots:
        for folder in skill_folders(root, report):
            if folder.resolve() in real:
                continue
            real.add(folder.resolve())
            try:
                skill = Skill.load(folder, strict=strict)
            except SkillError as problem:
                report(problem)
                continue
            first = skills.setdefault(skill.name, skill)
            for deviation in skill.problems:
                report(deviation, harmless=True)
            if first is not skill:
                problem_text = f"is hidden: the skill {skill.name!r} in {first.folder} was found first"
                path = skill.folder / skill.file_name
                report(SkillError(problem_text, path=path, remedy="rename one of them"), harmless=True)
    return skills
