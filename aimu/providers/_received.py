"""Watches connections: bounds what one receives for one request, also where it is not the body, and closes one whose
opening is cancelled.

A server may send interim answers (100 Continue, 103 Early Hints) without end, or kilobytes around each byte of a body
in chunks; nothing below counts those. h11 bounds each head, the line before each chunk, and the trailers.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, final

import anyio
from attrs import define

from aimu.providers._bounded import BodyError

if TYPE_CHECKING:
    import httpcore2
    import httpx2

LONGEST_HEAD = 1 << 20  # bytes until the response begins, with all interim answers before it
_CLOSING = 1.0  # s; to close a connection
Trace = Callable[[str, dict[str, Any]], Awaitable[None]]
_OPENED = (".connect_tcp.complete", ".start_tls.complete")
_NOT_OPENED = (".start_tls.failed", ".setup_socks5_connection.failed")


@define(eq=False)
class Received:
    """What came over one connection since the last request was written.

    Attributes:
        size: Bytes.
        largest: Their bound, which is that of an answer as soon as its head has come.
    """

    size: int = 0
    largest: float = LONGEST_HEAD

    def reset(self) -> None:
        self.size, self.largest = 0, LONGEST_HEAD

    def add(self, data: bytes) -> bytes:
        self.size += len(data)
        if self.size > self.largest:
            raise BodyError(f"the server sent more than {self.largest / (1 << 20):g} MiB in answer to a request")
        return data


@final
class Bounds:
    """Counts what the connections of one pool receive; for HTTP/1.1, which answers one request after the other.

    Args:
        longest: Bytes of an answer with all that is around its body.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._of: weakref.WeakKeyDictionary[Any, Received] = weakref.WeakKeyDictionary()

    def tracing(self) -> Trace:
        """Return what watches the connection that a request opens: its extension "trace"."""
        return opening(self._add)

    def _add(self, stream: Any) -> None:
        self._of[stream] = _watch(stream)

    def begun(self, response: httpx2.Response) -> None:
        """From here on, the connection of this response has the bound of a body."""
        received = self._of.get(response.extensions.get("network_stream"))
        if received is not None:
            received.largest = self._longest


def opening(opened: Callable[[Any], object] = lambda stream: None) -> Trace:
    """Return the extension "trace" of a request that closes the connection whose opening is cancelled.

    Args:
        opened: Gets the stream of each connection, and again when it speaks TLS.
    """
    stream: Any = None

    async def trace(event: str, info: dict[str, Any]) -> None:
        nonlocal stream
        if event.endswith(_OPENED):
            stream = info["return_value"]
            opened(stream)
        elif event.endswith(_NOT_OPENED) and stream is not None:
            await abandon(stream)

    return trace


async def abandon(stream: httpcore2.AsyncNetworkStream) -> None:
    """Close a connection that is not open yet; httpcore2 leaves it as it is if the handshake is cancelled."""
    with anyio.move_on_after(_CLOSING, shield=True):  # shielded and bounded: a proxy may be told over TLS first
        await stream.aclose()


def _watch(stream: Any) -> Received:
    received, kind, of = Received(), type(stream), weakref.ref(stream)  # no reference cycle keeps the stream

    async def read(max_bytes: int, timeout: float | None = None) -> bytes:
        return received.add(await kind.read(of(), max_bytes, timeout))

    async def write(buffer: bytes, timeout: float | None = None) -> None:
        received.reset()
        await kind.write(of(), buffer, timeout)

    stream.read, stream.write = read, write
    return received
