"""The transport around every codec: bytes over httpx2, HTTP clients per event loop, and the translation of errors.

An HTTP client belongs to the event loop that first used it, so each loop has its own; `aclose` or the end of the loop
closes it. Does not retry and takes no slot. Raises errors from `aimu.errors` only.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast, final
from urllib.parse import urlsplit

import anyio
from attrs import define, evolve, field, frozen

from aimu._core.loop_end import Nested, loop_end
from aimu._core.reply import Reply
from aimu._core.secrets import hide
from aimu.errors import (
    AuthenticationError,
    ClosedClientError,
    InvalidOptionError,
    MalformedResponseError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from aimu.models._resolve import near_models
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._base import ReplyStream, Request
from aimu.providers._failures import from_response, request_id
from aimu.providers._reader import StreamReader, decode_body
from aimu.providers._wire import Codec

if TYPE_CHECKING:
    import httpx2

# Seconds without a byte before a request fails, unless the user sets a timeout. Connecting may take long if a thousand
# requests start at once. The wait for a free connection has no limit here: the caller's deadline applies.
READ_TIMEOUT = 600.0
CONNECT_TIMEOUT = 60.0
# Seconds to read the rest of a finished response so that its connection can be reused.
_DRAINING = 0.25
# Seconds to close a response or a client. Closing is shielded, since a connection must not outlive a cancelled request;
# it waits for the other side of a TLS connection at most, never for a task of this program.
_CLOSING = 1.0
# The number of concurrent requests on one HTTP client.
_LANE = 24


@final
@frozen
class Endpoint:
    """Where requests go, and their headers, which include the key."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    secret: str | None = field(repr=False, default=None)

    def url(self, path: str) -> str:
        """Return the URL of a path of the API: below the path of the base URL, with its query."""
        parts = urlsplit(self.base_url)
        return parts._replace(path=f"{parts.path.rstrip('/')}/{path}").geturl()

    @property
    def server(self) -> str:
        """The host and port of the server, for error texts."""
        parts = urlsplit(self.base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


# Makes the HTTP client of one event loop, or takes the user's, and returns it with its endpoint.
Connect = Callable[["httpx2.AsyncClient | None"], "tuple[httpx2.AsyncClient, Endpoint]"]


@define(eq=False)
class _Lane:
    """One HTTP client and the number of its requests in progress; a request is a `with` block.

    A connection pool looks at all its connections for each request and response, so the cost of many concurrent
    requests on one pool is quadratic. Several lanes keep the pools small.
    """

    client: httpx2.AsyncClient
    endpoint: Endpoint
    owned: bool
    advice: Callable[[ProviderError], str]
    busy: int = field(default=0, init=False)
    _patterns: dict[str, httpx2.Request] = field(factory=dict, init=False)

    @property
    def open(self) -> bool:
        """Whether there is room for another request; a client from the user has no limit here."""
        return self.busy < _LANE or not self.owned

    def __enter__(self) -> _Lane:
        self.busy += 1
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        self.busy -= 1
        if isinstance(exc, ProviderError):
            if self.endpoint.secret:  # some services repeat the key in their errors
                _hide(self.endpoint.secret, exc)
            exc.args = (f"{exc}{self.advice(exc)}",)

    def request(self, path: str, content: bytes, timeout: httpx2.Timeout | None) -> httpx2.Request:
        """Return a POST request as the client would build it.

        Building a request costs as much as sending it, so requests of our own clients are copies of the first. A user's
        client builds each one, because its headers or cookies may have changed.
        """
        import httpx2

        pattern = self._patterns.get(path)
        if pattern is None:
            given: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
            url = self.endpoint.url(path)
            pattern = self.client.build_request("POST", url, content=content, headers=self.endpoint.headers, **given)
            if not self.owned:
                return pattern
            del pattern.headers["content-length"]
            self._patterns[path] = pattern
        return httpx2.Request(
            "POST", pattern.url, headers=pattern.headers, content=content, extensions=pattern.extensions
        )

    async def aclose(self) -> None:
        if self.owned:
            with anyio.move_on_after(_CLOSING, shield=True), suppress(*_foreign()):
                await self.client.aclose()


@define(eq=False)
class _LoopLanes:
    """The lanes of each provider in one event loop."""

    of: dict[object, list[_Lane]] = field(factory=dict)

    async def close(self, provider: object) -> None:
        for lane in self.of.pop(provider, ()):
            await lane.aclose()

    async def _end_with_loop(self) -> None:
        for provider in list(self.of):
            await self.close(provider)


def _lanes_here() -> _LoopLanes:
    return loop_end().attached(_LoopLanes)


@final
class HttpProvider:
    """A `Provider` made of a codec and a connection.

    Args:
        codec: The wire format.
        connect: Gives each event loop its HTTP client and endpoint.
        timeout: Seconds without a byte after which a request fails; None for the default.
        http_client: The user's HTTP client, used for all requests and closed by the user.
    """

    def __init__(
        self,
        codec: Codec,
        connect: Connect,
        *,
        timeout: float | None = None,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        self.codec = codec
        self._connect = connect
        self._timeout = timeout
        self._http_client = http_client

    def __repr__(self) -> str:
        return f"<HttpProvider {self.spec}>"

    @property
    def spec(self) -> ModelSpec:
        return self.codec.spec

    async def complete(self, request: Request) -> Reply:
        body = self.codec.encode(request, stream=False)
        with self._lane() as lane:
            response = await self._send(lane, self.codec.path(request), body)
            return _identified(decode_body(self.codec, response.content), response)

    async def stream(self, request: Request) -> ReplyStream:
        body = self.codec.encode(request, stream=True)
        with self._lane() as lane:
            response = await self._send(lane, self.codec.path(request), body, stream=True)
            chunks = Nested(_chunks(response), whole=True)
            output = request.output
            shown = output.name if output is not None and output.mode == "tool" else None
            reader = StreamReader(self.codec, shown_call=shown)
            decoder = reader.decoder
            try:
                try:
                    async for chunk in chunks:
                        for delta in reader.feed(chunk):
                            yield delta
                        if decoder.over:
                            break
                except ProviderError:  # some of these are OSErrors too
                    raise
                except _foreign() as exc:
                    if not decoder.settled:
                        raise self._translated(exc, lane, reader.partial()) from exc
                for piece in reader.finish():
                    yield _identified(piece, response) if isinstance(piece, Reply) else piece
                # With bytes left unread, the connection could not be reused.
                with anyio.move_on_after(_DRAINING), suppress(*_foreign()):
                    async for _ in chunks:
                        pass
            finally:
                with anyio.move_on_after(_CLOSING, shield=True), suppress(*_foreign()):
                    await response.aclose()
                    # Reading on from the closed response ends the generators below `chunks` without waiting for gc.
                    async for _ in chunks:
                        pass

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        return self.codec.output_schema(schema, tools=tools)

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        return self.codec.forces_tools(options)

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send another request of the service's API and return the body of the response."""
        with self._lane() as lane:
            content: bytes = (await self._send(lane, path, body)).content
        return content

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of other loops close when their loops end."""
        await _lanes_here().close(self)

    async def _send(self, lane: _Lane, path: str, body: Mapping[str, Any], *, stream: bool = False) -> httpx2.Response:
        content = _written(body)
        if lane.client.is_closed:
            raise ClosedClientError("the http_client of this provider")
        try:
            response = await lane.client.send(lane.request(path, content, self._silence), stream=stream)
            if response.is_success:
                return response
            try:
                answer = await response.aread()
            finally:
                with anyio.move_on_after(_CLOSING, shield=True):
                    await response.aclose()
        except _foreign() as exc:
            response = getattr(exc, "response", None)
            if response is None:
                raise self._translated(exc, lane) from exc
            # A hook of the user's client called raise_for_status; the service's own error says more.
            raise self._refused(response, response.content if response.is_stream_consumed else b"") from exc
        raise self._refused(response, answer)

    def _refused(self, response: httpx2.Response, answer: bytes) -> ProviderError:
        codec = self.codec
        return from_response(
            codec.spec.provider, response.status_code, response.headers, answer, missing_model=codec.missing_model
        )

    @property
    def _silence(self) -> httpx2.Timeout | None:
        """The timeouts of a request; None to keep those of the user's client, unless `timeout` was given."""
        if self._timeout is None and self._http_client is not None:
            return None
        return timeouts(self._timeout)

    def _lane(self) -> _Lane:
        lanes = _lanes_here().of.setdefault(self, [])
        lane = next((lane for lane in lanes if lane.open), None)
        if lane is None:
            client, endpoint = self._connect(self._http_client)
            lane = _Lane(client, endpoint, owned=self._http_client is None, advice=self._advice)
            lanes.append(lane)
        return lane

    def _advice(self, error: ProviderError) -> str:
        """Return what to do about an error, to be added to its text."""
        spec = self.spec
        if isinstance(error, AuthenticationError):
            row = TABLE.get(spec.provider)
            at = row.connection if row is not None else None
            variables = (*at.key_variables, *at.token_variables) if at is not None else ()
            place = f" or the environment variable {' or '.join(variables)}" if variables else ""
            return f"; check the key in api_key={place}"
        if isinstance(error, ModelNotFoundError) and (near := near_models(spec)):
            return f"; the catalog of {spec.provider!r} has these similar ids: {', '.join(near)}"
        return ""

    def _translated(self, exc: BaseException, lane: _Lane, partial: str = "") -> ProviderError:
        import httpx2

        server = lane.endpoint.server
        provider = self.codec.spec.provider
        if isinstance(exc, httpx2.TimeoutException):
            connecting = isinstance(exc, httpx2.ConnectTimeout)
            text = f"connecting to {server} took" if connecting else f"{server} sent no data for"
            text += " longer than the timeout"
            return ProviderTimeoutError(text, provider=provider, partial=partial)
        if isinstance(exc, httpx2.DecodingError):
            return MalformedResponseError(f"cannot decompress the response: {exc}", provider=provider, partial=partial)
        retryable = None
        if isinstance(exc, httpx2.UnsupportedProtocol | httpx2.InvalidURL | httpx2.TooManyRedirects):
            retryable = False
        reason = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        return ProviderConnectionError(
            f"the connection to {server} failed ({reason}); check that the server runs and that base_url= is right",
            provider=provider,
            partial=partial,
            retryable=retryable,
        )


def _hide(secret: str, error: ProviderError) -> None:
    """Hide the key in all texts of an error and of its causes."""
    error.partial = hide(secret, error.partial)
    if error.request_id is not None:
        error.request_id = hide(secret, error.request_id)
    cause: BaseException | None = error
    while cause is not None:
        shown = tuple(hide(secret, part) if isinstance(part, str) else part for part in cause.args)
        if shown != cause.args:
            cause.args = shown
        notes = getattr(cause, "__notes__", None)
        if notes:
            notes[:] = [hide(secret, note) for note in notes]
        cause = cause.__cause__ or cause.__context__


def _written(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON in UTF-8; a lone surrogate, which services refuse, becomes a replacement character."""
    try:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidOptionError(f"cannot write the request as JSON: {exc}") from exc
    try:
        return text.encode()
    except UnicodeEncodeError:  # two adjacent surrogates become one character again
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


@cache
def timeouts(seconds: float | None = None) -> httpx2.Timeout:
    """Return the HTTP timeouts for a user's `timeout=`, in seconds, or the defaults."""
    import httpx2

    return httpx2.Timeout(seconds or READ_TIMEOUT, connect=seconds or CONNECT_TIMEOUT, pool=None)


@cache
def _foreign() -> tuple[type[Exception], ...]:
    """Return the exceptions that HTTP over a socket may raise."""
    import httpx2

    streams = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
    return (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, *streams)


def _chunks(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Return the bytes of the body as they arrive; only a compressed body passes through the layers that decode it."""
    plain = cast("AsyncIterable[bytes]", response.stream)
    return aiter(response.aiter_bytes() if "content-encoding" in response.headers else plain)


def _identified(reply: Reply, response: httpx2.Response) -> Reply:
    found = request_id(response.headers)
    return evolve(reply, request_id=found) if found else reply
