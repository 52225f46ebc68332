"""MCP servers as sources of tools: in this program, in a child process, or over streamable HTTP.

- `client`: the public class; `options`: its options.
- `config`: reads the configuration that users write; `jsonc`: its comments; `variables`: its variables.
- `names`: what a model calls each tool, and which tool a name means.
- `owner`: the async task that holds the connections, and how other event loops reach it.
- `remote`: a server in another process: requests, lost connections, and connecting again.
- `connection`: one connection, from opening to closing; `negotiation`: which protocol it speaks.
- `process`: runs a server as a child process; `framing`: messages as lines on its pipes.
- `http`: the HTTP client under the SDK's transport; `answers`: what it gets, checked.
- `sse`: the transport that came before streamable HTTP; `login`: tokens.
- `memory`: calls a server object in this program.
- `session`: the requests to a client of the mcp package.
- `reading`: resources and prompts.
- `unasked`: what a server says and asks of its own accord; `terminal`: its questions, asked in the terminal.
- `messages`: the messages in what a server sends, and errors in place of unreadable answers.
- `faults`: what goes wrong with a server, and the library's errors made of it.
- `sent`: what goes to servers is JSON data; `schemas`: checks with the schemas of servers.
- `tolerance`: puts results right that the SDK would refuse.
- `results`: turns the results of servers into content for a model.

Sampling is not supported, because the protocol of 2026-07-28 deprecates it; nor is logging in by OAuth, yet.
"""

from aimu.aio._mcp.client import MCPClient

__all__ = ["MCPClient"]
