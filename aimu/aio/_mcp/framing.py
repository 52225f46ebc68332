"""Messages as lines of JSON on a pipe: reads, bounds and writes them. Says whose answer unreadable JSON was, on any
transport.

Format: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio (read 2026-11-22).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator
from typing import Any, final

import anyio
from attrs import frozen

from aimu.aio._mcp.faults import Fault

CHUNK = 65536
END = 4096  # bytes kept of both ends of an oversized line, to find the id in
_ID = rb'"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")'
_BEFORE = re.compile(
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?'
    + _ID
    + rb'\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:result|error)"'
)
_AFTER = re.compile(
    rb'\}\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?' + _ID + rb'\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$'
)


@final
@frozen
class Oversized:
    """A line that is longer than allowed, of which only both ends are kept."""

    head: bytes
    tail: bytes
    size: int
    limit: int


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
        yield _line(parts, size, limit)


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


def read_message(line: bytes | Oversized) -> Any:
    """Return the JSON-RPC message of a line or event; an error in place of an answer that cannot be used; else None."""
    from mcp_types import jsonrpc_message_adapter

    if isinstance(line, Oversized):
        found = _BEFORE.match(line.head) or _AFTER.search(line.tail)
        return None if found is None else failed(json.loads(found[1]), "the answer is too large", limit=line.limit)
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError as exc:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or "method" in value or type(value.get("id")) not in (int, str):
            return None
        return failed(value["id"], f"violated the protocol: its answer is not a JSON-RPC response: {exc}")


def failed(request: int | str, reason: str, *, limit: int = 0) -> Any:
    """Return the error that answers a request in the place of the server."""
    from mcp_types import INTERNAL_ERROR, JSONRPCError

    fault = Fault(kind="size" if limit else "invalid", reason=reason, limit=limit)
    return JSONRPCError.model_validate({"jsonrpc": "2.0", "id": request, "error": fault.error(INTERNAL_ERROR)})
