"""Keeps tests off the network: connections and name look-ups beyond this machine raise an error that names the host.

Owns the guard around Python's own sockets, which both backends use. Loopback and Unix sockets stay usable. The guard
does not see sockets that C libraries open themselves.
"""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, final

from aimu._doors import public


@public("aimu.testing")
@final
class RealRequestError(AssertionError):
    """A test tried to reach another machine.

    It is not an OSError, so that no code retries the request.

    Args:
        host: The host name or address.
    """

    def __init__(self, host: object) -> None:
        self.host = host
        super().__init__(
            f"a real request to {host!r} inside no_real_requests(); script the model or use a local server"
        )


@public("aimu.testing")
@contextmanager
def no_real_requests() -> Generator[None]:
    """Refuse connections to other machines within the block, in all threads.

    Raises:
        RealRequestError: Code in the block connects to another machine, or looks up the name of one.

    Example:
        with no_real_requests():
            run_the_test()
    """
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def local_connect(self: socket.socket, address: Any) -> None:
        _refuse_remote(self.family, address)
        connect(self, address)

    def local_connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_remote(self.family, address)
        return connect_ex(self, address)

    def local_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _local(host):
            raise RealRequestError(host)
        return getaddrinfo(host, *args, **kwargs)

    _install(local_connect, local_connect_ex, local_getaddrinfo)
    try:
        yield
    finally:
        _install(connect, connect_ex, getaddrinfo)


def _install(connect: Any, connect_ex: Any, getaddrinfo: Any) -> None:
    socket.socket.connect = connect  # type: ignore[method-assign]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = getaddrinfo


def _refuse_remote(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _local(address[0]):
        raise RealRequestError(address)


def _local(host: str | bytes | None) -> bool:
    """Return whether `host` is this machine; None and "" are the wildcard of a listening socket."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
