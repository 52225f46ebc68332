"""Types of the tools that a user may give to a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from aimu._doors import public
from aimu.tools._definition import Tool


@public("aimu.types")
class ToolServer(Protocol):
    """An object that has tools: an MCP client, async or sync."""

    @property
    def get_tools(self) -> Callable[[], Any]:
        """Return its tools in OpenAI's function format."""
        ...


ToolLike: TypeAlias = Callable[..., Any] | Tool | ToolServer
"""What `tools=` takes: a function, a `Tool`, or an object that has tools, such as an MCP client."""
