"""Tools: functions that a model may call, their JSON Schema, and safe execution of their calls."""

from typing import TYPE_CHECKING

from aimu._doors import door
from aimu.errors import ToolSignatureError
from aimu.tools._current import CurrentCall, current_call
from aimu.tools._definition import Tool, as_tool, tool
from aimu.tools._toolbox import Toolbox

if TYPE_CHECKING:
    from aimu._sync.mcp import MCPClient
    from aimu.aio._mcp.terminal import ask_in_terminal
    from aimu.aio._serve.server import serve_mcp

__all__ = [
    "CurrentCall",
    "MCPClient",
    "Tool",
    "ToolSignatureError",
    "Toolbox",
    "as_tool",
    "ask_in_terminal",
    "current_call",
    "serve_mcp",
    "tool",
]

if not TYPE_CHECKING:  # type checkers see the import above, so they still report a wrong name
    __getattr__, __dir__ = door(
        __name__,
        {
            "MCPClient": "aimu._sync.mcp",
            "ask_in_terminal": "aimu.aio._mcp.terminal",
            "serve_mcp": "aimu.aio._serve.server",
        },
    )
