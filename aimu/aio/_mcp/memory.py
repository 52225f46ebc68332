"""A server object in this program, called in the caller's event loop.

Only this module depends on internals of FastMCP.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, final

import anyio

from aimu.aio._mcp.faults import refusal
from aimu.aio._mcp.session import listed
from aimu.errors import InvalidOptionError, MCPTimeoutError

T = TypeVar("T")


@final
class MemoryServer:
    """A FastMCP server, or a server of the mcp package, as `MCPClient` uses it.

    A FastMCP server is called directly. A call that needs an MCP session, to report progress or because the server has
    a lifespan, gets its own, in the mode that supports progress.
    """

    def __init__(self, server: Any, *, timeout: float | None) -> None:
        from fastmcp import FastMCP
        from mcp.server import MCPServer, Server

        if not isinstance(server, FastMCP | MCPServer | Server):
            raise InvalidOptionError(
                f"server= must be a FastMCP server object, got {type(server).__name__}; for a process or a URL, pass "
                "config= or file="
            )
        self.name: str = server.name
        self._server: Any = server
        self._timeout = timeout
        self._direct = isinstance(server, FastMCP) and not _has_lifespan(server)

    async def tools(self, *, fresh: bool = False) -> list[Any]:
        """Return all tools, as `mcp_types.Tool`."""
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
        """Call a tool and return an `mcp_types.CallToolResult`, or an object with the same attributes.

        Raises:
            MCPTimeoutError: The server does not answer in time.
            MCPError: The server answers with a protocol error.
        """
        seconds = self._timeout if timeout is None else timeout
        with anyio.move_on_after(seconds):
            if on_progress is not None:
                return await self._call_with_progress(name, arguments, on_progress)
            if self._direct:
                return await self._call_directly(name, arguments)
            return await self._in_session(lambda client: client.call_tool(name, arguments))
        raise MCPTimeoutError(f"MCP server {self.name!r}: tool {name!r} gave no answer within {seconds:g} s")

    async def _call_directly(self, name: str, arguments: dict[str, Any]) -> Any:
        from fastmcp.tools.base import ToolResult
        from mcp_types import TextContent

        try:
            return await self._server.call_tool(name, arguments)
        except Exception as exc:  # noqa: BLE001 - a tool may raise anything, and an MCP session makes that a result too
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
            except Exception as exc:  # noqa: BLE001 - raised below; the SDK would log it and continue
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
        """Run `request(client)` in an MCP session of its own; raise its errors outside the session's task group."""
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
