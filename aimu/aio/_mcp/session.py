"""Requests to a client of the mcp package, whatever its transport."""

from __future__ import annotations

from typing import Any


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
