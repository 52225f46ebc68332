"""One skill: a folder with a SKILL.md, and the files bundled with it.

Guards the border of the folder: nothing outside it is read, not even through a link. Runs nothing of a skill;
`compatibility` and `allowed_tools` are shown, not enforced. The rules of the format are in `aimu.skills._rules`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, final

from attrs import field, frozen

from aimu._doors import public
from aimu.errors import SkillError
from aimu.skills._fences import Note
from aimu.skills._frontmatter import split
from aimu.skills._rules import facts

FILE_NAME = "SKILL.md"
MAX_FILES = 1_000
MAX_FILE_BYTES = 1_000_000
MAX_FOLDERS = 2_000
MAX_PROBLEMS = 20  # of one skill
PASSED_OVER = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})  # not written by the skill's author


@public("aimu.skills")
@final
@frozen
class Skill:
    """A skill as its SKILL.md describes it.

    Attributes:
        name: The name, normalized to NFKC; the folder's name if the file has none.
        description: What the skill does and when to use it; the first paragraph of the body if the file has none.
        body: The instructions, in Markdown.
        folder: The absolute path of the skill's folder.
        license: The license, or None.
        compatibility: What the skill needs to run, or None.
        metadata: Texts by key, or lists and mappings if the author nested them.
        allowed_tools: Names of the tools that the author allows.
        extra: The values of keys that are not in the format.
        file_name: The name of the file, usually SKILL.md.
        problems: The deviations from the format, each with its remedy.
    """

    name: str
    description: str
    body: str = field(kw_only=True, repr=False)
    folder: Path = field(kw_only=True)
    license: str | None = field(default=None, kw_only=True)
    compatibility: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, hash=False)
    allowed_tools: tuple[str, ...] = field(default=(), kw_only=True)
    extra: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, hash=False, repr=False)
    file_name: str = field(default=FILE_NAME, kw_only=True, repr=False)
    problems: tuple[SkillError, ...] = field(default=(), kw_only=True, repr=False, eq=False)

    @classmethod
    def load(cls, folder: Path | str, *, strict: bool = False) -> Skill:
        """Read the skill in a folder.

        Args:
            folder: The folder, or the SKILL.md in it.
            strict: Whether every deviation from the format is an error.

        Raises:
            SkillError: The skill is unusable or unsafe, or `strict` is set and it deviates from the format.
        """
        folder = Path(os.path.abspath(os.path.expanduser(folder)))
        if is_skill_file(folder.name) and not folder.is_dir():
            folder = folder.parent
        name = _file_name(folder)
        path = folder / name
        problems: list[SkillError] = []

        def note(problem: str, remedy: str, *, harmless: bool = False) -> None:
            if strict and not harmless:
                raise SkillError(problem, remedy=remedy)
            if len(problems) < MAX_PROBLEMS and all(problem != known.problem for known in problems):
                problems.append(SkillError(problem, path=path, remedy=remedy, loaded=True))

        try:
            if name != FILE_NAME:
                note(f"is named {name!r}", f"rename it to {FILE_NAME}")
            text = _decoded(_read_inside(folder, name), note)
            known = facts(*split(text, note), folder.name, note)
        except SkillError as exc:
            raise SkillError(exc.problem, path=path, remedy=exc.remedy) from exc
        return cls(**known, folder=folder, file_name=name, problems=tuple(problems))

    def files(self) -> list[str]:
        """The bundled files, as sorted POSIX paths relative to the folder, without SKILL.md and hidden ones.

        What a link leads to outside the folder is left out. Raises SkillError above `MAX_FILES` files.
        """
        found, more = self.first_files(MAX_FILES)
        if more:
            raise SkillError(f"{self.folder}: has more than {MAX_FILES} files")
        return sorted(found)

    def first_files(self, limit: int) -> tuple[list[str], bool]:
        """Return at most `limit` of the bundled files, from the top down, and whether there are more."""
        found = list(islice(self._walk(), limit + 1))
        return found[:limit], len(found) > limit

    def read(self, path: str) -> str | bytes:
        """A file of the folder by its relative path: text where it is UTF-8, else bytes.

        Raises SkillError if it is not a file, lies outside (also through a link), or has more than `MAX_FILE_BYTES`.
        """
        try:
            content = _read_inside(self.folder, path)
        except SkillError as exc:
            raise SkillError(f"skill {self.name!r}: the file {path!r} {exc}") from exc
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content

    def _walk(self) -> Iterator[str]:
        root = self.folder.resolve()
        for place, folders, names in islice(os.walk(root), MAX_FOLDERS):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in PASSED_OVER)
            for name in sorted(names):
                path = Path(place, name)
                if not name.startswith(".") and path != root / self.file_name and _is_file_inside(path, root):
                    yield path.relative_to(root).as_posix()


def is_skill_file(name: str) -> bool:
    """Whether the name is SKILL.md, in upper or lower case."""
    return name.lower() == FILE_NAME.lower()


def skill_file(names: Iterable[str]) -> str | None:
    """Return the SKILL.md among the names in a folder; the exact name wins over other cases."""
    return min(filter(is_skill_file, names), default=None, key=lambda name: (name != FILE_NAME, name))


def _file_name(folder: Path) -> str:
    try:
        return skill_file(os.listdir(folder)) or FILE_NAME
    except (OSError, ValueError):  # reading the file reports it
        return FILE_NAME


def _decoded(content: bytes, note: Note) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        note(f"is not UTF-8 (byte {exc.start})", "save it as UTF-8")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise SkillError("is not a text", remedy="save it as UTF-8")
    return content.decode("utf-8-sig", errors="replace")


def _is_file_inside(path: Path, root: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(root)


def _read_inside(folder: Path, path: str) -> bytes:
    # Outside is told before anything is said of what is there, so that a path is no question about the disk.
    try:
        root = folder.resolve()
        target = (root / path).resolve()
        if not target.is_relative_to(root):
            raise SkillError("lies outside the skill's folder")
        if not target.is_file():
            raise SkillError("does not exist or is not a regular file")
        with target.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except SkillError:
        raise
    except (OSError, ValueError, RuntimeError) as exc:  # no permission; a NUL in the path; links in a circle
        raise SkillError(f"cannot be read: {exc}") from exc
    if len(content) > MAX_FILE_BYTES:
        raise SkillError(f"has more than {MAX_FILE_BYTES} bytes")
    return content
