"""A server object in this program, called in the caller's event loop. The one place that knows FastMCP's insides."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, final

import anyio

from aimu.aio._mcp.session import listed, refusal
from aimu.errors import InvalidOptionError, MCPTimeoutError

T = TypeVar("T")


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
        return await self._in_session(lambda client: listed(client, fresh=fresh))

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
            if on_progress is not None:
                return await self._call_with_progress(name, arguments, on_progress)
            if self._direct:
                return await self._call_directly(name, arguments)
            return await self._in_session(lambda client: client.call_tool(name, arguments))
        raise MCPTimeoutError(f"MCP server {self.name!r}: tool {name!r} did not come within {seconds:g} s")

    async def _call_directly(self, name: str, arguments: dict[str, Any]) -> Any:
        from fastmcp.tools.base import ToolResult
        from mcp_types import TextContent

        try:
            return await self._server.call_tool(name, arguments)
        except Exception as exc:  # noqa: BLE001 - a tool may raise anything: in a session it is a result, too
            return ToolResult(content=[TextContent(type="text", text=str(exc))], is_error=True)

    async def _call_with_progress(
        self, name: str, arguments: dict[str, Any], on_progress: Callable[..., object]
    ) -> Any:
        failures: list[Exception] = []

        async def progress(*update: Any) -> None:
            try:
                pending = on_progress(*update)
                if inspect.isawaitable(pending):
                    await pending
            except Exception as exc:  # noqa: BLE001 - raised below; the SDK would log it and go on
                failures.append(exc)
                scope.cancel()

        results: list[Any] = []
        with anyio.CancelScope() as scope:
            call = self._in_session(lambda client: client.call_tool(name, arguments, progress_callback=progress))
            results.append(await call)
        if failures:
            raise failures[0]
        return results[0]

    async def _in_session(self, request: Callable[[Any], Awaitable[T]]) -> T:
        """`request(client)` in a session of its own; what it raises leaves plain, not in the group of the session."""
        from mcp import Client, MCPError

        outcome: list[T] = []
        failure: Exception | None = None
        async with Client(getattr(self._server, "_mcp_server", self._server), mode="legacy") as client:
            try:
                outcome.append(await request(client))
            except (MCPError, ValueError, RuntimeError) as exc:
                failure = exc
        if failure is not None:
            raise refusal(self.name, failure) from failure
        return outcome[0]


def _has_lifespan(server: Any) -> bool:
    from fastmcp.server.server import default_lifespan

    return getattr(server, "_lifespan", default_lifespan) is not default_lifespan
