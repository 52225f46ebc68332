"""MCP servers as sources of tools: in this program, in a child process, or over streamable HTTP.

- `client`: the public class.
- `config`: reads the configuration that users write.
- `owner`: the async task that holds the connections, and how other event loops reach it.
- `connection`: opens, uses, loses and reopens one connection.
- `process`: runs a server as a child process.
- `memory`: calls a server object in this program.
- `session`: the requests to a client of the mcp package, and its errors.
- `results`: turns the results of servers into content for a model.

Resources, prompts and sampling are not supported.
"""

from aimu.aio._mcp.client import MCPClient

__all__ = ["MCPClient"]
