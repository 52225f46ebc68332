"""Calls aimu tools that another process serves over stdio, through aimu's client."""

import sys

from aimu import aio

SERVER = '''
from aimu.tools import serve_mcp, tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


serve_mcp([add], name="sums").run(show_banner=False)
'''


async def test_served_tools_can_be_called_over_stdio(tmp_path):
    program = tmp_path / "server.py"
    program.write_text(SERVER, "utf8")
    config = {"mcpServers": {"sums": {"command": sys.executable, "args": [str(program)]}}}
    async with aio.MCPClient(config=config) as mcp:
        (schema,) = await mcp.get_tools()
        assert schema["function"]["name"] == "add"
        assert await mcp.call_tool("add", {"a": 2, "b": 3}) == "5"
