"""What a server answers to a POST, checked before the SDK reads it: a JSON body, or one event of a stream.

The SDK waits for ever for a body with another id, and logs a traceback for one that it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from aimu.aio._mcp.faults import excerpt, not_a_response
from aimu.aio._mcp.messages import failed, parsed, repaired

RequestId = int | str
Hide = Callable[[str], str]
EVENTS = "text/event-stream"
_JSON = "application/json"


def checked_body(body: bytes, request: RequestId, hide: Hide) -> tuple[str, bytes]:
    """Return a body that answers the request, and its content type; an error in place of one that does not.

    The answer of a batch comes as a stream of events, which may have several messages.
    """
    if (response := _response(body)) is not None and response.id == request:
        return _JSON, body
    try:
        messages = [parsed(body)]
    except ValueError as exc:
        messages = repaired(body, exc)
    if not any(map(_is_answer, messages)):
        messages.append(_unanswered(request, body, hide))
    if len(messages) == 1:
        return _JSON, _dumped(_to(request, messages[0]))
    return EVENTS, b"".join(map(event_of, messages))


def checked_event(event: bytes, request: RequestId, hide: Hide) -> bytes:
    """Return an event of a stream that answers the request; an error in place of one that is no message."""
    lines = event.split(b"\n")
    data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
    kinds = [line[6:].strip() for line in lines if line.startswith(b"event:")]
    if not data or kinds not in ([], [b"message"]) or _response(data) is not None:
        return event
    try:
        parsed(data)
    except ValueError as exc:
        ids = b"".join(line + b"\n" for line in lines if line.startswith(b"id:"))
        return ids + b"".join(map(event_of, repaired(data, exc) or [_unanswered(request, data, hide)]))
    return event


def _response(data: bytes) -> Any:
    """Return a successful response without its result; None if the data is not one.

    The SDK parses it once more, so no objects are made of the result here; of a large one, they take most of the time.
    """
    try:
        return _head().model_validate_json(data)
    except ValueError:
        return None


@lru_cache(maxsize=1)
def _head() -> Any:
    """Return the class of a response whose result is read but not kept."""
    from mcp_types import JSONRPCResponse
    from pydantic import create_model

    absent: Any = (None, None)
    return create_model(
        "Head", __base__=JSONRPCResponse, result=(create_model("Unread"), ...), method=absent, error=absent
    )


def _is_answer(message: Any) -> bool:
    return not hasattr(message, "method")


def _to(request: RequestId, message: Any) -> Any:
    return message.model_copy(update={"id": request})


def _unanswered(request: RequestId, body: bytes, hide: Hide) -> Any:
    shown = excerpt(hide(body.decode(errors="replace")))
    return failed(request, not_a_response(shown or "it is empty"))


def _dumped(message: Any) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode()  # type: ignore[no-any-return]


def event_of(message: Any) -> bytes:
    """Return the event of a message."""
    return b"data: " + _dumped(message) + b"\n\n"
