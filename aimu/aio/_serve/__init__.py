"""An MCP server made of tools, or of a runner. Transports and protocol are FastMCP's.

- `server`: the public function, and the server over HTTP: who may call it, and whose client is gone.
- `tool`: one tool: its call, its result, its errors.
- `output`: the type of what a tool returns: schema and structured content.
- `reports`: progress and log records on their way to the client.
- `runner`: a runner as a tool, which reports what it does.
- `reading`: resources and prompts.
- `blocks`: content of this library as content of the protocol.
"""
