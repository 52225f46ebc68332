"""Tools: what a function promises to a model, and calling it safely."""

from aimu.errors import ToolSignatureError
from aimu.tools.definition import Tool, as_tool, tool
from aimu.tools.serve import serve_mcp
from aimu.tools.toolbox import Toolbox

__all__ = ["Tool", "ToolSignatureError", "Toolbox", "as_tool", "serve_mcp", "tool"]
