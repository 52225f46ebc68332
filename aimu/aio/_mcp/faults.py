"""What goes wrong with a server, in words: the facts of a failed request, and the library's errors made of them.

A transport that fails one request answers it with a JSON-RPC error whose `data` holds a `Fault`; so only that request
fails, and no fact is lost on the way through the SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, final

from attrs import asdict, field, frozen

from aimu._core.secrets import Secrets
from aimu.errors import MCPConnectionError, MCPError, MCPTooLargeError

E = TypeVar("E", bound=BaseException)

_KEY = "aimu.fault"
_EXCERPT = 300  # characters of a body in an error text
_FINDINGS = 3  # of one check
_SESSION_CODES = (-32600, -32000, -32001)  # of the SDKs of Python and TypeScript; other codes are about the request
_SESSION_LOST = re.compile(
    r"session\b.{0,80}\b(not found|expired|unknown|invalid|terminated|closed|does not exist|no longer)"
    r"|\b(no valid|invalid|unknown|expired|missing|no) session\b"
    r"|not (been )?initialized|before initialization",
    re.IGNORECASE | re.DOTALL,
)


@final
@frozen(kw_only=True)
class Fault:
    """Why a request failed.

    `status`: the server answered with an HTTP error. `network`: there was no answer, or not all of it. `unreachable`:
    the server accepts no connection. `size`: the answer is too large. `session`: the server does not know the session.
    `invalid`: the answer is not a JSON-RPC message.
    """

    kind: Literal["status", "network", "unreachable", "size", "session", "invalid"]
    reason: str
    status: int | None = None
    limit: int = 0
    headers: Mapping[str, str] = field(factory=dict[str, str])

    def error(self, code: int, message: str | None = None, data: Any = None) -> dict[str, Any]:
        """Return it as a JSON-RPC error."""
        given = data if isinstance(data, dict) else {} if data is None else {"data": data}
        return {"code": code, "message": message or self.reason, "data": {**given, _KEY: asdict(self)}}


def too_large(limit: int) -> Fault:
    """Return the facts of an answer that was discarded."""
    return Fault(kind="size", reason="the answer is too large", limit=limit)


def silent(seconds: float) -> Fault:
    """Return the facts of a probe that got no answer."""
    return Fault(kind="network", reason=f"it gave no answer within {seconds:g} s")


def not_a_response(reason: str) -> Fault:
    """Return the facts of an answer that cannot be read."""
    return Fault(kind="invalid", reason=f"violated the protocol: its answer is not a JSON-RPC response: {reason}")


class RefusedError(Exception):
    """A transport could not connect, for the reason of its `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


def fault_of(exc: BaseException | None) -> Fault | None:
    """Return the facts that a transport put into a protocol error, or None if the error is the server's own."""
    if isinstance(exc, RefusedError):
        return exc.fault
    data = getattr(getattr(exc, "error", None), "data", None)
    if isinstance(data, dict) and _KEY in data:
        return Fault(**data[_KEY])
    message = str(getattr(exc, "message", ""))
    if message.startswith("SSE stream"):  # the SDK's words for an answer that was cut off
        return Fault(kind="network", reason=f"its answer was cut off: {message}")
    return None


def lost_session(exc: BaseException) -> Fault | None:
    """Return the facts of a protocol error over HTTP that says that the session is lost, or None for any other one."""
    message = str(getattr(exc, "message", ""))
    if getattr(exc, "code", None) in _SESSION_CODES and tells_lost_session(message):
        return Fault(kind="session", reason=f"it lost the session: {message}")
    return None


def is_closed(exc: BaseException) -> bool:
    """Return whether a protocol error is the SDK's own for requests to a connection that has ended."""
    from mcp_types import CONNECTION_CLOSED

    return getattr(exc, "code", None) == CONNECTION_CLOSED and getattr(exc, "message", None) == "Connection closed"


def tells_lost_session(message: str) -> bool:
    """Return whether a server's error text says that it does not know the session."""
    return bool(_SESSION_LOST.search(message[:1000]))


def excerpt(text: str) -> str:
    """Return the beginning of a body, in one line."""
    words = " ".join(text.split())
    return words if len(words) <= _EXCERPT else f"{words[:_EXCERPT]}..."


def words(exc: BaseException) -> str:
    """Return what an error says, in one line; of a failed check of a server's answer, the first of its findings."""
    from pydantic import ValidationError

    if not isinstance(exc, ValidationError):
        return str(exc) or type(exc).__name__
    found = exc.errors(include_url=False, include_input=False)
    told = [": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"]))) for item in found[:_FINDINGS]]
    more = f"; and {len(found) - _FINDINGS} more" if len(found) > _FINDINGS else ""
    return excerpt("; ".join(told)) + more


def error_of(fault: Fault, server: str, place: str, hint: str = "") -> MCPError:
    """Return the library's error for a failed request; `hint` says what the next call does."""
    if fault.kind == "size":
        return MCPTooLargeError(server, fault.limit)
    if fault.kind == "invalid":
        return MCPError(f"MCP server {server!r} {fault.reason}")
    reason = fault.reason
    challenge, retry = fault.headers.get("www-authenticate", ""), fault.headers.get("retry-after", "")
    if challenge:
        reason += f"; WWW-Authenticate: {challenge}"
    if retry:
        reason += f"; Retry-After: {retry}"
    if fault.kind in ("session", "unreachable"):
        reason += hint
    return MCPConnectionError(
        server, f"{reason} ({place})", status=fault.status, www_authenticate=challenge, retry_after=retry
    )


def without_secrets(error: E, secrets: Secrets) -> E:
    """Hide the secrets in all texts of an error, of the library or the SDK, and of its causes; return the error."""
    secrets.hide_in(error)
    for name in ("reason", "stderr", "www_authenticate"):
        if isinstance(text := getattr(error, name, None), str):
            setattr(error, name, secrets.hide(text))
    told: Any = getattr(error, "error", None)  # of the SDK's
    if isinstance(getattr(told, "message", None), str):
        told.message = secrets.hide(told.message)
    return error


def refusal(server: str, exc: Exception) -> MCPError:
    """Return the library's error for an MCPError of the SDK, or for an error of its checks of the server's answers."""
    from mcp import MCPError as ProtocolError

    if isinstance(exc, ProtocolError):
        return MCPError(f"MCP server {server!r}: {exc.message or 'it gives no reason'} (code {exc.code})")
    return MCPError(f"MCP server {server!r} violated the protocol: {words(exc)}")
