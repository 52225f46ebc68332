"""What a server answers to a POST, checked before the SDK reads it: a JSON body, or one event of a stream.

The SDK waits for ever for a body with another id, and logs a traceback for one that it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aimu.aio._mcp.faults import excerpt, not_a_response
from aimu.aio._mcp.framing import failed, parsed, repaired

RequestId = int | str
Hide = Callable[[str], str]
EVENTS = "text/event-stream"
_JSON = "application/json"


def checked_body(body: bytes, request: RequestId, hide: Hide) -> tuple[str, bytes]:
    """Return a body that answers the request, and its content type; an error in place of one that does not.

    The answer of a batch comes as a stream of events, which may have several messages.
    """
    try:
        message = parsed(body)
    except ValueError as exc:
        messages = repaired(body, exc)
    else:
        if _is_answer(message) and message.id == request:
            return _JSON, body
        messages = [message]
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
    if not data or kinds not in ([], [b"message"]):
        return event
    try:
        parsed(data)
    except ValueError as exc:
        ids = b"".join(line + b"\n" for line in lines if line.startswith(b"id:"))
        return ids + b"".join(map(event_of, repaired(data, exc) or [_unanswered(request, data, hide)]))
    return event


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
