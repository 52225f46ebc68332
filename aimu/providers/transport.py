"""The thin part around every codec: bytes over httpx2, one HTTP client per event loop, errors translated once.

An HTTP client is bound to the loop that first used it, so each loop has its own, closed by `aclose` or when the loop
ends. Nothing is retried here and no slot is taken. Foreign exceptions do not pass.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast, final

import anyio
from anyio.lowlevel import RunVar
from attrs import define, evolve, field, frozen

from aimu.core.reply import Reply
from aimu.errors import (
    ClosedClientError,
    InvalidOptionError,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from aimu.models.spec import ModelSpec
from aimu.providers.base import ReplyStream, Request
from aimu.providers.failures import from_response, request_id
from aimu.providers.wire import Codec, StreamReader, decode_body

if TYPE_CHECKING:
    import httpx2

# Seconds without a byte after which a service counts as gone, where the user sets no timeout; connecting may take long
# when a thousand requests start at once. The wait for a free connection is the caller's to bound: it is no silence.
READ_TIMEOUT = 600.0
CONNECT_TIMEOUT = 60.0
# Seconds in which the rest of an answered response is read for its connection's sake, and in which closing is done.
_DRAINING = 0.25
_CLOSING = 1.0
# Requests at once on one HTTP client.
_LANE = 24


@final
@frozen
class Endpoint:
    """Where requests go, and the headers that they carry; these hold the key."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    secret: str | None = field(repr=False, default=None)


# Makes the HTTP client of one loop, or takes the user's, and says what to send with it.
Connect = Callable[["httpx2.AsyncClient | None"], "tuple[httpx2.AsyncClient, Endpoint]"]


@define(eq=False)
class _Lane:
    """One HTTP client and the requests under way on it, each inside a `with`.

    A connection pool looks at all its connections at each request and answer, so a thousand requests on one cost a
    thousand times a thousand looks: there are as many lanes as keep pools small.
    """

    client: httpx2.AsyncClient
    endpoint: Endpoint
    owned: bool
    busy: int = field(default=0, init=False)
    _patterns: dict[str, httpx2.Request] = field(factory=dict, init=False)

    @property
    def open(self) -> bool:
        """Whether one more request fits; a client that the user gave is the only one."""
        return self.busy < _LANE or not self.owned

    def __enter__(self) -> _Lane:
        self.busy += 1
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        self.busy -= 1
        if self.endpoint.secret and isinstance(exc, ProviderError):  # services repeat in errors what they were sent
            exc.args = (str(exc).replace(self.endpoint.secret, "***"),)

    def request(self, path: str, content: bytes, timeout: httpx2.Timeout | None) -> httpx2.Request:
        """A POST as the client would build it.

        Building one costs as much as sending it, so those of our own clients are copies of the first. A user's client
        may have changed its headers or cookies since.
        """
        import httpx2

        pattern = self._patterns.get(path)
        if pattern is None:
            given: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
            url, headers = self.endpoint.base_url + path, self.endpoint.headers
            pattern = self.client.build_request("POST", url, content=content, headers=headers, **given)
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
    """The lanes of one event loop, by provider object."""

    of: dict[object, list[_Lane]] = field(factory=dict)
    closer: AsyncGenerator[None, None] | None = None

    async def close(self, provider: object) -> None:
        for lane in self.of.pop(provider, ()):
            await lane.aclose()


_loop_lanes: RunVar[_LoopLanes] = RunVar("aimu_http_lanes")


async def _close_at_loop_end(lanes: _LoopLanes) -> AsyncGenerator[None, None]:
    """Suspended for the loop's life: both backends finalise such a generator when the loop ends."""
    try:
        yield
    finally:
        for provider in list(lanes.of):
            await lanes.close(provider)


async def _lanes_here() -> _LoopLanes:
    lanes = _loop_lanes.get(None)
    if lanes is None:
        lanes = _LoopLanes()
        _loop_lanes.set(lanes)
        lanes.closer = _close_at_loop_end(lanes)
        await anext(lanes.closer)
    return lanes


@final
class HttpProvider:
    """A `Provider` made of a codec and a way to connect."""

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
        with await self._lane() as lane:
            response = await self._send(lane, self.codec.path(request), body)
            return _identified(decode_body(self.codec, response.content), response)

    async def stream(self, request: Request) -> ReplyStream:
        body = self.codec.encode(request, stream=True)
        with await self._lane() as lane:
            response = await self._send(lane, self.codec.path(request), body, stream=True)
            chunks = _chunks(response)
            reader = StreamReader(self.codec)
            decoder = reader.decoder
            try:
                try:
                    async for chunk in chunks:
                        for delta in reader.feed(chunk):
                            yield delta
                        if decoder.over:
                            break
                except ProviderError:  # some of ours are OSErrors too
                    raise
                except _foreign() as exc:
                    if not decoder.settled:
                        raise self._translated(exc, decoder.partial()) from exc
                for piece in reader.finish():
                    yield _identified(piece, response) if isinstance(piece, Reply) else piece
                # Unread bytes would cost the connection.
                with anyio.move_on_after(_DRAINING), suppress(*_foreign()):
                    async for _ in chunks:
                        pass
            finally:
                with anyio.move_on_after(_CLOSING, shield=True), suppress(*_foreign()):
                    await response.aclose()
                    # The generators below `chunks` end by reading on from what is closed now, not by waiting for gc.
                    async for _ in chunks:
                        pass

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The body that the service answers to another request of its API."""
        with await self._lane() as lane:
            content: bytes = (await self._send(lane, path, body)).content
        return content

    async def aclose(self) -> None:
        """Close this event loop's connections; those of other loops close when their loops end."""
        await (await _lanes_here()).close(self)

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
                raise self._translated(exc) from exc
            # A hook of the user's client has called raise_for_status: the service's own error says more.
            raise self._refused(response, response.content if response.is_stream_consumed else b"") from exc
        raise self._refused(response, answer)

    def _refused(self, response: httpx2.Response, answer: bytes) -> ProviderError:
        codec = self.codec
        return from_response(
            codec.provider, response.status_code, response.headers, answer, missing_model=codec.missing_model
        )

    @property
    def _silence(self) -> httpx2.Timeout | None:
        """The timeout of a request; a client that the user made keeps its own unless `timeout` is given."""
        if self._timeout is None and self._http_client is not None:
            return None
        return timeouts(self._timeout)

    async def _lane(self) -> _Lane:
        lanes = (await _lanes_here()).of.setdefault(self, [])
        lane = next((lane for lane in lanes if lane.open), None)
        if lane is None:
            client, endpoint = self._connect(self._http_client)
            lane = _Lane(client, endpoint, owned=self._http_client is None)
            lanes.append(lane)
        return lane

    def _translated(self, exc: BaseException, partial: str = "") -> ProviderError:
        import httpx2

        provider = self.codec.provider
        if isinstance(exc, httpx2.TimeoutException):
            text = "no connection in time" if isinstance(exc, httpx2.ConnectTimeout) else "no answer in time"
            return ProviderTimeoutError(text, provider=provider, partial=partial)
        if isinstance(exc, httpx2.DecodingError):
            return MalformedResponseError(f"the response cannot be decoded: {exc}", provider=provider, partial=partial)
        retryable = None
        if isinstance(exc, httpx2.UnsupportedProtocol | httpx2.InvalidURL | httpx2.TooManyRedirects):
            retryable = False
        reason = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        return ProviderConnectionError(
            f"the connection failed ({reason})", provider=provider, partial=partial, retryable=retryable
        )


def _written(body: Mapping[str, Any]) -> bytes:
    """A body as JSON in UTF-8, with a replacement character for half a surrogate pair, which services refuse."""
    try:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidOptionError(f"the request cannot be written as JSON: {exc}") from exc
    try:
        return text.encode()
    except UnicodeEncodeError:  # two halves that came one after the other make a whole again
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


@cache
def timeouts(seconds: float | None = None) -> httpx2.Timeout:
    """HTTP timeouts of a provider whose user gave `seconds`, or none."""
    import httpx2

    return httpx2.Timeout(seconds or READ_TIMEOUT, connect=seconds or CONNECT_TIMEOUT, pool=None)


@cache
def _foreign() -> tuple[type[Exception], ...]:
    """What HTTP over a socket may raise."""
    import httpx2

    streams = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
    return (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, *streams)


def _chunks(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body's bytes as they come, decoded where they are compressed; else without the layers that would decode."""
    plain = cast("AsyncIterable[bytes]", response.stream)
    return aiter(response.aiter_bytes() if "content-encoding" in response.headers else plain)


def _identified(reply: Reply, response: httpx2.Response) -> Reply:
    found = request_id(response.headers)
    return evolve(reply, request_id=found) if found else reply
