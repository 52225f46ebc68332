"""How a model gets at skills: functions to be used as tools, or a FastMCP server that offers the same.

The functions only read. Errors are SkillError, whose text tells a model what it can do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aimu._doors import public
from aimu.skills._catalog import one_line
from aimu.skills._discovery import SkillManager
from aimu.skills._rules import shortened
from aimu.skills._skill import MAX_FILES, Skill

if TYPE_CHECKING:
    from fastmcp import FastMCP

LISTED_FILES = 50  # in the text of an activated skill
FOUND_CHARACTERS = 600  # of each skill that a search shows


@public("aimu.skills")
def skill_tools(manager: SkillManager) -> list[Callable[..., Any]]:
    """`activate_skill`, `list_skill_files` and `read_skill_file` over the manager's skills.

    `search_skills` is added if the catalog is shortened.
    """

    def activate_skill(name: str) -> str:
        """Load the full instructions of a skill. Call this before you begin a task that fits its description.

        Args:
            name: The skill's name, as listed.
        """
        return activated(manager.get(name))

    def list_skill_files(name: str) -> list[str]:
        """List the files that come with a skill, as paths for read_skill_file.

        Args:
            name: The skill's name, as listed.
        """
        files, more = manager.get(name).first_files(MAX_FILES)
        return [*sorted(files), *([f"(there are more than these {MAX_FILES})"] if more else [])]

    def read_skill_file(name: str, path: str) -> str:
        """Read a text file that comes with a skill.

        Args:
            name: The skill's name, as listed.
            path: The file's path relative to the skill's folder.
        """
        content = manager.get(name).read(path)
        if isinstance(content, bytes):
            return f"{path} is a binary file of {len(content)} bytes; it cannot be shown as text."
        return content

    def search_skills(query: str) -> str:
        """Find skills by words of their names and descriptions, best first. Then load one with activate_skill.

        Args:
            query: Words of the task, for example "fill pdf form".
        """
        found = manager.search(query)
        if not found:
            return f"None of the {len(manager.skills)} skills has these words. Try other words for the task."
        lines = (f"- {one_line(skill.name)}: {one_line(skill.description)}" for skill in found)
        return "\n".join(shortened(line, FOUND_CHARACTERS) for line in lines)

    tools: list[Callable[..., Any]] = [activate_skill, list_skill_files, read_skill_file]
    return [*tools, search_skills] if manager.catalog_shortened else tools


def activated(skill: Skill) -> str:
    """Return what a model reads when it loads a skill: the instructions, the folder's path and the files in it."""
    about = [f"The folder of this skill is {skill.folder}; relative paths above are relative to it."]
    if skill.compatibility:
        about.append(f"Compatibility: {one_line(skill.compatibility)}")
    if skill.allowed_tools:
        about.append(f"Tools that its author allows: {one_line(' '.join(skill.allowed_tools))}")
    files, more = skill.first_files(LISTED_FILES)
    if files:
        about.append(f'Files in it, which read_skill_file("{skill.name}", path) reads:')
        about += (f"- {path}" for path in files)
    if more:
        about.append(f"There are more than these {LISTED_FILES}; list_skill_files lists them.")
    return "\n".join([skill.body, "", "---", *about]).lstrip()


@public("aimu.skills")
def skills_server(manager: SkillManager, name: str = "skills") -> FastMCP:
    """A FastMCP server with the same tools, and the catalog as its instructions; needs the extra `mcp`."""
    from aimu.tools import serve_mcp

    server = serve_mcp(skill_tools(manager), name=name)
    server.instructions = manager.catalog() or None
    return server
