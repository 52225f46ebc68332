"""Requests to a client of the mcp package, whatever its transport, and the translation of its errors."""

from __future__ import annotations

from typing import Any

from aimu.errors import MCPError


async def listed(client: Any, *, fresh: bool) -> list[Any]:
    """Return the tools of all pages, as `mcp_types.Tool`.

    Without `fresh`, the SDK's cache may answer, for as long as the server declares the list valid.
    """
    page = await client.list_tools(cache_mode="refresh" if fresh else "use")
    tools = list(page.tools)
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


def refusal(server: str, exc: Exception) -> MCPError:
    """Return the library's error for an MCPError of the SDK, or for an error of its checks of the server's answers."""
    from mcp import MCPError as ProtocolError

    if isinstance(exc, ProtocolError):
        return MCPError(f"MCP server {server!r}: {exc.message} (code {exc.code})")
    return MCPError(f"MCP server {server!r} violated the protocol: {exc}")
