"""What is asked of a session of the mcp package, whatever it runs over, and how its refusals are worded."""

from __future__ import annotations

from typing import Any

from aimu.errors import MCPError


async def listed(client: Any, *, fresh: bool) -> list[Any]:
    """All pages of tools, as `mcp_types.Tool`.

    Not `fresh`: from the SDK's memory, for as long as the server says that the list holds.
    """
    page = await client.list_tools(cache_mode="refresh" if fresh else "use")
    tools = list(page.tools)
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


def refusal(server: str, exc: Exception) -> MCPError:
    """The error of ours for an MCPError of the SDK, or for what its checks of the server's answers raise."""
    from mcp import MCPError as ProtocolError

    if isinstance(exc, ProtocolError):
        return MCPError(f"MCP server {server!r}: {exc.message} (code {exc.code})")
    return MCPError(f"MCP server {server!r} answered against the protocol: {exc}")
