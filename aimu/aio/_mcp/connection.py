"""A server behind a connection, which is opened, used, lost and reopened in the owner's event loop."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, final

import anyio

from aimu._core.groups import unwrap
from aimu.aio._mcp.config import HTTPSpec, ProcessSpec, Spec
from aimu.aio._mcp.owner import Owner, Report
from aimu.aio._mcp.process import LAST_WORDS, ServerProcess
from aimu.aio._mcp.session import listed, refusal
from aimu.errors import ClosedClientError, MCPConnectionError, MCPTimeoutError

T = TypeVar("T")
log = logging.getLogger("aimu.aio")

HTTP_TIMEOUT = 30.0  # s; to connect and to send
HTTP_SILENCE = 300.0  # s; longest pause between two parts of an answer, unless the timeout of requests is longer


@final
class Connection:
    """One connection, from opening to closing; the async task that calls `run` enters, holds and leaves it."""

    def __init__(self, spec: Spec, timeout: float | None) -> None:
        self.client: Any = None  # an mcp.Client, once it is connected
        self.opened = anyio.Event()  # also set if opening failed
        self.closed = anyio.Event()
        self.lost = False
        self.suspect = False  # whether an error occurred that it may not recover from
        self.failure: BaseException | None = None
        self._spec = spec
        self._timeout = timeout
        self._scope = anyio.CancelScope()
        self._end = anyio.Event()
        self._left = False
        self._process: ServerProcess | None = None
        self._status: str | None = None  # the last HTTP status, if it was an error

    async def run(self) -> None:
        from mcp import Client

        try:
            with self._scope:
                if self._timeout is not None:
                    self._scope.deadline = anyio.current_time() + self._timeout
                async with Client(self._transport()) as self.client:
                    self._scope.deadline = math.inf
                    if self._process is not None:
                        self._process.polite = True
                    self.opened.set()
                    await self._end.wait()
            if self._scope.cancelled_caught and not self._left:
                self.failure = MCPTimeoutError(
                    f"MCP server {self._spec.name!r} did not answer the handshake within {self._timeout:g} s"
                )
        except Exception as exc:
            self.failure = unwrap(exc)
            log.debug("MCP server %r: connection lost", self._spec.name, exc_info=exc)
        finally:
            self.lost = True
            self.opened.set()
            self.closed.set()

    def end(self) -> None:
        """Close the connection because its transport has ended; calls in flight fail."""
        self.lost = True
        self._end.set()

    def leave(self) -> None:
        """Close the connection at the user's request; if it is still opening, cancel that."""
        self._left = True
        self.end()
        if not self.opened.is_set():
            self._scope.cancel()

    def error(self, cause: BaseException | None = None) -> Exception:
        """Return the error for a request that this connection cannot answer."""
        name = self._spec.name
        if self._left:
            return ClosedClientError(f"the MCP client of {name!r}")
        failure = self.failure or cause
        if isinstance(failure, MCPTimeoutError):
            return MCPTimeoutError(*failure.args)
        if isinstance(failure, MCPConnectionError):
            return MCPConnectionError(name, failure.reason)
        if self._process is not None:
            return MCPConnectionError(name, f"it {self._process.ending}", stderr=self._process.stderr)
        reason = f"it answered {self._status}" if self._status else str(failure or "it closed the connection")
        return MCPConnectionError(name, f"{reason} ({self._spec.place})")

    def _transport(self) -> AbstractAsyncContextManager[Any]:
        if isinstance(self._spec, ProcessSpec):
            # Pipes cannot be polled on Windows: use the SDK's transport there, without stderr in errors.
            if sys.platform == "win32":
                from mcp.client.stdio import StdioServerParameters, stdio_client

                spec = self._spec
                return stdio_client(
                    StdioServerParameters(command=spec.command, args=list(spec.args), env=dict(spec.env), cwd=spec.cwd)
                )
            self._process = ServerProcess(self._spec, self.end)
            return self._process.streams()
        return self._http(self._spec)

    @asynccontextmanager
    async def _http(self, spec: HTTPSpec) -> AsyncGenerator[Any]:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async def note(response: Any) -> None:
            if response.request.method == "POST":  # the others are optional, and servers often refuse them
                self._status = f"HTTP {response.status_code} {response.reason_phrase}" if response.is_error else None

        async with (
            httpx2.AsyncClient(
                headers=dict(spec.headers),
                timeout=httpx2.Timeout(HTTP_TIMEOUT, read=max(HTTP_SILENCE, self._timeout or 0)),
                event_hooks={"response": [note]},
            ) as http,
            streamable_http_client(spec.url, http_client=http) as streams,
        ):
            yield streams


@final
class RemoteServer:
    """A server in another process, as `MCPClient` uses it, from any event loop.

    When the connection is lost, a call in flight fails and is not repeated, because it may have run. With `reconnect`,
    the next call opens a new connection.
    """

    def __init__(self, spec: Spec, owner: Owner, *, reconnect: bool, timeout: float | None) -> None:
        self.name = spec.name
        self._spec = spec
        self._owner = owner
        self._reconnect = reconnect
        self._timeout = timeout
        self._connection: Connection | None = None

    async def tools(self, *, fresh: bool = False) -> list[Any]:
        """Return all tools, as `mcp_types.Tool`."""

        async def pages(client: Any, _: Report) -> list[Any]:
            return await listed(client, fresh=fresh)

        return await self._request("the request for its tools", pages, None, None)

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
            MCPError: The server answers with a protocol error.
        """

        async def call(client: Any, report: Report) -> Any:
            async def progress(*update: Any) -> None:
                report(*update)

            return await client.call_tool(name, arguments, progress_callback=progress if on_progress else None)

        return await self._request(f"tool {name!r}", call, timeout, on_progress)

    def current(self) -> Connection:
        """Return the connection, opening one if there is none or `reconnect` must replace a lost one.

        Call this in the owner's loop only.
        """
        connection = self._connection
        if connection is None or (self._reconnect and (connection.lost or connection.suspect)):
            if connection is not None:
                connection.end()
            connection = self._connection = Connection(self._spec, self._timeout)
            self._owner.keep(connection)
        return connection

    async def _request(
        self,
        what: str,
        request: Callable[[Any, Report], Awaitable[T]],
        timeout: float | None,
        on_progress: Callable[..., object] | None,
    ) -> T:
        """Run `request(client, report)` in the owner's loop on a live connection, within the timeout."""
        seconds = self._timeout if timeout is None else timeout

        async def work(report: Report) -> T:
            # A deadline of our own, which messages that the server sends meanwhile do not extend.
            with anyio.move_on_after(seconds):
                return await self._on_connection(request, report)
            raise MCPTimeoutError(f"MCP server {self.name!r}: {what} gave no answer within {seconds:g} s")

        return await self._owner.ask(work, on_progress)

    async def _on_connection(self, request: Callable[[Any, Report], Awaitable[T]], report: Report) -> T:
        from mcp import MCPError as ProtocolError
        from mcp_types import CONNECTION_CLOSED

        connection = self.current()
        await connection.opened.wait()
        if connection.lost:
            raise connection.error() from connection.failure
        try:
            return await request(connection.client, report)
        except ProtocolError as exc:
            # The SDK's text for a 404 to a session id, which a restarted HTTP server does not know.
            if exc.code == CONNECTION_CLOSED or exc.message == "Session terminated":
                connection.suspect = True
                with anyio.move_on_after(LAST_WORDS):  # so that the reason is known
                    await connection.closed.wait()
                raise connection.error(exc) from exc
            raise refusal(self.name, exc) from exc
        except (ValueError, RuntimeError) as exc:  # raised by the SDK's checks of what the server sent
            raise refusal(self.name, exc) from exc


async def connect(owner: Owner, servers: Iterable[RemoteServer]) -> None:
    """Connect to all servers concurrently; raise the error of the first one, in order, that fails."""

    async def work(_: Report) -> None:
        for connection in [server.current() for server in servers]:
            await connection.opened.wait()
            if connection.lost:
                raise connection.error() from connection.failure

    await owner.ask(work)
