"""The transport around every codec: requests over httpx2, and the translation of errors.

Redirects are followed within one origin only, since a request holds the key and the conversation. Does not retry and
takes no slot. Raises errors from `aimu.errors` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, final

import anyio
from attrs import evolve

from aimu._core.reply import Reply
from aimu._core.surrogates import whole
from aimu.errors import (
    InvalidOptionError,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from aimu.models._spec import ModelSpec
from aimu.providers._advice import advice, unreachable
from aimu.providers._base import ReplyStream, Request
from aimu.providers._body import StreamReader, decode_body
from aimu.providers._bounded import LONGEST_STREAM, Body, BodyError
from aimu.providers._environment import proxy_of
from aimu.providers._excerpt import words_of
from aimu.providers._failures import from_response, request_id
from aimu.providers._http import Connect, Endpoint, body_of
from aimu.providers._lanes import CLOSING, Lane, foreign, lanes_here, timeouts
from aimu.providers._pictures import presentable
from aimu.providers._replay import for_host, with_origin
from aimu.providers._wire import Codec

if TYPE_CHECKING:
    import httpx2

_DRAINING = 0.25  # s to read the rest of a finished response so that its connection can be reused
_REDIRECTS = 5
_REDIRECTING = (301, 302, 303, 307, 308)
# Words of a reply that errors and logs show.
_WORDS = ("finish_reason", "model", "refusal", "request_id")


@final
class HttpProvider:
    """A `Provider` made of a codec and a connection.

    Args:
        codec: The wire format.
        connect: Gives each event loop what sends its requests.
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
        with self._lane() as lane:
            body = self._encoded(request, lane, stream=False)
            content, headers = await self._whole(lane, self.codec.path(request), body)
            return self._finished(decode_body(self.codec, content, lane.endpoint.secrets), headers, lane)

    async def stream(self, request: Request) -> ReplyStream:
        with self._lane() as lane:
            content = self._encoded(request, lane, stream=True)
            body = await self._send(lane, self.codec.path(request), content)
            output = request.output
            shown = output.name if output is not None and output.mode == "tool" else None
            reader = StreamReader(self.codec, lane.endpoint.secrets, shown_call=shown)
            decoder = reader.decoder
            size = 0
            try:
                try:
                    async for chunk in body.chunks:
                        for delta in reader.feed(chunk):
                            yield delta
                        if decoder.over:
                            break
                        size += len(chunk)
                        if size > LONGEST_STREAM:
                            raise BodyError(f"the stream is longer than {LONGEST_STREAM >> 20} MiB")
                except ProviderError:  # some of these are OSErrors too
                    raise
                except foreign() as exc:
                    if not decoder.settled:
                        raise self._translated(exc, lane, reader.partial()) from exc
                for piece in reader.finish():
                    yield self._finished(piece, body.headers, lane) if isinstance(piece, Reply) else piece
                # With bytes left unread, the connection could not be reused.
                with anyio.move_on_after(_DRAINING), suppress(*foreign()):
                    async for _ in body.chunks:
                        pass
            finally:
                await _close(body)

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        return self.codec.output_schema(schema, tools=tools)

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        return self.codec.forces_tools(options)

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send another request of the service's API and return the body of the response."""
        with self._lane() as lane:
            content, _ = await self._whole(lane, path, body)
        return content

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of other loops close when their loops end."""
        await lanes_here().close(self)

    async def _whole(self, lane: Lane, path: str, content: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
        """Return the whole body of the response to a request, and its headers."""
        body = await self._send(lane, path, content)
        try:
            return await body.read(), body.headers
        except foreign() as exc:
            raise self._translated(exc, lane) from exc
        finally:
            await _close(body)

    async def _send(self, lane: Lane, path: str, content: Mapping[str, Any]) -> Body:
        """Send a request and return the body of a response with a status of success."""
        url, written = lane.endpoint.url(path), _written(content)
        for redirects in count():
            try:
                body = await lane.http.send(url, written, self._silence)
            except foreign() as exc:
                response = getattr(exc, "response", None)
                if response is None:
                    raise self._translated(exc, lane) from exc
                # A hook of the user's client called raise_for_status; the service's own error says more.
                raise await self._refused(body_of(response), lane) from exc
            if 200 <= body.status < 300:
                return body
            if body.status not in _REDIRECTING or "location" not in body.headers:
                raise await self._refused(body, lane)
            await _close(body)
            if redirects == _REDIRECTS:
                raise self._misdirected(f"redirects again and again: {_place(url)}", body)
            url = self._redirected(url, body)
        raise AssertionError("unreachable")

    async def _refused(self, body: Body, lane: Lane) -> ProviderError:
        """Return the error for a response without success, and close it."""
        answer, more = b"", False
        try:
            with suppress(*foreign()):  # the status says what matters
                answer, more = await body.beginning()
        finally:
            await _close(body)
        codec = self.codec
        if lane.endpoint.secrets:  # before anything cuts an excerpt out of it
            text = answer.decode("utf8", "surrogateescape")
            answer = lane.endpoint.secrets.hide(text, cut=more).encode("utf8", "surrogateescape")
        return from_response(codec.spec.provider, body.status, body.headers, answer, missing_model=codec.missing_model)

    def _redirected(self, url: str, body: Body) -> str:
        """Return the URL that a redirect asks for; raise ProviderConnectionError if nothing must be sent there."""
        import httpx2

        try:
            there = str(httpx2.URL(url).join(body.headers["location"]))
        except httpx2.InvalidURL:
            raise self._misdirected("redirects the request to an invalid URL", body) from None
        place = _place(there)
        if body.status not in (307, 308):  # with other statuses, a POST becomes a GET
            raise self._misdirected(f"redirects the request: {place}", body)
        if _origin(there) != _origin(url):
            raise self._misdirected(f"redirects the conversation to another origin: {place}", body)
        return there

    def _misdirected(self, what: str, body: Body) -> ProviderConnectionError:
        return ProviderConnectionError(
            f"the server {what}; nothing was sent there; "
            "if the address is right, set base_url= to the address of the API there",
            provider=self.codec.spec.provider,
            status=body.status,
            retryable=False,
        )

    def _encoded(self, request: Request, lane: Lane, *, stream: bool) -> dict[str, Any]:
        return self.codec.encode(presentable(for_host(request, lane.endpoint.server), self.spec), stream=stream)

    def _finished(self, reply: Reply, headers: Mapping[str, str], lane: Lane) -> Reply:
        """Return the reply with the id of its request, and with its origin beside what goes back verbatim.

        Its words for errors and logs do not show the key.
        """
        hide = lane.endpoint.secrets.hide
        words: dict[str, Any] = {name: hide(word) for name in _WORDS if (word := getattr(reply, name))}
        if found := request_id(headers):
            words["request_id"] = hide(found)
        return evolve(
            reply,
            **words,
            replay=with_origin(reply.replay, lane.endpoint.server, self.spec.id),
        )

    @property
    def _silence(self) -> httpx2.Timeout | None:
        """The timeouts of a request; None to keep those of the user's client, unless `timeout` was given."""
        if self._timeout is None and self._http_client is not None:
            return None
        return timeouts(self._timeout)

    def _lane(self) -> Lane:
        lanes = lanes_here().of.setdefault(self, [])
        lane = next((lane for lane in lanes if lane.open), None)
        if lane is None:
            lane = Lane(self._connect(self._http_client), self._advice)
            lanes.append(lane)
        return lane

    def _advice(self, error: ProviderError, endpoint: Endpoint) -> str:
        """Return what to do about an error, to be added to its text."""
        return advice(error, self.spec, endpoint.base_url)

    def _translated(self, exc: BaseException, lane: Lane, partial: str = "") -> ProviderError:
        import httpcore2
        import httpx2

        server = lane.endpoint.server
        provider = self.codec.spec.provider
        if isinstance(exc, httpx2.TimeoutException | httpcore2.TimeoutException):
            connecting = isinstance(exc, httpx2.ConnectTimeout | httpcore2.ConnectTimeout)
            text = f"connecting to {server} took" if connecting else f"{server} sent no data for"
            text += " longer than the timeout"
            return ProviderTimeoutError(text, provider=provider, partial=partial)
        if isinstance(exc, BodyError):
            return MalformedResponseError(str(exc), provider=provider, partial=partial)
        retryable = None
        if isinstance(exc, httpx2.UnsupportedProtocol | httpcore2.UnsupportedProtocol | httpx2.InvalidURL):
            retryable = False
        reason = ": ".join(filter(None, (type(exc).__name__, words_of(exc))))
        remedy = unreachable(provider)
        proxy = None if lane.http.shared else proxy_of(lane.endpoint.base_url)
        if proxy is not None:
            remedy += f", and the proxy {proxy} between (NO_PROXY exempts hosts)"
        return ProviderConnectionError(
            f"the connection to {server} failed ({reason}); {remedy}",
            provider=provider,
            partial=partial,
            retryable=retryable,
        )


def _written(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON in UTF-8; a lone surrogate, which services refuse, becomes a replacement character."""
    try:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidOptionError(f"cannot write the request as JSON: {exc}") from exc
    try:
        return text.encode()
    except UnicodeEncodeError:
        return whole(text).encode()


def _origin(url: str) -> tuple[str, str, int]:
    import httpx2

    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port or (443 if parts.scheme == "https" else 80)


def _place(url: str) -> str:
    return "{}://{}:{}".format(*_origin(url))


async def _close(body: Body) -> None:
    # Shielded and bounded, as `CLOSING` says.
    with anyio.move_on_after(CLOSING, shield=True), suppress(*foreign()):
        await body.aclose()
