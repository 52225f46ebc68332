"""A server object in this program, called in the caller's event loop.

Each request has an MCP session of its own, as one over the wire has with the protocol of 2026-07-28. In that protocol
the server runs in the async task of the caller, with its context variables. Only this module and `aimu.aio._serve`
depend on internals of FastMCP.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar, cast, final

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from aimu._core.groups import single_failure
from aimu.aio._mcp.faults import refusal
from aimu.aio._mcp.options import Settings
from aimu.aio._mcp.session import Session
from aimu.aio._mcp.unasked import Unasked
from aimu.errors import InvalidOptionError, MCPTimeoutError

T = TypeVar("T")
MODERN = "2026-07-28"


@final
class MemoryServer:
    """A FastMCP server, or a server of the mcp package, as `MCPClient` uses it."""

    def __init__(self, server: Any, settings: Settings) -> None:
        from fastmcp import FastMCP
        from mcp.server import MCPServer, Server

        if not isinstance(server, FastMCP | MCPServer | Server):
            raise InvalidOptionError(
                f"server= must be a FastMCP server object, got {type(server).__name__}; for a process or a URL, pass "
                "config= or file="
            )
        self.name: str = server.name
        self._server: Any = server
        self._settings = settings
        self.unasked = Unasked(self.name, settings)

    def lifespan(self) -> AbstractAsyncContextManager[object]:
        """Return what holds the server's lifespan, and those of its mounted servers; calls outside enter it anew."""
        hold = getattr(self._server, "_lifespan_manager", nullcontext)
        return cast("AbstractAsyncContextManager[object]", hold())

    async def tools(self, *, fresh: bool = False) -> list[Any]:
        """Return all tools, as `mcp_types.Tool`."""
        return await self._in_session(lambda session: session.tools(fresh=fresh))

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        timeout: float | None,
        on_progress: Callable[..., object] | None,
    ) -> Any:
        """Call a tool and return the `mcp_types.CallToolResult`.

        Raises:
            MCPTimeoutError: The server does not answer in time.
            MCPError: The server answers with a protocol error.
        """
        seconds = self._settings.timeout if timeout is None else timeout
        with anyio.move_on_after(seconds):
            if on_progress is not None:
                return await self._call_with_progress(name, arguments, on_progress)
            return await self._in_session(lambda session: session.call(name, arguments, None))
        raise MCPTimeoutError(f"MCP server {self.name!r}: tool {name!r} gave no answer within {seconds:g} s")

    async def use(self, what: str, request: Callable[[Session], Awaitable[T]]) -> T:
        """Return what `request(session)` returns; `what` names the request in errors."""
        with anyio.move_on_after(self._settings.timeout):
            return await self._in_session(request)
        raise MCPTimeoutError(f"MCP server {self.name!r}: {what} gave no answer within {self._settings.timeout:g} s")

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
            call = self._in_session(lambda session: session.call(name, arguments, progress), reports=True)
            results.append(await call)
        if failures:
            raise failures[0]
        return results[0]

    def _mode(self, reports: bool) -> str:
        """Return the protocol of a session: the newest, but in memory it has neither progress nor `ctx.elicit`."""
        if self._settings.protocol == "legacy" or reports:
            return "legacy"
        asks = self._settings.protocol == "auto" and self._settings.elicit is not None
        return "legacy" if asks else MODERN

    async def _in_session(self, request: Callable[[Session], Awaitable[T]], *, reports: bool = False) -> T:
        """Run `request(session)` in an MCP session of its own; raise its errors outside the session's task group."""
        from mcp import Client, MCPError

        outcome: list[T] = []
        failure: Exception | None = None
        server = getattr(self._server, "_mcp_server", self._server)
        mode = self._mode(reports)
        with single_failure():
            async with Client(server, mode=mode, cache=None, **self.unasked.callbacks()) as client:
                try:
                    outcome.append(await request(Session(client, self.name)))
                except (MCPError, ValueError, RuntimeError) as exc:
                    failure = exc
                # As over the wire, a caller that has left gets no answer, whatever the clean-up on the server did.
                await checkpoint_if_cancelled()
        if failure is not None:
            raise refusal(self.name, failure) from failure
        return outcome[0]
