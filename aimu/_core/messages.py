"""The history: messages as plain dicts in OpenAI's shape, how to build them, and when a history is valid.

A message has a `role`. By role:

- `system`: `content` str; only at index 0.
- `user`: `content` str, or a list of content parts (`{"type": "text", "text": ...}`, `{"type": "image_url", ...}`).
- `assistant`: `content` str or None, and optionally `tool_calls`
  (`[{"id", "type": "function", "function": {"name", "arguments"}}]`, arguments as JSON text), `thinking` (str), and
  one key per provider that needs something back verbatim. `"interrupted": True` marks text that was cut off.
- `tool`: `content`, `tool_call_id`, `name`; `"status"` is `"cancelled"` or `"not_executed"` if there is no result.

The last message of a turn that did not end normally has `"stop_reason"`: the value of a StopReason.

The tool messages directly after an assistant message answer each of its calls exactly once. The library never changes
a message that it has put into a history. Shape: https://platform.openai.com/docs/api-reference/chat (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from aimu._core.images import url_of
from aimu._core.reply import Reply, ToolCall
from aimu._core.surrogates import paired
from aimu.errors import InvalidHistoryError

Message: TypeAlias = dict[str, Any]
"""One message of a history: a dict in OpenAI's shape, which goes through JSON."""

ROLES = ("system", "user", "assistant", "tool")

CANCELLED = "cancelled"
NOT_EXECUTED = "not_executed"
CANCELLED_TEXT = "The call was interrupted while it ran; whether it took effect is unknown."
NOT_EXECUTED_TEXT = "The call was not executed."


def system_message(text: str) -> Message:
    """Return a system message."""
    return {"role": "system", "content": text}


def user_message(text: str, images: Sequence[Mapping[str, Any]] = ()) -> Message:
    """Return a user message; `images` are content parts from `aimu._core.images.image_part`."""
    if not images:
        return {"role": "user", "content": text}
    return {"role": "user", "content": [{"type": "text", "text": text}, *images]}


def with_text(message: Message, text: str) -> Message:
    """Return a user message with a further paragraph at its end."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": f"{content}\n\n{text}" if content else text}
    return {**message, "content": [*content, {"type": "text", "text": text}]}


def assistant_message(reply: Reply) -> Message:
    """Return the message that a reply adds to the history."""
    message: Message = {"role": "assistant", "content": reply.text}
    if reply.thinking:
        message["thinking"] = reply.thinking
    if reply.calls:
        message["tool_calls"] = [call_dict(call) for call in reply.calls]
    message.update(reply.replay)
    return message


def interrupted_message(text: str, thinking: str = "") -> Message | None:
    """Return the message for an answer that was cut off, marked as interrupted; None if it had no text yet."""
    if not text.strip():
        return None
    message: Message = {"role": "assistant", "content": paired(text), "interrupted": True}
    if thinking:
        message["thinking"] = paired(thinking)
    return message


def call_dict(call: ToolCall) -> dict[str, Any]:
    """Return a tool call as it stands in an assistant message."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def tool_message(call: ToolCall, content: str | Sequence[Mapping[str, Any]], status: str | None = None) -> Message:
    """Return the message with the result of `call`; `content` is text or content parts."""
    message: Message = {
        "role": "tool",
        "tool_call_id": call.id,
        "name": call.name,
        "content": paired(content) if isinstance(content, str) else [dict(part) for part in content],
    }
    if status is not None:
        message["status"] = status
    return message


def unanswered(call: ToolCall, *, started: bool) -> Message:
    """Return the message for a call without a result; `started` says whether the tool had begun."""
    if started:
        return tool_message(call, CANCELLED_TEXT, CANCELLED)
    return tool_message(call, NOT_EXECUTED_TEXT, NOT_EXECUTED)


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, without its other parts; "" if there is none."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if part.get("type") == "text")


def content_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the content of a message as a list of parts, without blank texts, which some services refuse."""
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return [part for part in content or () if part.get("type") != "text" or part["text"].strip()]


def split_system(messages: Sequence[Message]) -> tuple[str | None, Sequence[Message]]:
    """Return the text of the system message, or None, and the other messages."""
    if messages and messages[0]["role"] == "system":
        return text_of(messages[0]), messages[1:]
    return None, messages


def copy_history(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Copy the dicts and lists of a history, valid or not, at every depth; other values are shared."""
    return [_copy(message) for message in messages]


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def check_history(messages: Sequence[Any]) -> None:
    """Check a history.

    Raises:
        InvalidHistoryError: A message breaks a rule of this module; the error has its index.
    """
    waiting: dict[str, int] = {}  # id of each unanswered call -> index of its message
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise InvalidHistoryError(index, f"is a {type(message).__name__}, not a dict")
        role = message.get("role")
        if role not in ROLES:
            raise InvalidHistoryError(index, f"has role {role!r}; use one of {', '.join(ROLES)}")
        if role == "tool":
            _check_result(index, message, waiting)
            continue
        if waiting:
            break
        if role == "system" and index:
            raise InvalidHistoryError(index, "is a system message; only messages[0] may be one")
        _check_content(index, message, role)
        if role == "assistant":
            for call_id in _check_calls(index, message):
                waiting[call_id] = index
    if waiting:
        call_id, index = next(iter(waiting.items()))
        raise InvalidHistoryError(
            index, f"has the tool call {call_id!r}, but no tool message directly after it answers that call"
        )


def _check_content(index: int, message: Mapping[str, Any], role: str) -> None:
    content = message.get("content")
    if isinstance(content, str) or (content is None and role == "assistant"):
        return
    if role != "system" and isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                raise InvalidHistoryError(index, "has a content part that is not a dict with a 'type'")
            if part["type"] == "text" and not isinstance(part.get("text"), str):
                raise InvalidHistoryError(index, "has a text part without 'text'")
            if part["type"] == "image_url" and not url_of(part):
                raise InvalidHistoryError(index, "has an image_url part without a URL under ['image_url']['url']")
        return
    kinds = "a string" if role == "system" else "a string or a list of content parts"
    raise InvalidHistoryError(index, f"has content of type {type(content).__name__}; a {role} message needs {kinds}")


def _check_calls(index: int, message: Mapping[str, Any]) -> list[str]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise InvalidHistoryError(index, "has 'tool_calls' that is not a list")
    ids: list[str] = []
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise InvalidHistoryError(index, "has a tool call without 'function'")
        if not isinstance(call.get("id"), str) or not call["id"]:
            raise InvalidHistoryError(index, "has a tool call without an 'id'")
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), str):
            raise InvalidHistoryError(
                index, "has a tool call whose 'name' or 'arguments' is not a string (arguments are JSON text)"
            )
        if call["id"] in ids:
            raise InvalidHistoryError(index, f"has two tool calls with id {call['id']!r}")
        ids.append(call["id"])
    return ids


def _check_result(index: int, message: Mapping[str, Any], waiting: dict[str, int]) -> None:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str) or call_id not in waiting:
        raise InvalidHistoryError(
            index, f"answers the tool call {call_id!r}, which the assistant message before it does not have"
        )
    _check_content(index, message, "tool")
    del waiting[call_id]
