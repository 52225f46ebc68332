"""Where requests go, and what sends those of a lane: a connection pool, or an HTTP client over one.

A client of httpx2 does more than these requests need (flows of authentication, cookies, hooks, redirects), which costs
a tenth of a request, and its transport another tenth. So it is used only where it is the user's own, or where it has
to choose between proxies; otherwise requests go to the pool of httpcore2 below it.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast, final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from aimu._core.foreign_logs import keep_out_of_logs
from aimu._core.secrets import Secrets, in_headers
from aimu.errors import ClosedClientError
from aimu.providers._bounded import CODINGS, LONGEST_STREAM, Body, BodyError
from aimu.providers._environment import tls
from aimu.providers._received import Bounds, opening

if TYPE_CHECKING:
    import httpcore2
    import httpx2


@final
@frozen
class Endpoint:
    """Where requests go, and their headers, which include the key."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: Secrets = field(repr=False, factory=Secrets)

    def url(self, path: str) -> str:
        """Return the URL of a path of the API: below the path of the base URL, with its query."""
        before, after = self._around
        return f"{before}/{path}{after}"

    @cached_property
    def _around(self) -> tuple[str, str]:
        parts = urlsplit(self.base_url)
        before = parts._replace(path=parts.path.rstrip("/"), query="", fragment="").geturl()
        return before, parts._replace(scheme="", netloc="", path="").geturl()

    @cached_property  # each request needs it twice
    def server(self) -> str:
        """The host and port of the server, for error texts."""
        parts = urlsplit(self.base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


class Http(Protocol):
    """Sends requests to one endpoint in one event loop.

    Attributes:
        endpoint: Where they go.
        shared: Whether the user has it too, and closes it.
    """

    endpoint: Endpoint
    shared: bool

    async def send(self, url: str, content: bytes, timeout: httpx2.Timeout | None) -> Body:
        """Send a POST request, without a timeout with that of the client, and return the unread body of the response.

        Raises:
            httpx2.HTTPStatusError: A hook of the user's client refused the response.
        """
        ...

    async def aclose(self) -> None: ...


# Makes what sends requests in one event loop, over the user's client if there is one.
Connect = Callable[["httpx2.AsyncClient | None"], Http]


@final
class OwnHttp:
    """A connection pool of the library's own."""

    shared = False

    def __init__(self, endpoint: Endpoint) -> None:
        import httpcore2

        from aimu.providers._network import JoiningNetwork  # loads httpcore2

        self.endpoint = endpoint
        keep_out_of_logs(endpoint.secrets)
        limits = _limits()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            socket_options=_KEEP_ALIVE,
            network_backend=JoiningNetwork(),
        )

    async def send(self, url: str, content: bytes, timeout: httpx2.Timeout | None) -> Body:
        import httpcore2

        sent = [*self._headers, (b"Content-Length", b"%d" % len(content))]
        extensions = {} if timeout is None else {"timeout": timeout.as_dict()}
        request = httpcore2.Request("POST", _parsed(url), headers=sent, content=content, extensions=extensions)
        response = await self._pool.handle_async_request(request)
        response.extensions["network_stream"].received.largest = LONGEST_STREAM
        headers = _joined(response.headers)
        return Body(response.status, headers, cast("AsyncIterable[bytes]", response.stream), response.aclose)

    @cached_property
    def _headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every request but its length: working them out costs as much as sending it."""
        import httpx2

        given = {"User-Agent": f"python-httpx2/{httpx2.__version__}", **self.endpoint.headers}
        headers = httpx2.Headers({"Accept": "*/*", "Connection": "keep-alive", **given, "Accept-Encoding": CODINGS})
        raw = httpx2.Request("POST", self.endpoint.base_url, headers=headers).headers.raw  # with the host
        return [(name, value) for name, value in raw if name.lower() != b"content-length"]

    async def aclose(self) -> None:
        await self._pool.aclose()


@final
class ClientHttp:
    """An HTTP client, which builds each request, because its headers and cookies may have changed.

    Args:
        client: The user's client; None for one that reads the proxies of the environment.
        endpoint: Where requests go.
    """

    def __init__(self, client: httpx2.AsyncClient | None, endpoint: Endpoint) -> None:
        import httpx2

        self.shared = client is not None
        if client is not None:
            endpoint = evolve(endpoint, secrets=endpoint.secrets.with_more(in_headers(client.headers)))
        self.endpoint = endpoint
        keep_out_of_logs(endpoint.secrets)
        self._client = client or httpx2.AsyncClient(verify=tls(), limits=_limits())
        self._bounds = Bounds(LONGEST_STREAM) if client is None else None  # the user's own may speak HTTP/2

    async def send(self, url: str, content: bytes, timeout: httpx2.Timeout | None) -> Body:
        if self._client.is_closed:
            raise ClosedClientError("the http_client of this provider")
        headers = {**self.endpoint.headers, "Accept-Encoding": CODINGS}
        given: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        given["extensions"] = {"trace": opening() if self._bounds is None else self._bounds.tracing()}
        request = self._client.build_request("POST", url, content=content, headers=headers, **given)
        response = await self._client.send(request, stream=True, follow_redirects=False)
        if self._bounds is not None:
            self._bounds.begun(response)
        return body_of(response)

    async def aclose(self) -> None:
        if not self.shared:
            await self._client.aclose()


def _joined(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a response with lower-case names; a repeated one as httpx2 shows it, its values joined."""
    headers: dict[str, str] = {}
    for written, value in raw:
        name, text = written.decode("latin-1").lower(), value.decode(errors="replace")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def body_of(response: httpx2.Response) -> Body:
    """Return the body of a response, which is unread, unless a hook of the user's client has read it."""
    status, headers, close = response.status_code, response.headers, response.aclose
    if response.is_stream_consumed:
        return Body(status, headers, _kept(response), close, coding="identity")
    # Without the layers of httpx2 above the raw stream, which only a compressed body would need.
    return Body(status, headers, cast("AsyncIterable[bytes]", response.stream), close)


async def _kept(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the body that a hook of the user's client has read."""
    import httpx2

    try:
        content = response.content
    except httpx2.ResponseNotRead:
        raise BodyError(
            "a hook of http_client= took the body and did not keep it; let the hook call `await response.aread()`"
        ) from None
    yield content


@lru_cache(maxsize=256)  # a server may redirect each request somewhere else
def _parsed(url: str) -> httpcore2.URL:
    import httpcore2
    import httpx2

    parts = httpx2.URL(url)
    return httpcore2.URL(scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path)


def _limits() -> httpx2.Limits:
    import httpx2

    return httpx2.Limits(max_connections=1000, max_keepalive_connections=100)


# Probes of a silent connection, since a model may think for minutes and a router forgets such connections: the first
# after a minute, then one a minute, five without an answer end it. The vendors' SDKs do the same.
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))
        if hasattr(socket, name)
    ),
]
