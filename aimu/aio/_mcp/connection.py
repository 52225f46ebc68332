"""One connection to a server behind a transport, from opening to closing, in the owner's event loop."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, final

import anyio

from aimu._core.escaping import escaping
from aimu._core.foreign_logs import keep_out_of_logs
from aimu._core.groups import single_failure
from aimu._core.secrets import Secrets
from aimu.aio._mcp.config import HTTPSpec, Spec
from aimu.aio._mcp.faults import E, error_of, fault_of, is_closed, without_secrets, words
from aimu.aio._mcp.negotiation import Attempt, attempts, confirm
from aimu.aio._mcp.options import Settings
from aimu.aio._mcp.process import ServerProcess
from aimu.aio._mcp.session import Session
from aimu.aio._mcp.tolerance import tolerant
from aimu.aio._mcp.unasked import Unasked
from aimu.errors import ClosedClientError, InvalidOptionError, MCPConnectionError, MCPTimeoutError

if TYPE_CHECKING:
    from aimu.aio._mcp.login import Login

log = escaping(logging.getLogger("aimu.aio"))

HTTP_TIMEOUT = 30.0  # s; to connect and to send
HTTP_SILENCE = 300.0  # s; longest pause between two parts of an answer, unless the timeout of requests is longer


@final
class Connection:
    """One connection; the async task that calls `run` enters, holds and leaves it."""

    def __init__(self, spec: Spec, settings: Settings, unasked: Unasked) -> None:
        self.session: Session | None = None  # once it is connected
        self.opened = anyio.Event()  # also set if opening failed
        self.closed = anyio.Event()
        self.suspect = False  # whether the server no longer knows the session
        self._users = 0  # requests in flight
        self._retired = False
        self.failure: BaseException | None = None
        self._spec = spec
        self._settings = settings
        self._unasked = unasked
        self._scope = anyio.CancelScope()
        self._end = anyio.Event()
        self._left = False
        self._process: ServerProcess | None = None
        self._login: Login | None = None
        self._logged: Secrets | None = None

    async def run(self) -> None:
        try:
            for attempt in attempts(self._spec, self._settings.protocol, self._settings.timeout):
                if self.opened.is_set() or self._left:
                    break
                if attempt.after(self.failure):
                    await self._attempt(attempt)
        finally:
            self._end.set()
            self.opened.set()
            self.closed.set()

    async def _attempt(self, attempt: Attempt) -> None:
        from mcp import Client

        first, self.failure = self.failure, None
        if first is not None:
            log.info("MCP server %r: begins again in an earlier way, because %s", self._spec.name, first)
        self._end = end = anyio.Event()
        try:
            with single_failure(), anyio.CancelScope(deadline=attempt.deadline) as self._scope:
                transport = tolerant(self._transport(attempt, end), self._spec.name)
                async with Client(transport, mode=attempt.mode, **self._unasked.callbacks()) as client:
                    await confirm(client, attempt.mode)
                    self.session = Session(client, self._spec.name)
                    self._scope.deadline = math.inf
                    if self._process is not None:
                        self._process.polite = True
                    self.opened.set()
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._listen, client)
                        await end.wait()
                        group.cancel_scope.cancel()
            if self._scope.cancelled_caught and not self._left:
                self.failure = MCPTimeoutError(
                    f"MCP server {self._spec.name!r} did not answer the handshake within {self._settings.timeout:g} s"
                    if self._settings.timeout is not None
                    else "no answer to the handshake"
                )
        except Exception as exc:
            self.hide(exc)
            self.failure = first if attempt.sse and first is not None else exc
            log.debug("MCP server %r: connection lost", self._spec.name, exc_info=exc)

    async def _listen(self, client: Any) -> None:
        """Ask a server of the newest protocol to say when its tools change; earlier ones do so unasked."""
        from mcp import MCPError
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:  # the SDK hands each to the callback, too
                    pass
        except (ListenNotSupportedError, SubscriptionLost, MCPError) as exc:
            log.debug("MCP server %r: does not tell changes: %s", self._spec.name, exc)

    def hide(self, error: E) -> E:
        """Hide in an error what the server was given to log in, and return the error."""
        return without_secrets(error, self._secrets)

    @property
    def _secrets(self) -> Secrets:
        return Secrets((*self._spec.secrets, *(self._login.secrets if self._login is not None else ())))

    @property
    def lost(self) -> bool:
        """Whether the connection has ended or is ending; so are the calls in flight."""
        return self._end.is_set() and (self.opened.is_set() or self._left)

    def retire(self) -> None:
        """Close the connection when its last request has ended."""
        self._retired = True
        if not self._users:
            self._end.set()

    @contextmanager
    def used(self) -> Generator[Session]:
        """The session for one request."""
        assert self.session is not None
        self._users += 1
        try:
            yield self.session
        finally:
            self._users -= 1
            if self._retired:
                self.retire()

    def leave(self) -> None:
        """Close the connection at the user's request; if it is still opening, cancel that."""
        self._left = True
        self._end.set()
        if not self.opened.is_set():
            self._scope.cancel()

    def drop(self) -> None:
        """Close the connection at once, without a grace period for the server."""
        if self._process is not None:
            self._process.polite = False
        self.leave()
        self._scope.cancel()

    def error(self, cause: BaseException | None = None, hint: str = "") -> Exception:
        """Return the error for a request that this connection cannot answer; `hint` says what the next call does."""
        return self.hide(self._error(cause, hint))

    def _error(self, cause: BaseException | None, hint: str) -> Exception:
        from pydantic import ValidationError

        name, place = self._spec.name, self._spec.place
        if self._left:
            return ClosedClientError(f"the MCP client of {name!r}")
        failure = self.failure or cause
        if isinstance(failure, MCPTimeoutError):
            return MCPTimeoutError(*failure.args)
        if isinstance(failure, MCPConnectionError):
            return MCPConnectionError(name, failure.reason)
        if isinstance(failure, InvalidOptionError):  # in a variable of the environment
            return InvalidOptionError(*failure.args)
        fault = fault_of(failure)
        if fault is not None and fault.kind == "invalid" and self.session is None:
            return MCPConnectionError(name, f"it {fault.reason} ({place})")
        if fault is not None:
            return error_of(fault, name, place, hint)
        if self.session is None and failure is not None and not is_closed(failure) and not _is_pipe_end(failure):
            code = getattr(failure, "code", None)
            told = words(failure) + (f" (code {code})" if code is not None else "")
            what = "violated the protocol in" if isinstance(failure, ValidationError) else "refused"
            stderr = self._process.stderr if self._process is not None else ""
            return MCPConnectionError(name, f"it {what} the handshake: {told} ({place})", stderr=stderr)
        if self._process is not None:
            return MCPConnectionError(name, f"it {self._process.ending}{hint}", stderr=self._process.stderr)
        return MCPConnectionError(name, f"{failure or 'it closed the connection'}{hint} ({place})")

    def _transport(self, attempt: Attempt, end: anyio.Event) -> AbstractAsyncContextManager[Any]:
        if isinstance(self._spec, HTTPSpec):
            return self._http(self._spec, attempt)
        # Pipes cannot be polled on Windows: use the SDK's transport there, without stderr in errors.
        if sys.platform == "win32":
            from mcp.client.stdio import StdioServerParameters, stdio_client

            spec = self._spec
            return stdio_client(
                StdioServerParameters(command=spec.command, args=list(spec.args), env=dict(spec.env), cwd=spec.cwd)
            )
        self._process = ServerProcess(
            self._spec, end.set, probe=attempt.probe, largest=self._settings.max_message_bytes
        )
        return self._process.streams()

    @asynccontextmanager
    async def _http(self, spec: HTTPSpec, attempt: Attempt) -> AsyncGenerator[Any]:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        from aimu.aio._mcp import sse
        from aimu.aio._mcp.http import Client
        from aimu.aio._mcp.login import Login, is_needed
        from aimu.providers._environment import check_environment, tls

        check_environment()
        self._login = Login(self._settings)
        self._logged = self._secrets  # held as long as the connection
        keep_out_of_logs(self._logged)
        silence = max(HTTP_SILENCE, self._settings.timeout or 0)
        async with (
            Client(
                largest=self._settings.max_message_bytes,
                probe=attempt.probe,
                answers=not attempt.sse,
                auth=self._login if is_needed(self._settings) else None,
                hide=lambda text: self._secrets.hide(text),
                headers=dict(spec.headers),
                timeout=httpx2.Timeout(HTTP_TIMEOUT, read=silence, pool=None),
                verify=tls(),
            ) as http,
            sse.streams(http, spec.url)
            if attempt.sse
            else streamable_http_client(spec.url, http_client=http, max_sse_event_size=None) as streams,
        ):
            yield streams


def _is_pipe_end(failure: BaseException) -> bool:
    return isinstance(failure, anyio.ClosedResourceError | anyio.BrokenResourceError | anyio.EndOfStream | OSError)
