"""The lanes of requests: which event loop has which connections, when they close, and which errors they raise.

A connection belongs to the event loop that opened it, so each loop has lanes of its own; `aclose` of the provider or
the end of the loop closes them. Sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import anyio
from attrs import define, field

from aimu._core.loop_end import loop_end
from aimu._core.secrets import Secrets
from aimu.errors import ProviderError
from aimu.providers._bounded import BodyError
from aimu.providers._http import Endpoint, Http

if TYPE_CHECKING:
    import httpx2

# Seconds without a byte before a request fails, unless the user sets a timeout. Connecting may take long if a thousand
# requests start at once. The wait for a free connection has no limit here: the caller's deadline applies.
READ_TIMEOUT = 600.0
CONNECT_TIMEOUT = 60.0
# Seconds to close a response or a client. Closing is shielded, since a connection must not outlive a cancelled request;
# it waits for the other side of a TLS connection at most, never for a task of this program.
CLOSING = 1.0
# The number of concurrent requests in one lane.
_LANE = 24


@define(eq=False)
class Lane:
    """What sends requests, and the number of those in progress; a request is a `with` block.

    A connection pool looks at all its connections for each request and response, so the cost of many concurrent
    requests on one pool is quadratic. Several lanes keep the pools small.
    """

    http: Http
    advice: Callable[[ProviderError, Endpoint], str]
    busy: int = field(default=0, init=False)

    @property
    def endpoint(self) -> Endpoint:
        return self.http.endpoint

    @property
    def open(self) -> bool:
        """Whether there is room for another request; a client from the user has no limit here."""
        return self.busy < _LANE or self.http.shared

    def __enter__(self) -> Lane:
        self.busy += 1
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        self.busy -= 1
        if isinstance(exc, ProviderError):
            remedy = self.advice(exc, self.endpoint)
            if self.endpoint.secrets:  # some services repeat the key in their errors
                _hide(self.endpoint.secrets, exc)
                remedy = self.endpoint.secrets.hide(remedy)
            exc.args = (f"{exc}{remedy}",)

    async def aclose(self) -> None:
        with anyio.move_on_after(CLOSING, shield=True), suppress(*foreign()):  # shielded, bounded: see `CLOSING`
            await self.http.aclose()


@define(eq=False)
class LoopLanes:
    """The lanes of each provider in one event loop."""

    of: dict[object, list[Lane]] = field(factory=dict)

    async def close(self, provider: object) -> None:
        for lane in self.of.pop(provider, ()):
            await lane.aclose()

    async def _end_with_loop(self) -> None:
        for provider in list(self.of):
            await self.close(provider)


def lanes_here() -> LoopLanes:
    return loop_end().attached(LoopLanes)


def _hide(secrets: Secrets, error: ProviderError) -> None:
    """Hide the key in all texts of an error and of its causes; the failure may have cut a text inside the key."""
    error.partial = secrets.hide(error.partial, cut=True)
    if error.request_id is not None:
        error.request_id = secrets.hide(error.request_id, cut=True)
    secrets.hide_in(error)


@cache
def timeouts(seconds: float | None = None) -> httpx2.Timeout:
    """Return the HTTP timeouts for a user's `timeout=`, in seconds, or the defaults."""
    import httpx2

    return httpx2.Timeout(seconds or READ_TIMEOUT, connect=seconds or CONNECT_TIMEOUT, pool=None)


@cache
def foreign() -> tuple[type[Exception], ...]:
    """Return the exceptions that HTTP over a socket, and reading a body, may raise."""
    import httpcore2
    import httpx2

    streams = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
    below = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol)
    return (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, BodyError, *streams, *below)
