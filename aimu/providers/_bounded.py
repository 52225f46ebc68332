"""Reads the bodies of responses within bounds, whatever a server sends: endless ones, and ones that unpack to endless.

Raises `BodyError`, and what HTTP over a socket raises.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import final

import anyio

from aimu._core.loop_end import Nested

# What requests ask for. Other compressions are refused: unpacking them has no bound.
CODINGS = "gzip, deflate"
LONGEST_BODY = 64 << 20  # bytes; of a response that is not streamed
LONGEST_STREAM = 1 << 30
LONGEST_ERROR = 64 << 10  # the rest of a longer error body is not read
_ERROR_TIME = 5.0  # s to read the body of an error
_PIECE = 64 << 10
# Compressed bytes for each byte of contents, and at the beginning; what packs nothing must end, too.
_LOOSEST, _EMPTY = 8, 1 << 20


class BodyError(Exception):
    """A body is too long, or cannot be unpacked."""


@final
class Body:
    """The body of a response, as it arrives, and what the response says before it.

    Args:
        status: The status of the response.
        headers: Its headers, with lower-case names or case-insensitive.
        raw: The body as it is on the wire.
        close: Closes the response.
        coding: How the body is compressed; None for what the headers say.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        raw: AsyncIterable[bytes],
        close: Callable[[], Awaitable[None]],
        *,
        coding: str | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._close = close
        self._raw: AsyncIterator[bytes] = Nested(raw, whole=True)
        self.chunks = self._raw
        self._unpacked: AsyncGenerator[bytes, None] | None = None
        coding = (coding or headers.get("content-encoding", "identity")).strip().lower()
        if coding != "identity":
            self._unpacked = _unpacked(self._raw, coding)
            self.chunks = Nested(self._unpacked)

    async def read(self) -> bytes:
        """Return the whole body."""
        pieces: list[bytes] = []
        size = 0
        async for chunk in self.chunks:
            pieces.append(chunk)
            size += len(chunk)
            if size > LONGEST_BODY:
                raise BodyError(f"the response is longer than {LONGEST_BODY >> 20} MiB")
        return b"".join(pieces)

    async def beginning(self) -> tuple[bytes, bool]:
        """Return the body of an error, or its beginning, and whether there was more that was not read."""
        read = bytearray()
        with anyio.move_on_after(_ERROR_TIME), suppress(BodyError):
            async for chunk in self.chunks:
                read += chunk
                if len(read) > LONGEST_ERROR:
                    break
            else:
                return bytes(read), False
        return bytes(read[:LONGEST_ERROR]), True

    async def aclose(self) -> None:
        """Close the response, and end the generators below it without waiting for gc."""
        if self._unpacked is not None:
            await self._unpacked.aclose()
        await self._close()
        async for _ in self._raw:  # the closed response has no more
            pass


async def _unpacked(raw: AsyncIterator[bytes], coding: str) -> AsyncGenerator[bytes, None]:
    unpacker = _Unpacker(coding)
    taken = given = 0
    async for chunk in raw:
        taken += len(chunk)
        for piece in unpacker.feed(chunk):
            given += len(piece)
            yield piece
        if taken > _LOOSEST * given + _EMPTY:
            raise BodyError("cannot decompress the response: it has hardly any contents")


@final
class _Unpacker:
    """Unpacks gzip or deflate in bounded pieces."""

    def __init__(self, coding: str) -> None:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise BodyError(f"cannot decompress the response: its content-encoding is {coding[:40]!r}")
        self._first = True
        self._unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # with the header of either format

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            try:
                piece = self._unpacking.decompress(chunk, _PIECE)
            except zlib.error as exc:
                if not self._first:
                    raise BodyError(f"cannot decompress the response: {exc}") from exc
                self._first = False
                self._unpacking = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers send deflate without a header
                continue
            self._first = False
            if piece:
                yield piece
            chunk = self._unpacking.unconsumed_tail
            if self._unpacking.eof:  # another member may follow
                chunk = self._unpacking.unused_data
                self._unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
