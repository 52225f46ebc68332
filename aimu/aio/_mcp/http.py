"""The HTTP client under the SDK's transport: one failed request fails one call, with every fact that is known.

The SDK's transport ends with the first exception of its HTTP client, reduces an HTTP error to its status, and reads
bodies without a bound. So this client raises nothing for a POST: it answers in the place of the server with a JSON-RPC
error that holds a `Fault`. Knows nothing of the calls.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, final

import anyio
import httpx2

from aimu.aio._mcp.answers import EVENTS, RequestId, checked_body, checked_event, event_of
from aimu.aio._mcp.faults import Fault, excerpt, silent, tells_lost_session, too_large
from aimu.aio._mcp.framing import END, Oversized
from aimu.aio._mcp.messages import failed, read_messages
from aimu.providers._bounded import BodyError
from aimu.providers._excerpt import words_of
from aimu.providers._received import Bounds

LARGEST_ERROR = 65536  # bytes of the body of an HTTP error that are read
CLOSING = 1.0  # s; to close a response
_INTERNAL_ERROR = -32603
_METHOD_NOT_FOUND = -32601  # which the protocol of 2026-07-28 answers with status 404
_KEPT = ("www-authenticate", "retry-after")
_LOGIN = "; pass a token as bearer= or headers= (logging in by OAuth is not supported)"


@final
class Client(httpx2.AsyncClient):  # type: ignore[misc,unused-ignore]
    """An HTTP client whose POST requests are always answered.

    Args:
        largest: Bytes of the largest message that is accepted.
        probe: Seconds to wait for the answer to `server/discover`.
        answers: Whether the answer to a POST comes with it; otherwise it comes elsewhere.
        hide: Hides the secrets of requests in a text.
        **options: As for httpx2.
    """

    def __init__(
        self, *, largest: int, probe: float, hide: Callable[[str], str], answers: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self._answers = answers
        self.hide = hide
        self._largest = largest
        self._probe_seconds = probe
        self._bounds = Bounds(math.inf)  # a stream of events may be as long as the connection

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # type: ignore[override,unused-ignore]
        if request.method != "POST":
            response = await self._sent(request, options)
            return self._event_stream(response, None) if _has_type(response, EVENTS) else response
        try:
            if b'"server/discover"' in await request.aread():  # a redirected request has not been read yet
                with anyio.move_on_after(self._probe_seconds):
                    return await self._answered(request, options)
                return _answer(request, silent(self._probe_seconds))
            return await self._answered(request, options)
        except httpx2.RequestError as exc:
            return _answer(request, network_fault(exc))

    async def _answered(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        response = await self._sent(request, options)
        if response.is_error:
            return await _refused(request, response, self.hide)
        if not self._answers:
            return _with_body(response, await _read(response, LARGEST_ERROR) or b"")
        asked = _id_of(request)
        if asked is None or response.has_redirect_location:
            return response
        if _has_type(response, EVENTS):
            return self._event_stream(response, asked)
        if not _has_type(response, "application/json"):
            return _answer(request, _no_message(response, await _read(response, LARGEST_ERROR), self.hide))
        body = await _read(response, self._largest)
        if body is None:
            return _answer(request, too_large(self._largest))
        kind, content = checked_body(body, asked, self.hide)
        return _with_body(response, content, kind)

    async def _sent(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        request.extensions = {**request.extensions, "trace": self._bounds.tracing()}
        try:
            response = await super().send(request, **options)
        except BodyError as exc:
            raise httpx2.RemoteProtocolError(str(exc)) from exc
        self._bounds.begun(response)
        return response

    def _event_stream(self, response: httpx2.Response, request: RequestId | None) -> httpx2.Response:
        if response.is_error:
            return response
        events = _Events(response, self._largest, request, self.hide)
        return httpx2.Response(response.status_code, headers=_plain(response), stream=events, request=response.request)


@final
class _Events(httpx2.AsyncByteStream):  # type: ignore[misc,unused-ignore]
    """The body of an event stream, passed on by whole events; `request` is what it answers, or None.

    In the place of an event that is too large or not valid comes an error. If the stream breaks off before any event
    that the SDK could resume after, an error with the reason ends it.
    """

    def __init__(
        self, response: httpx2.Response, largest: int, request: RequestId | None, hide: Callable[[str], str]
    ) -> None:
        self._response = response
        self._hide = hide
        self._largest = largest
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        resumable = False
        try:
            async with aclosing(_events(self._response, self._largest)) as events:
                async for event in events:
                    if isinstance(event, bytes):
                        resumable = resumable or event.startswith(b"id:") or b"\nid:" in event
                        yield event if self._request is None else checked_event(event, self._request, self._hide)
                    elif self._request is not None:
                        yield event_of(failed(None, too_large(self._largest)))
                    else:
                        for answer in read_messages(event):
                            yield event_of(answer)
        except httpx2.RequestError as exc:
            if resumable or self._request is None:
                raise
            yield event_of(failed(None, network_fault(exc)))

    async def aclose(self) -> None:
        await self._response.aclose()


async def _events(response: httpx2.Response, largest: int) -> AsyncGenerator[bytes | Oversized]:
    """Yield the events, each with the empty line that ends it."""
    held, size = bytearray(), 0
    half = b""  # a line end that may go on in the next chunk

    def event() -> bytes | Oversized:
        nonlocal size
        whole, length = bytes(held), size
        held.clear()
        size = 0
        data = whole[whole.find(b"data:") + 5 :]
        return whole if length <= largest else Oversized(data[:END], whole[-END:], length, largest)

    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            text = half + chunk
            half = b"\r" if text.endswith(b"\r") else b""
            text = text[: len(text) - len(half)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if held.endswith(b"\n") and text.startswith(b"\n"):
                held += b"\n"
                text = text[1:]
                yield event()
            *ended, rest = text.split(b"\n\n")
            for piece in ended:
                held += piece + b"\n\n"
                size += len(piece)
                yield event()
            held += rest
            size += len(rest)
            if size > largest and len(held) > 3 * END:
                held[END:-END] = b""
    if half:
        held += b"\n"
    if held:
        yield event()


async def _read(response: httpx2.Response, largest: int) -> bytes | None:
    """Return the body, or None if it is too large."""
    parts: list[bytes] = []
    size = 0
    try:
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > largest:
                    return None
                parts.append(chunk)
    finally:
        # Shielded, since a cancelled call must free its connection too; bounded, since a TLS peer may not answer.
        with anyio.move_on_after(CLOSING, shield=True):
            await response.aclose()
    return b"".join(parts)


async def _refused(request: httpx2.Request, response: httpx2.Response, hide: Callable[[str], str]) -> httpx2.Response:
    """Return the answer to a request that the server refused with an HTTP error."""
    body = await _read(response, LARGEST_ERROR) or b""
    error = _protocol_error(body)
    fault = _fault(request, response, body, error, hide)
    status = response.status_code
    if error and fault.kind == "status" and status not in (401, 403, 429) and status < 500:
        return _with_body(response, body)  # an error of the protocol, which some servers give a status
    return _answer(request, fault, error)


async def refused_fault(request: httpx2.Request, response: httpx2.Response, hide: Callable[[str], str]) -> Fault:
    """Return the facts of an HTTP error."""
    body = await _read(response, LARGEST_ERROR) or b""
    return _fault(request, response, body, _protocol_error(body), hide)


def _fault(
    request: httpx2.Request,
    response: httpx2.Response,
    body: bytes,
    error: dict[str, Any] | None,
    hide: Callable[[str], str],
) -> Fault:
    status = response.status_code
    # Before anything is cut off.
    words = hide(str(error["message"])) if error else excerpt(hide(body.decode(errors="replace")))
    reason = f"it answered HTTP {status} {response.reason_phrase}" + (f": {words}" if words else "")
    gone = status == 404 and (error is None or error["code"] != _METHOD_NOT_FOUND)
    lost = "mcp-session-id" in request.headers and (gone or tells_lost_session(words))
    if lost:
        reason = f"it lost the session: {reason}"
    if status == 401:
        reason += _LOGIN
    headers = {name: hide(response.headers[name]) for name in _KEPT if name in response.headers}
    return Fault(kind="session" if lost else "status", reason=reason, status=status, headers=headers)


def _protocol_error(body: bytes) -> dict[str, Any] | None:
    try:
        error = json.loads(body)["error"]
        return error if isinstance(error["code"], int) and isinstance(error["message"], str) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def network_fault(exc: httpx2.RequestError) -> Fault:
    """Return the facts of a request that got no answer, or not all of it."""
    words = words_of(exc) or type(exc).__name__
    if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Fault(kind="unreachable", reason=f"it cannot be reached: {words}")
    return Fault(kind="network", reason=f"the request failed: {words}")


def _answer(request: httpx2.Request, fault: Fault, error: dict[str, Any] | None = None) -> httpx2.Response:
    """Return an answer with an error, to which the SDK gives the id of the request."""
    given = error or {}
    told = fault.error(given.get("code", _INTERNAL_ERROR), given.get("message"), given.get("data"))
    message = {"jsonrpc": "2.0", "id": None, "error": told}
    return httpx2.Response(fault.status or 502, json=message, request=request)


def unanswered(response: httpx2.Response, request: int | str) -> Any:
    """Return the JSON-RPC error that answers a request, out of the answer of `Client` to its POST."""
    from mcp_types import JSONRPCError

    return JSONRPCError.model_validate({**json.loads(response.content), "id": request})


def _with_body(response: httpx2.Response, body: bytes, kind: str = "application/json") -> httpx2.Response:
    headers = {**_plain(response), "content-type": kind}
    return httpx2.Response(response.status_code, headers=headers, content=body, request=response.request)


def _id_of(request: httpx2.Request) -> RequestId | None:
    """Return the id of a request that wants an answer; None for a notification, or the answer to a server."""
    message = json.loads(request.content)
    return message.get("id") if "method" in message else None


def _no_message(response: httpx2.Response, body: bytes | None, hide: Callable[[str], str]) -> Fault:
    """Return the facts of a success that is not one: a page, which is None if it is long, or nothing."""
    kind = response.headers.get("content-type", "").partition(";")[0] or "no content type"
    shown = kind if body is None else f"{kind}: {excerpt(hide(body.decode(errors='replace')))}"
    if body == b"":
        shown = "an empty body"
    status = f"HTTP {response.status_code} {response.reason_phrase}"
    return Fault(
        kind="invalid", reason=f"answered {status} with {shown}; it must be JSON or an event stream, so check its URL"
    )


def _plain(response: httpx2.Response) -> dict[str, str]:
    """Return the headers without those that describe the body as it was sent."""
    gone = ("content-length", "content-encoding", "transfer-encoding")
    return {name: value for name, value in response.headers.items() if name not in gone}


def _has_type(response: httpx2.Response, kind: str) -> bool:
    given: str = response.headers.get("content-type", "")
    return given.lower().startswith(kind)
