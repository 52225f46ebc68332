"""Tools: what a function promises to a model, and calling it safely."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aimu.errors import ToolSignatureError
from aimu.tools.definition import Tool, as_tool, tool
from aimu.tools.serve import serve_mcp
from aimu.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from aimu._sync.mcp import MCPClient

__all__ = ["MCPClient", "Tool", "ToolSignatureError", "Toolbox", "as_tool", "serve_mcp", "tool"]

if not TYPE_CHECKING:  # type checkers take the import above, and see a wrong name as wrong

    def __getattr__(name: str) -> Any:
        if name != "MCPClient":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = import_module("aimu._sync.mcp").MCPClient
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
