"""The network below the connection pool, where a request costs less than through that of httpcore2.

The head of a request leaves in one write with its body. httpcore2 writes them one after the other, and each write is a
system call, a deadline and a turn of the event loop, which together cost a tenth of a request, and a packet that wakes
the server for nothing. And a connection tells at little cost whether the server has closed it.
"""

from __future__ import annotations

import select
from collections.abc import Iterable
from functools import cached_property
from ssl import SSLContext
from typing import Any, final

import httpcore2
from anyio.lowlevel import current_token

from aimu.providers._received import Received, abandon

_END_OF_HEAD = b"\r\n\r\n"
_LONGEST = 64 << 10  # bytes of a body that are copied behind the head; a longer one follows it


@final
class JoiningNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections as httpcore2 does by itself, with joined writes."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        on_trio = hasattr(current_token().native_token, "run_sync_soon")
        kind: type[Any] = httpcore2.TrioBackend if on_trio else httpcore2.AnyIOBackend
        network: httpcore2.AsyncNetworkBackend = kind()
        return JoiningStream(await network.connect_tcp(host, port, timeout, local_address, socket_options))


@final
class JoiningStream(httpcore2.AsyncNetworkStream):
    """A connection on which the head of a request waits for the body, which each of the requests has.

    Attributes:
        received: What came since the last head; `read` raises BodyError if it is too much.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head = b""
        self.received = Received()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer.endswith(_END_OF_HEAD):  # no body of JSON ends so
            self._head = buffer
            self.received.reset()
            return
        head, self._head = self._head, b""
        if len(buffer) <= _LONGEST:
            buffer = head + buffer
        else:
            await self._stream.write(head, timeout)
        await self._stream.write(buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.received.add(await self._stream.read(max_bytes, timeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return JoiningStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            await abandon(self._stream)
            raise

    def get_extra_info(self, info: str) -> Any:
        # The pool asks whether each idle connection is readable, at each request and response. The stream below would
        # work out all it knows of its socket each time, such as the address of the other side.
        if info == "is_readable" and hasattr(select, "poll"):
            return _is_readable(self._socket)
        return self._stream.get_extra_info(info)

    @cached_property
    def _socket(self) -> Any:
        return self._stream.get_extra_info("socket")


def _is_readable(socket: Any) -> bool:
    """Return whether a read would end at once: data has come, or the end of them, or the socket is closed."""
    if socket.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))
