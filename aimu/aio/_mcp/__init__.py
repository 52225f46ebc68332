"""MCP servers as sources of tools: in this program, in a child process, or over streamable HTTP.

`client` is the surface; `config` reads what users write; `owner` is the task that holds connections and the way to it
from other event loops; `connection` makes, uses and loses one; `process` runs a server as a child; `memory` calls a
server in this program; `session` is what is asked of the mcp package; `results` words what servers return. Resources,
prompts and sampling are not offered.
"""

from aimu.aio._mcp.client import MCPClient

__all__ = ["MCPClient"]
