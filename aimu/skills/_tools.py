"""How a model gets at skills: three functions to be used as tools, or a FastMCP server that offers the same.

The functions only read. Errors are SkillError, whose text tells a model what it can do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aimu.errors import MissingExtraError
from aimu.skills._discovery import SkillManager

if TYPE_CHECKING:
    from fastmcp import FastMCP


def skill_tools(manager: SkillManager) -> list[Callable[..., Any]]:
    """`activate_skill`, `list_skill_files` and `read_skill_file` over the manager's skills."""

    def activate_skill(name: str) -> str:
        """Load the full instructions of a skill. Call this before you begin a task that fits its description.

        Args:
            name: The skill's name, as listed.
        """
        return manager.get(name).body

    def list_skill_files(name: str) -> list[str]:
        """List the files that come with a skill, as paths for read_skill_file.

        Args:
            name: The skill's name, as listed.
        """
        return manager.get(name).files()

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

    return [activate_skill, list_skill_files, read_skill_file]


def skills_server(manager: SkillManager, name: str = "skills") -> FastMCP:
    """A FastMCP server with the same tools; needs the extra `mcp`."""
    try:
        from fastmcp import FastMCP
    except ImportError as exc:
        raise MissingExtraError("fastmcp", "mcp") from exc
    server: FastMCP = FastMCP(name)
    for function in skill_tools(manager):
        server.tool(function)
    return server
