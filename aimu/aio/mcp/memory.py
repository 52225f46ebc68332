"""A server object in this program, called in the caller's event loop. The one place that knows FastMCP's insides."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, final

import anyio

from aimu.errors import InvalidOptionError, MCPTimeoutError


@final
class MemoryServer:
    """A FastMCP server, or one of the mcp package's, as `MCPClient` uses it.

    A FastMCP server is called directly. Where the call needs a session, for progress or because the server has a
    lifespan, it gets one of its own, in the mode in which progress is told.
    """

    def __init__(self, server: Any, *, timeout: float | None) -> None:
        from fastmcp import FastMCP
        from mcp.server import MCPServer, Server

        if not isinstance(server, FastMCP | MCPServer | Server):
            raise InvalidOptionError(
                f"server= takes a FastMCP server object, not {type(server).__name__}; for a process or a URL give "
                "config= or file="
            )
        self.name: str = server.name
        self._server: Any = server
        self._timeout = timeout
        self._direct = isinstance(server, FastMCP) and not _has_lifespan(server)

    async def tools(self, *, fresh: bool = False) -> list[Any]:
        """All tools, as `mcp_types.Tool`."""
        if self._direct:
            return [tool.to_mcp_tool() for tool in await self._server.list_tools()]
        async with self._session() as client:
            return list((await client.list_tools()).tools)

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        timeout: float | None,
        on_progress: Callable[..., object] | None,
    ) -> Any:
        """The result, as `mcp_types.CallToolResult` has it."""
        seconds = self._timeout if timeout is None else timeout
        with anyio.move_on_after(seconds):
            if self._direct and on_progress is None:
                return await self._call_directly(name, arguments)
            async with self._session() as client:
                return await client.call_tool(name, arguments, progress_callback=_awaiting(on_progress))
        raise MCPTimeoutError(f"MCP server {self.name!r}: tool {name!r} did not come within {seconds:g} s")

    async def _call_directly(self, name: str, arguments: dict[str, Any]) -> Any:
        from fastmcp.tools.base import ToolResult
        from mcp_types import TextContent

        try:
            return await self._server.call_tool(name, arguments)
        except Exception as exc:  # noqa: BLE001 - a tool may raise anything: in a session it is a result, too
            return ToolResult(content=[TextContent(type="text", text=str(exc))], is_error=True)

    def _session(self) -> Any:
        from mcp import Client

        return Client(getattr(self._server, "_mcp_server", self._server), mode="legacy")


def _has_lifespan(server: Any) -> bool:
    from fastmcp.server.server import default_lifespan

    return getattr(server, "_lifespan", default_lifespan) is not default_lifespan


def _awaiting(callback: Callable[..., object] | None) -> Callable[..., Awaitable[None]] | None:
    async def awaited(*update: Any) -> None:
        pending = callback(*update) if callback is not None else None
        if inspect.isawaitable(pending):
            await pending

    return None if callback is None else awaited
