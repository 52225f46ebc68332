"""JSON-RPC messages in what a server sends, on any transport: reads them, and says whose answer unreadable JSON was."""

from __future__ import annotations

import json
import re
from typing import Any

from aimu._core.surrogates import whole
from aimu.aio._mcp.faults import Fault, not_a_response, too_large, words
from aimu.aio._mcp.framing import END, Oversized, Unfinished

_ID = rb'"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")'
_BEFORE = re.compile(
    rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?'
    + _ID
    + rb'\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:result|error)"'
)
_AFTER = re.compile(
    rb'\}\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?' + _ID + rb'\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$'
)


def read_messages(line: bytes | Oversized) -> list[Any]:
    """Return the JSON-RPC messages of a line or event; errors in place of answers that cannot be used.

    There is usually one. There are none if the line is not about the protocol, and several in a batch, which the
    protocol of 2025-03-26 allows.
    """
    if isinstance(line, Oversized):
        found = _id_of(line.head, line.tail)
        return [] if found is None else [failed(found, too_large(line.limit))]
    try:
        return [parsed(line)]
    except ValueError as exc:
        return [] if isinstance(line, Unfinished) else repaired(line, exc)


def parsed(data: bytes) -> Any:
    """Return a JSON-RPC message.

    Raises:
        ValueError: The data is nothing of that kind.
    """
    from mcp_types import jsonrpc_message_adapter

    return jsonrpc_message_adapter.validate_json(data, by_name=False)


def repaired(data: bytes, problem: ValueError) -> list[Any]:
    """Return the messages of data that `parsed` refuses because of `problem`, as `read_messages` does."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        found = _id_of(data[:END], data[-END:])
        return [] if found is None else [failed(found, not_a_response(words(problem)))]
    items = value if isinstance(value, list) else [value]
    return [message for item in items if (message := _repaired(item)) is not None]


def _repaired(value: Any) -> Any:
    """Return the message of a JSON value, an error in place of an answer that is not valid, or None.

    Some languages write each number as a float, and half a surrogate where a text was cut off.
    """
    if not isinstance(value, dict):
        return None
    number = value.get("id")
    if isinstance(number, float) and number.is_integer():
        value["id"] = int(number)
    try:
        return parsed(whole(json.dumps(value, ensure_ascii=False)).encode())
    except (ValueError, RecursionError) as exc:
        if "method" in value or type(value.get("id")) not in (int, str):
            return None
        return failed(value["id"], not_a_response(_problem(value, exc)))


def _problem(answer: dict[str, Any], exc: Exception) -> str:
    """Return why an answer is not valid; without the reasons why it is not a request either."""
    from mcp_types import JSONRPCError, JSONRPCResponse

    try:
        (JSONRPCError if "error" in answer else JSONRPCResponse).model_validate(answer)
    except ValueError as reason:
        return words(reason)
    return words(exc)


def _id_of(head: bytes, tail: bytes) -> int | str | None:
    """Return the id of the answer that begins and ends so, or None if it has none that can be found."""
    found = _BEFORE.match(head) or _AFTER.search(tail)
    try:
        return None if found is None else json.loads(found[1])
    except ValueError:  # in a text that is not UTF-8
        return None


def failed(request: int | str | None, fault: Fault) -> Any:
    """Return the error that answers a request in the place of the server."""
    from mcp_types import INTERNAL_ERROR, JSONRPCError

    return JSONRPCError.model_validate({"jsonrpc": "2.0", "id": request, "error": fault.error(INTERNAL_ERROR)})
