"""OpenAI's Responses API: the pure codec.

The service stores nothing. What it needs from earlier turns (encrypted reasoning, items of its own tools) is kept in
the history under "openai_responses", and goes back verbatim as long as it agrees with the message.
Format: https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu._core.chunks import StreamingContentType
from aimu._core.images import url_of
from aimu._core.messages import Message, content_of, split_system, text_of
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.errors import MalformedResponseError
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.providers._base import Request
from aimu.providers._extra import overlay_extra, split_extra
from aimu.providers._failures import from_error
from aimu.providers._openai_reasoning import effort, is_reasoning_model, refused_sampling
from aimu.providers._sse import SSEDecoder
from aimu.providers._wire import (
    arguments_text,
    as_text,
    count,
    is_empty,
    object_text,
    plain_name,
    refuse,
    renamed,
    short_id,
)

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING
KEY = "openai_responses"
_NAMES = {"max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
_SPECIAL = ("tool_choice", "parallel_tool_calls", "thinking")
_LONGEST_ID = 64  # of a call, from the error that the service gives for a longer one
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_DELTAS = {
    "response.output_text.delta": GENERATING,
    "response.reasoning_summary_text.delta": THINKING,
    "response.reasoning_text.delta": THINKING,
}


@final
@frozen
class ResponsesCodec:
    """The codec of one model."""

    spec: ModelSpec

    frames = SSEDecoder
    missing_model = ""

    def path(self, request: Request) -> str:
        return "responses"

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]:
        request, extra = split_extra(request)
        system, messages = split_system(request.messages)
        body: dict[str, Any] = {"model": self.spec.id, "store": False}
        if system is not None:
            body["instructions"] = system
        reasons = is_reasoning_model(self.spec.id)
        body["input"] = [item for message in messages for item in _items(message, reasons=reasons)]
        if stream:
            body["stream"] = True
        options = dict(request.options)
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            if "tool_choice" in options:
                body["tool_choice"] = _tool_choice(options["tool_choice"])
            if "parallel_tool_calls" in options:
                body["parallel_tool_calls"] = options["parallel_tool_calls"]
        if reasons:
            body["include"] = ["reasoning.encrypted_content"]
            refuse(options, refused_sampling(self.spec.id, options.get("thinking")), str(self.spec))
        thinking = options.get("thinking")
        if thinking is not None and reasons:
            level = effort(self.spec.id, thinking=thinking)
            body["reasoning"] = {"summary": "auto"} if thinking else {}
            if level is not None:
                body["reasoning"]["effort"] = level
        elif thinking:
            warn_unsupported(str(self.spec), "thinking")
        body.update(renamed(options, _NAMES, self.spec.provider, but=_SPECIAL))
        return overlay_extra(body, extra)

    def decode(self, body: dict[str, Any]) -> Reply:
        return _reply(self.spec.provider, body)

    def decoder(self) -> ResponsesDecoder:
        return ResponsesDecoder(self.spec.provider)


@final
class ResponsesDecoder:
    """Reads the events of one streamed response; the terminal event has the whole response."""

    def __init__(self, provider: str) -> None:
        self.settled = False
        self.over = False
        self._provider = provider
        self._text: list[str] = []
        self._items: dict[int, dict[str, Any]] = {}
        self._response: dict[str, Any] = {}

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        kind = event.get("type")
        phase = _DELTAS.get(str(kind))
        if phase is not None:
            text = as_text(event["delta"])
            if not text:
                return ()
            if phase is GENERATING:
                self._text.append(text)
            return (Delta(phase, text),)
        if kind == "response.output_item.done":
            self._items[event.get("output_index", len(self._items))] = event["item"]
        elif kind in _ENDS:
            self._end(event["response"])
        elif kind == "error" or (kind is None and event.get("error")):
            raise from_error(self._provider, event.get("error") or event, status=200, partial=self.partial())
        return ()

    def _end(self, response: dict[str, Any]) -> None:
        if response.get("status") in ("queued", "in_progress"):
            raise MalformedResponseError("the stream ended before the response was complete", provider=self._provider)
        if not response.get("output"):  # some servers omit from the last event what came before
            response = {**response, "output": [self._items[index] for index in sorted(self._items)]}
        self._response = response
        self.settled = self.over = True

    def done(self) -> Iterable[Delta]:
        return ()

    def partial(self) -> str:
        return "".join(self._text)

    def reply(self) -> Reply:
        return _reply(self._provider, self._response, self.partial())


def _reply(provider: str, response: Mapping[str, Any], partial: str = "") -> Reply:
    """Return the reply in a response object; `partial` goes into the error if the response failed."""
    status = response.get("status")
    if status in ("failed", "cancelled") or (status is None and response.get("error")):
        error = response.get("error") or {"message": f"the response has the status {status!r}"}
        raise from_error(provider, error, status=200, partial=partial)
    items: list[dict[str, Any]] = response["output"]
    text, refusal = _texts(items, "output_text", "text"), _texts(items, "refusal", "refusal")
    thoughts = [
        part["text"]
        for item in items
        if item["type"] == "reasoning"
        for part in (*(item.get("summary") or ()), *(item.get("content") or ()))
    ]
    calls = _calls(items)
    return Reply(
        text="".join(text),
        thinking="".join(thoughts),
        refusal="".join(refusal),
        calls=tuple(calls),
        stop_reason=_stop_reason(response, refused=bool(refusal), calls=bool(calls)),
        usage=_usage(response.get("usage")),
        model=response.get("model"),
        replay={KEY: {"items": items}} if any(_is_opaque(item) for item in items) else {},
    )


def _texts(items: Iterable[Mapping[str, Any]], kind: str, key: str) -> list[str]:
    """Return the texts of the parts of one kind in the message items."""
    parts = (part for item in items if item["type"] == "message" for part in item["content"])
    return [part[key] for part in parts if part["type"] == kind]


def _calls(items: Iterable[Mapping[str, Any]]) -> list[ToolCall]:
    return [
        ToolCall(item["call_id"], item["name"], arguments_text(item["arguments"]))
        for item in items
        if item["type"] == "function_call"
    ]


def _stop_reason(response: Mapping[str, Any], *, refused: bool, calls: bool) -> StopReason:
    status = response.get("status")
    if refused:
        return StopReason.REFUSED
    if status in ("queued", "in_progress"):  # a background response without an answer so far
        return StopReason.PAUSED
    if status == "incomplete":
        why = (response.get("incomplete_details") or {}).get("reason")
        return StopReason.REFUSED if why == "content_filter" else StopReason.MAX_TOKENS
    return StopReason.TOOL_CALLS if calls else StopReason.END


def _usage(figures: Any) -> Usage | None:
    if not figures:
        return None
    return Usage(
        input=count(figures, "input_tokens"),
        output=count(figures, "output_tokens"),
        cache_read=count(figures, "input_tokens_details", "cached_tokens"),
        reasoning=count(figures, "output_tokens_details", "reasoning_tokens"),
    )


def _is_opaque(item: Mapping[str, Any]) -> bool:
    """Return whether an output item has more than the other keys of a message can hold."""
    return item["type"] not in ("message", "function_call")


def _items(message: Message, *, reasons: bool) -> list[dict[str, Any]]:
    """Return the input items of one message."""
    role = message["role"]
    if role == "tool":
        output = message["content"]
        if not isinstance(output, str):
            output = [_part(part) for part in content_of(message)]
        return [
            {
                "type": "function_call_output",
                "call_id": short_id(message["tool_call_id"], _LONGEST_ID),
                "output": output,
            }
        ]
    if role == "user":
        content = message["content"]
        return [{"role": "user", "content": content if isinstance(content, str) else [_part(part) for part in content]}]
    kept = (message.get(KEY) or {}).get("items")
    if kept and _may_replay(kept, message, reasons=reasons):
        return list(kept)
    text = text_of(message)
    items: list[dict[str, Any]] = [] if is_empty(message) or not text else [{"role": "assistant", "content": text}]
    calls = message.get("tool_calls") or ()
    return items + [
        {
            "type": "function_call",
            "call_id": short_id(call["id"], _LONGEST_ID),
            "name": plain_name(call["function"]["name"]),
            "arguments": object_text(call["function"]["arguments"]),
        }
        for call in calls
    ]


def _may_replay(items: Sequence[Mapping[str, Any]], message: Message, *, reasons: bool) -> bool:
    """Return whether the items agree with the message, which a user may have edited, and the service accepts them.

    It does not accept reasoning without encrypted content, and a model that does not reason accepts no reasoning.
    """
    reasoning = [item for item in items if item["type"] == "reasoning"]
    if not all(reasons and item.get("encrypted_content") for item in reasoning):
        return False
    calls = [
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return "".join(_texts(items, "output_text", "text")) == text_of(message) and _calls(items) == calls


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "input_text", "text": part["text"]}
    if part["type"] == "image_url":
        image = part["image_url"]
        detail = image.get("detail") if isinstance(image, Mapping) else None
        return {"type": "input_image", "image_url": url_of(part), "detail": detail or "auto"}
    return dict(part)


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool in this API's flat format, where schemas are strict by default and most are not fit for that."""
    if tool.get("type") != "function" or "function" not in tool:
        return dict(tool)
    return {"type": "function", "strict": False, **tool["function"]}


def _tool_choice(choice: str) -> Any:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}
