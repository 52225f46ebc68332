"""A server in another process, used from any event loop: requests, lost connections, and connecting again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, final

import anyio

from aimu._core.escaping import escaping
from aimu.aio._mcp.config import HTTPSpec, ProcessSpec, Spec
from aimu.aio._mcp.connection import Connection
from aimu.aio._mcp.faults import error_of, fault_of, is_closed, lost_session, refusal
from aimu.aio._mcp.options import Settings
from aimu.aio._mcp.owner import Owner, Report
from aimu.aio._mcp.process import LAST_WORDS
from aimu.aio._mcp.session import Session
from aimu.aio._mcp.unasked import Unasked
from aimu.errors import MCPTimeoutError

T = TypeVar("T")
log = escaping(logging.getLogger("aimu.aio"))


@final
class RemoteServer:
    """A server as `MCPClient` uses it.

    When the connection is lost, a call in flight fails and is not repeated, because it may have run. With `reconnect`,
    the next call opens a new connection; calls that are in flight on the old one may finish there.
    """

    def __init__(self, spec: Spec, owner: Owner, settings: Settings) -> None:
        self.name = spec.name
        self._spec = spec
        self._owner = owner
        self._settings = settings
        self._connection: Connection | None = None
        self.unasked = Unasked(spec.name, settings)

    async def tools(self, *, fresh: bool = False) -> list[Any]:
        """Return all tools, as `mcp_types.Tool`."""

        async def tools(session: Session, _: Report) -> list[Any]:
            return await session.tools(fresh=fresh)

        return await self._request("the request for its tools", tools)

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        timeout: float | None,
        on_progress: Callable[..., object] | None,
    ) -> Any:
        """Call a tool and return the `mcp_types.CallToolResult`.

        Raises:
            MCPConnectionError: The connection is lost.
            MCPTimeoutError: The server does not answer in time.
            MCPTooLargeError: The result is too large.
            MCPError: The server answers with a protocol error.
        """

        async def call(session: Session, report: Report) -> Any:
            async def progress(*update: Any) -> None:
                report(*update)

            return await session.call(name, arguments, progress if on_progress else None)

        return await self._request(f"tool {name!r}", call, timeout, on_progress)

    async def use(self, what: str, request: Callable[[Session], Awaitable[T]]) -> T:
        """Return what `request(session)` returns; `what` names the request in errors."""

        async def asked(session: Session, _: Report) -> T:
            return await request(session)

        return await self._request(what, asked)

    def current(self) -> Connection:
        """Return the connection, opening one if there is none or `reconnect` must replace a lost one.

        Call this in the owner's loop only.
        """
        connection = self._connection
        if connection is None or (self._settings.reconnect and (connection.lost or connection.suspect)):
            if connection is not None:
                log.warning("MCP server %r: connecting again, because the connection was lost", self.name)
                connection.retire()
            connection = self._connection = Connection(self._spec, self._settings, self.unasked)
            self._owner.keep(connection)
        return connection

    @property
    def _hint(self) -> str:
        """What comes after a lost connection, for error texts."""
        if self._settings.reconnect:
            return "; the next call connects again"
        return "" if isinstance(self._spec, ProcessSpec) else "; with reconnect=True, the next call connects again"

    async def _request(
        self,
        what: str,
        request: Callable[[Session, Report], Awaitable[T]],
        timeout: float | None = None,
        on_progress: Callable[..., object] | None = None,
    ) -> T:
        """Run `request(session, report)` in the owner's loop on a live connection, within the timeout."""
        seconds = self._settings.timeout if timeout is None else timeout

        async def work(report: Report) -> T:
            # A deadline of our own, which messages that the server sends meanwhile do not extend.
            with anyio.move_on_after(seconds):
                return await self._on_connection(request, report)
            raise MCPTimeoutError(f"MCP server {self.name!r}: {what} gave no answer within {seconds:g} s")

        return await self._owner.ask(work, on_progress)

    async def _on_connection(self, request: Callable[[Session, Report], Awaitable[T]], report: Report) -> T:
        connection = self.current()
        await connection.opened.wait()
        if connection.lost:
            raise connection.error(hint=self._hint) from connection.failure
        with connection.used() as session:
            try:
                return await request(session, report)
            except Exception as exc:
                raise connection.hide(await self._translated(connection, connection.hide(exc))) from exc

    async def _translated(self, connection: Connection, exc: Exception) -> Exception:
        """Return the library's error for a failed request, and note what it says about the connection."""
        from mcp import MCPError as ProtocolError

        if is_closed(exc) or isinstance(exc, anyio.ClosedResourceError | anyio.BrokenResourceError):
            connection.suspect = True
            with anyio.move_on_after(LAST_WORDS):  # so that the reason is known
                await connection.closed.wait()
            return connection.error(exc, self._hint)
        fault = fault_of(exc) or (lost_session(exc) if isinstance(self._spec, HTTPSpec) else None)
        if fault is not None:
            connection.suspect = connection.suspect or fault.kind in ("session", "unreachable")
            return error_of(fault, self.name, self._spec.place, self._hint)
        if isinstance(exc, ProtocolError | ValueError | RuntimeError):  # the latter from the SDK's checks of answers
            return refusal(self.name, exc)
        return exc


async def connect(owner: Owner, servers: Iterable[RemoteServer], *, skip: bool) -> list[RemoteServer]:
    """Connect to all servers concurrently, and return those that are left out because they do not connect.

    Without `skip`, raise the error of the first one, in order, that does not connect.
    """

    async def work(_: Report) -> list[RemoteServer]:
        failed: list[RemoteServer] = []
        for server, connection in [(server, server.current()) for server in servers]:
            await connection.opened.wait()
            if connection.lost:
                if not skip:
                    raise connection.error() from connection.failure
                log.warning("left out: %s", connection.error())
                failed.append(server)
        return failed

    return await owner.ask(work)
