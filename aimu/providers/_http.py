"""Where requests go, and what sends those of a lane: a transport, or an HTTP client over one.

A client of httpx2 does more than these requests need (flows of authentication, cookies, hooks, redirects), which costs
a tenth of a request. So it is used only where it is the user's own, or where it has to choose between proxies.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from aimu._core.foreign_logs import keep_out_of_logs
from aimu._core.secrets import Secrets, in_headers
from aimu.errors import ClosedClientError
from aimu.providers._bounded import CODINGS, LONGEST_STREAM
from aimu.providers._environment import tls
from aimu.providers._received import Bounds

if TYPE_CHECKING:
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
        parts = urlsplit(self.base_url)
        return parts._replace(path=f"{parts.path.rstrip('/')}/{path}").geturl()

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

    def request(self, path: str, content: bytes, timeout: httpx2.Timeout | None) -> httpx2.Request:
        """Return a POST request; without a timeout it has that of the client."""
        ...

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return the response with its body unread."""
        ...

    async def aclose(self) -> None: ...


# Makes what sends requests in one event loop, over the user's client if there is one.
Connect = Callable[["httpx2.AsyncClient | None"], Http]


@final
class OwnHttp:
    """A transport of the library's own."""

    shared = False

    def __init__(self, endpoint: Endpoint) -> None:
        import httpx2

        self.endpoint = endpoint
        keep_out_of_logs(endpoint.secrets)
        self._patterns: dict[str, httpx2.Request] = {}
        self._bounds = Bounds(LONGEST_STREAM)
        self._transport = httpx2.AsyncHTTPTransport(verify=tls(), limits=_limits(), socket_options=_KEEP_ALIVE)

    def request(self, path: str, content: bytes, timeout: httpx2.Timeout | None) -> httpx2.Request:
        """Return a copy of the request for this path, with this content: building one costs as much as sending it."""
        import httpx2

        pattern = self._patterns.get(path)
        if pattern is None:
            given = {"User-Agent": f"python-httpx2/{httpx2.__version__}", **self.endpoint.headers}
            headers = httpx2.Headers({"Accept": "*/*", "Connection": "keep-alive", **given, "Accept-Encoding": CODINGS})
            extensions: dict[str, Any] = {"trace": self._bounds.trace}
            if timeout is not None:
                extensions["timeout"] = timeout.as_dict()
            url = self.endpoint.url(path)
            pattern = self._patterns[path] = httpx2.Request("POST", url, headers=headers, extensions=extensions)
        headers = httpx2.Headers(pattern.headers)
        headers["Content-Length"] = str(len(content))
        stream = httpx2.ByteStream(content)  # with `content=`, httpx2 would work out all headers again
        return httpx2.Request("POST", pattern.url, headers=headers, stream=stream, extensions=pattern.extensions)

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        self._bounds.begun(response)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


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

    def request(self, path: str, content: bytes, timeout: httpx2.Timeout | None) -> httpx2.Request:
        if self._client.is_closed:
            raise ClosedClientError("the http_client of this provider")
        headers = {**self.endpoint.headers, "Accept-Encoding": CODINGS}
        given: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if self._bounds is not None:
            given["extensions"] = {"trace": self._bounds.trace}
        return self._client.build_request("POST", self.endpoint.url(path), content=content, headers=headers, **given)

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._client.send(request, stream=True, follow_redirects=False)
        if self._bounds is not None:
            self._bounds.begun(response)
        return response

    async def aclose(self) -> None:
        if not self.shared:
            await self._client.aclose()


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
