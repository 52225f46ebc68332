"""Messages as lines of JSON on a pipe: reads, bounds and writes them, without looking into them.

Format: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio (read 2026-11-22).
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import final

import anyio
from attrs import frozen

CHUNK = 65536
END = 4096  # bytes kept of both ends of an oversized line, to find the id in


@final
@frozen
class Oversized:
    """A line that is longer than allowed, of which only both ends are kept."""

    head: bytes
    tail: bytes
    size: int
    limit: int


@final
class Unfinished(bytes):
    """The last line, without a line end; a process that dies leaves half a message."""


async def lines(fd: int, limit: int) -> AsyncGenerator[bytes | Oversized]:
    """Yield the lines of a non-blocking pipe; the last one even if it has no line end."""
    parts: list[bytes] = []
    size = 0
    while True:
        await anyio.wait_readable(fd)
        chunk = os.read(fd, CHUNK)
        if not chunk:
            break
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            yield _line([*parts, piece], size + len(piece), limit)
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > limit and len(parts) > 2:
            whole = b"".join(parts)
            parts = [whole[:END], whole[-END:]]
    if any(parts):
        last = _line(parts, size, limit)
        yield last if isinstance(last, Oversized) else Unfinished(last)


def _line(parts: list[bytes], size: int, limit: int) -> bytes | Oversized:
    whole = b"".join(parts)
    return whole if size <= limit else Oversized(whole[:END], whole[-END:], size, limit)


async def send(fd: int, message: bytes) -> None:
    """Write the whole message to a non-blocking pipe."""
    rest = memoryview(message)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            await anyio.wait_writable(fd)
