"""Anthropic's Messages API: the pure codec. `anthropic_reply` reads the answers.

What the service needs back verbatim (signed and redacted thinking, the blocks of its own tools, citations) is kept in
the history under "anthropic", and goes back as long as it agrees with the message.
Format: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu._core.images import split_data_url, url_of
from aimu._core.messages import Message, content_of, split_system, text_of
from aimu._core.reply import Reply
from aimu._output._strict import ANTHROPIC, strict
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.providers._anthropic_reply import KEY, AnthropicDecoder, reply_of, with_results
from aimu.providers._base import Request
from aimu.providers._extra import overlay_extra, split_extra
from aimu.providers._failures import from_error
from aimu.providers._sse import SSEDecoder
from aimu.providers._wire import arguments_object, plain_name, refuse, renamed, short_id

_NAMES = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "stop": "stop_sequences"}
_SPECIAL = ("max_tokens", "tool_choice", "parallel_tool_calls", "thinking", "thinking_budget_tokens")
_THOUGHTS = ("thinking", "redacted_thinking")
# The limit that the API requires, if neither the catalog nor the user sets one, and the default thinking budget.
_MAX_TOKENS = 8192
_BUDGET = 4096
# Which models accept what; a name without a version stands for all later versions. Models whose thinking has a budget,
# models that accept either form, and models that always think:
# https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting, read 2026-11-24.
_BUDGETED = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:-\d{8})?$)")
_EITHER = re.compile(r"claude-(?:opus|sonnet)-4-6")
_ALWAYS = re.compile(r"claude-(?:fable|mythos|opus-5-5)")
# This model still thinks between tool calls, and calls that "between_tools" instead of "disabled".
_BETWEEN_TOOLS = re.compile(r"claude-sonnet-5-5")
# Models that refuse sampling options, thinking or not: .../build-with-claude/thinking#sampling-parameters
# and the migration guides of 5.5, read 2026-11-24.
_UNSAMPLED = re.compile(r"claude-(?:fable|mythos|(?:opus|sonnet|haiku)-(?:4-[7-9]|[5-9]))")
# Models that cannot be forced to call a tool: .../build-with-claude/thinking#response-prefill-and-forced-tool-use and
# the release notes of each, read 2026-11-24.
_UNFORCED = re.compile(r"claude-(?:(?:fable|mythos)-5-[1-9]|(?:opus|sonnet)-5-5)")

# Models without structured outputs: .../build-with-claude/structured-outputs names those from 4.5 on (an excerpt, read
# 2026-11-26).
_UNHELD = re.compile(r"claude-(?:[0-3]|instant|(?:opus|sonnet|haiku)-4(?:-[0-4])?(?:-\d{8})?$)")


@final
@frozen
class AnthropicCodec:
    """The codec of one model."""

    spec: ModelSpec

    frames = SSEDecoder
    missing_model = ""
    trims = False

    def path(self, request: Request) -> str:
        return "v1/messages"

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]:
        request, extra = split_extra(request)
        system, messages = split_system(request.messages)
        body: dict[str, Any] = {"model": self.spec.id, "max_tokens": request.options.get("max_tokens", _MAX_TOKENS)}
        if system is not None:
            body["system"] = system
        body["messages"] = _merged(messages)
        if stream:
            body["stream"] = True
        options = dict(request.options)
        self._think(body, options)
        if options.get("tool_choice", "auto") not in ("auto", "none"):
            if _UNFORCED.match(self.spec.id):
                refuse(options, ("tool_choice",), str(self.spec))
            elif body.get("thinking", {}).get("type") == "enabled":
                refuse(options, ("tool_choice",), f"{self.spec.provider} with a thinking budget")
        body.update(_tools(request, options))
        output = request.output
        if output is not None and output.mode == "schema":
            body["output_config"] = {"format": {"type": "json_schema", "schema": output.schema}}
        body.update(renamed(options, _NAMES, self.spec.provider, but=_SPECIAL))
        return overlay_extra(body, extra)

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        if _UNHELD.match(self.spec.id):
            raise ValueError(f"{self.spec} has no mode for JSON Schemas")
        return strict(schema, ANTHROPIC)

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        thinks = options.get("thinking", options.get("thinking_budget_tokens") is not None)
        return not thinks and _UNFORCED.match(self.spec.id) is None

    def _think(self, body: dict[str, Any], options: dict[str, Any]) -> None:
        """Switch thinking on or off, and remove the sampling options that are not allowed with it."""
        budget = options.get("thinking_budget_tokens")
        on = options.get("thinking", budget is not None)
        model = self.spec.id
        budgeted = _BUDGETED.match(model) is not None
        either = _EITHER.match(model) is not None
        if _UNSAMPLED.match(model):
            refuse(options, ("temperature", "top_p", "top_k"), str(self.spec))
        if not on:
            if options.get("thinking") is False and not budgeted:
                self._stop_thinking(body)
            return
        if budgeted or (either and budget is not None):
            budget = max(1024, budget or _BUDGET)
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
            if (
                body["max_tokens"] <= budget
            ):  # the limit includes thinking, so a smaller one is meant for the answer alone
                body["max_tokens"] += budget
        else:
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
            if budget is not None:
                warn_unsupported(str(self.spec), "thinking_budget_tokens")
        low = options.get("top_p", 1) < 0.95
        refuse(options, ("temperature", "top_k", *(("top_p",) if low else ())), f"{self.spec.provider} with thinking")

    def _stop_thinking(self, body: dict[str, Any]) -> None:
        if _ALWAYS.match(self.spec.id):
            warn_unsupported(str(self.spec), "thinking")
        else:
            body["thinking"] = {"type": "between_tools" if _BETWEEN_TOOLS.match(self.spec.id) else "disabled"}

    def decode(self, body: dict[str, Any]) -> Reply:
        if body.get("type") == "error" or body.get("error"):
            raise from_error(self.spec.provider, body["error"], status=200, request_id=body.get("request_id"))
        return reply_of(self.spec.provider, body, body["content"], body.get("usage") or {})

    def decoder(self) -> AnthropicDecoder:
        return AnthropicDecoder(self.spec.provider)


def _merged(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Merge adjacent messages of one role, so that all results of a round are in one user message."""
    turns: list[dict[str, Any]] = []
    used: set[str] = set()
    ids: dict[str, str] = {}  # the ids of the last calls -> the ids to send
    for message in messages:
        role = "assistant" if message["role"] == "assistant" else "user"
        if role == "assistant":
            ids = _ids(message, used)
        blocks = _assistant(message, ids, last=message is messages[-1]) if role == "assistant" else _user(message, ids)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _ids(message: Message, used: set[str]) -> dict[str, str]:
    """Map the ids of a message's calls to ids that are unique and have only the characters that Anthropic accepts.

    Other providers use other characters, and some count from 0 in each answer.
    """
    ids: dict[str, str] = {}
    for call in message.get("tool_calls") or ():
        fit = short_id(re.sub(r"[^a-zA-Z0-9_-]", "_", call["id"]), 64)
        ids[call["id"]] = fit = fit if fit not in used else f"{fit[:48]}_again_{len(used)}"
        used.add(fit)
    return ids


def _user(message: Message, ids: Mapping[str, str]) -> list[dict[str, Any]]:
    blocks = [_part(part) for part in content_of(message)]
    if message["role"] == "user":
        return blocks
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": ids[message["tool_call_id"]], "content": blocks}
    if message.get("status"):
        result["is_error"] = True
    return [result]


def _assistant(message: Message, ids: Mapping[str, str], *, last: bool) -> list[dict[str, Any]]:
    """Return the blocks of a message; the last one may be a paused answer, in which a call waits for its result."""
    kept: list[Any] = _with_rest((message.get(KEY) or {}).get("content") or [], message)
    if not last and not message.get("tool_calls"):
        kept = with_results(kept)
    if kept and all(call_id == fit for call_id, fit in ids.items()) and _agrees(kept, message):
        blocks = [block for block in kept if block["type"] != "text" or block["text"].strip()]
        while blocks and blocks[-1]["type"] in _THOUGHTS:  # a message must not end with thinking
            blocks.pop()
        return blocks
    # The user edited the message: its thinking is still valid, and required before a call; the rest is rebuilt.
    blocks = [block for block in kept if block["type"] in _THOUGHTS]
    text = text_of(message)
    if text.strip():
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        name, arguments = plain_name(call["function"]["name"]), arguments_object(call["function"]["arguments"])
        blocks.append({"type": "tool_use", "id": ids[call["id"]], "name": name, "input": arguments})
    return blocks if text.strip() or message.get("tool_calls") else []


def _with_rest(blocks: list[Any], message: Message) -> list[Any]:
    """Return the blocks with the text that follows them: the last part of a paused answer may have been text alone."""
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    said = text_of(message)
    if not blocks or len(said) <= len(text) or not said.startswith(text) or message.get("tool_calls"):
        return blocks
    return [*blocks, {"type": "text", "text": said[len(text) :]}]


def _agrees(blocks: Sequence[Mapping[str, Any]], message: Message) -> bool:
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    return text == text_of(message) and calls == [
        (call["id"], call["function"]["name"], arguments_object(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] != "image_url":
        return dict(part)
    url = url_of(part)
    split = split_data_url(url)
    if split is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": split[0], "data": split[1]}}


def _tools(request: Request, options: Mapping[str, Any]) -> dict[str, Any]:
    tools = [_tool(tool) for tool in request.tools]
    choice = options.get("tool_choice")
    if not tools:
        # The service refuses a history with calls without definitions of their tools, even if none may be called.
        names = {
            plain_name(call["function"]["name"]): None for m in request.messages for call in m.get("tool_calls") or ()
        }
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
        choice = "none" if tools else None
    if not tools:
        return {}
    body: dict[str, Any] = {"tools": tools}
    parallel = options.get("parallel_tool_calls")
    if choice is not None or parallel is not None:
        body["tool_choice"] = _tool_choice(choice or "auto")
        if parallel is not None and choice != "none":
            body["tool_choice"]["disable_parallel_tool_use"] = not parallel
    return body


def _tool_choice(choice: str) -> dict[str, Any]:
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    return {"type": kinds[choice]} if choice in kinds else {"type": "tool", "name": choice}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "function" not in tool:  # a tool of the service
        return dict(tool)
    function = tool["function"]
    encoded = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    if function.get("description"):
        encoded["description"] = function["description"]
    return encoded
