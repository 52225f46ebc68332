"""OpenAI's Responses API: the pure codec. `_openai_responses_reply` reads the answers.

The service stores nothing. What it needs from earlier turns (encrypted reasoning, items of its own tools) is kept in
the history under "openai_responses", and goes back verbatim as long as it agrees with the message.
Format: https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu._core.images import url_of
from aimu._core.messages import Message, content_of, split_system, text_of
from aimu._core.reply import Reply, ToolCall
from aimu._output._strict import OPENAI, strict
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.providers._base import Request
from aimu.providers._extra import overlay_extra, split_extra
from aimu.providers._openai_reasoning import effort, is_reasoning_model, refused_sampling
from aimu.providers._openai_responses_reply import KEY, ResponsesDecoder, calls_in, reply_of, said_in
from aimu.providers._sse import SSEDecoder
from aimu.providers._wire import is_empty, object_text, plain_name, refuse, renamed, short_id

_NAMES = {"max_tokens": "max_output_tokens", "temperature": "temperature", "top_p": "top_p"}
_SPECIAL = ("tool_choice", "parallel_tool_calls", "thinking")
_LONGEST_ID = 64  # of a call, from the error that the service gives for a longer one


@final
@frozen
class ResponsesCodec:
    """The codec of one model."""

    spec: ModelSpec

    frames = SSEDecoder
    missing_model = ""
    trims = False

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
        output = request.output
        if output is not None and output.mode == "schema":
            held = {"type": "json_schema", "name": output.name, "schema": output.schema, "strict": True}
            body["text"] = {"format": held}
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

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        return strict(schema, OPENAI)

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        return True

    def decode(self, body: dict[str, Any]) -> Reply:
        return reply_of(self.spec.provider, body)

    def decoder(self) -> ResponsesDecoder:
        return ResponsesDecoder(self.spec.provider)


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
    return said_in(items).text == text_of(message) and calls_in(items) == calls


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
