"""One skill: a folder with a SKILL.md, and the files bundled with it.

Owns the rules of the format (https://agentskills.io/specification, read 2026-11-22) and the border of the folder:
nothing outside it is read, through no link. Runs nothing of a skill; `compatibility` and `allowed_tools` are
told, not enforced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast, final

from attrs import field, frozen

from aimu.errors import SkillError
from aimu.skills._frontmatter import Value, split

FILE_NAME = "SKILL.md"
MAX_FILES = 1_000
MAX_FILE_BYTES = 1_000_000

_KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TOOL = re.compile(r"(?:\([^)]*\)|\S)+")  # `Bash(git add:*)` is one tool


@final
@frozen
class Skill:
    """What a SKILL.md says. `body` is its Markdown, `folder` is absolute; the rest is the frontmatter."""

    name: str
    description: str
    body: str = field(kw_only=True, repr=False)
    folder: Path = field(kw_only=True)
    license: str | None = field(default=None, kw_only=True)
    compatibility: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, str] = field(factory=dict[str, str], kw_only=True, hash=False)
    allowed_tools: tuple[str, ...] = field(default=(), kw_only=True)

    @classmethod
    def load(cls, folder: Path | str) -> Skill:
        """Read the skill in `folder`; SkillError names the file and the first rule that it breaks."""
        folder = Path(os.path.abspath(folder))
        try:
            fields, body = split(_decoded(_read_inside(folder, FILE_NAME)))
            return _checked(fields, body, folder)
        except SkillError as exc:
            raise SkillError(f"{folder / FILE_NAME}: {exc}") from exc

    def files(self) -> list[str]:
        """The bundled files, as sorted POSIX paths relative to the folder, without SKILL.md and hidden ones.

        What a link leads to outside the folder is left out. More than `MAX_FILES` files are a SkillError.
        """
        root = self.folder.resolve()
        found: list[str] = []
        for place, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
            paths = (Path(place, name) for name in names if not name.startswith("."))
            found += (path.relative_to(root).as_posix() for path in paths if _is_file_inside(path, root))
            if len(found) > MAX_FILES:
                raise SkillError(f"{self.folder}: has more than {MAX_FILES} files")
        return sorted(path for path in found if path != FILE_NAME)

    def read(self, path: str) -> str | bytes:
        """A file of the folder by its relative path: text where it is UTF-8, else bytes.

        SkillError where it is none, lies outside (also through a link), or has more than `MAX_FILE_BYTES` bytes.
        """
        try:
            content = _read_inside(self.folder, path)
        except SkillError as exc:
            raise SkillError(f"skill {self.name!r}: the file {path!r} {exc}") from exc
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content


def _checked(fields: Mapping[str, Value], body: str, folder: Path) -> Skill:
    unknown = sorted(fields.keys() - set(_KEYS))
    if unknown:
        raise SkillError(f"has the unknown key {unknown[0]!r}; known: {', '.join(_KEYS)} (others go under metadata)")
    name = _text(fields, "name", 64)
    description = _text(fields, "description", 1024)
    if name is None or description is None:
        raise SkillError(f"has no {'name' if name is None else 'description'!r}")
    if not _NAME.fullmatch(name):
        raise SkillError(f"has the name {name!r}; a name is lowercase letters and digits, with single hyphens between")
    if name != folder.name:
        raise SkillError(f"has the name {name!r}, but its folder is {folder.name!r}; they must be the same")
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise SkillError("has a 'metadata' that does not map text to text")
    return Skill(
        name,
        description,
        body=body,
        folder=folder,
        license=_text(fields, "license"),
        compatibility=_text(fields, "compatibility", 500),
        metadata=cast("dict[str, str]", metadata),
        allowed_tools=tuple(_TOOL.findall(_text(fields, "allowed-tools") or "")),
    )


def _text(fields: Mapping[str, Value], key: str, limit: int | None = None) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise SkillError(f"has a {key!r} that is no text")
    value = value.strip()
    if not value:
        raise SkillError(f"has an empty {key!r}")
    if limit is not None and len(value) > limit:
        raise SkillError(f"has a {key!r} of {len(value)} characters; at most {limit} are allowed")
    return value


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise SkillError("is not UTF-8") from exc


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
            raise SkillError("does not exist or is no regular file")
        with target.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except SkillError:
        raise
    except (OSError, ValueError, RuntimeError) as exc:  # no permission; a NUL in the path; links in a circle
        raise SkillError(f"cannot be read: {exc}") from exc
    if len(content) > MAX_FILE_BYTES:
        raise SkillError(f"has more than {MAX_FILE_BYTES} bytes")
    return content
