"""OpenAI's chat completions, which many servers speak: the pure codec. How an answer is read is a file of its own.

Format: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu.core.messages import Message
from aimu.core.reply import UNKNOWN_NAME, Reply
from aimu.core.thinking import ThinkSplitter
from aimu.errors import MalformedResponseError
from aimu.models.options import warn_unsupported
from aimu.models.spec import ModelSpec
from aimu.providers.base import Request
from aimu.providers.failures import from_error
from aimu.providers.openai_chat_reply import KEPT, ChatDecoder
from aimu.providers.openai_compatible import Server, effort, is_reasoning_model, refused_sampling
from aimu.providers.sse import SSEDecoder
from aimu.providers.wire import content_parts, is_empty, object_text, overlay, plain_name, refuse, renamed, short_id


@final
@frozen
class ChatCodec:
    spec: ModelSpec
    server: Server

    frames = SSEDecoder

    @property
    def provider(self) -> str:
        return self.server.name

    @property
    def missing_model(self) -> str:
        return self.server.missing_model.format(model=self.spec.id)

    def path(self, request: Request) -> str:
        return "chat/completions"

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.spec.id, "messages": self._messages(request.messages)}
        if stream:
            body["stream"] = True
            if self.server.stream_usage:
                body["stream_options"] = {"include_usage": True}
        options = dict(request.options)
        extra = options.pop("extra_body", None)
        if request.tools:
            body.update(self._tools(request))
        overlay(body, self._thinking(options))
        if self._reasons():
            refuse(options, refused_sampling(self.spec.id, options.get("thinking")), str(self.spec))
        special = ("tool_choice", "parallel_tool_calls", "thinking", "thinking_budget_tokens")
        body.update(renamed(options, self.server.names, self.provider, but=special))
        return overlay(body, extra)

    def _tools(self, request: Request) -> dict[str, Any]:
        choice, parallel = (request.options.get(key) for key in ("tool_choice", "parallel_tool_calls"))
        if not self.server.tool_options:
            if choice == "none":  # all that can be done for it: to offer nothing
                return {}
            if choice not in (None, "auto"):
                warn_unsupported(self.provider, "tool_choice")
            if parallel is not None:
                warn_unsupported(self.provider, "parallel_tool_calls")
            choice = parallel = None
        body: dict[str, Any] = {"tools": [dict(tool) for tool in request.tools]}
        if choice is not None:
            body["tool_choice"] = _tool_choice(choice)
        if parallel is not None:
            body["parallel_tool_calls"] = parallel
        return body

    def _reasons(self) -> bool:
        return self.server.name == "openai" and is_reasoning_model(self.spec.id)

    def _thinking(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What `thinking` and its budget add to the body."""
        added: dict[str, Any] = {}
        on = options.get("thinking")
        if on is not None:
            switch = self._switch(on=on)
            if switch is None:
                warn_unsupported(self.provider, "thinking")
            overlay(added, switch)
        budget = options.get("thinking_budget_tokens")
        if budget is not None and on is not False:
            if not self.server.budget:
                warn_unsupported(self.provider, "thinking_budget_tokens")
            for key in reversed(self.server.budget):
                budget = {key: budget}
            overlay(added, budget if isinstance(budget, dict) else None)
        return added

    def _switch(self, *, on: bool) -> Mapping[str, Any] | None:
        """What switches thinking on or off; None where nothing does."""
        if self._reasons() or (self.server.name == "gemini" and not on):
            said = effort(self.spec.id, thinking=on)
            return {} if said is None else {"reasoning_effort": said}
        return self.server.thinking_on if on else self.server.thinking_off

    def _messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        encoded: list[dict[str, Any]] = []
        pictures: list[dict[str, Any]] = []  # of tool results, whose messages can hold text only
        for message in messages:
            role = message["role"]
            if role == "tool":
                parts = content_parts(message)
                text = "".join(part["text"] for part in parts if part["type"] == "text")
                pictures += [part for part in parts if part["type"] != "text"]
                call_id = short_id(message["tool_call_id"], self.server.longest_id)
                encoded.append({"role": "tool", "tool_call_id": call_id, "content": text})
                continue
            if pictures:
                encoded.append({"role": "user", "content": pictures})
                pictures = []
            if role != "assistant":
                encoded.append({"role": role, "content": message["content"]})
            elif not is_empty(message):
                encoded.append(self._assistant(message))
        if pictures:
            encoded.append({"role": "user", "content": pictures})
        return encoded

    def _assistant(self, message: Message) -> dict[str, Any]:
        encoded: dict[str, Any] = {"role": "assistant", "content": message.get("content") or None}
        kept: Mapping[str, Any] = message.get(self.provider) or {}
        encoded.update({key: kept[key] for key in KEPT if key in kept})
        calls = message.get("tool_calls")
        if calls:
            of_calls: Mapping[str, Any] = kept.get("tool_calls") or {}
            encoded["tool_calls"] = [
                {
                    "id": short_id(call["id"], self.server.longest_id),
                    "type": "function",
                    "function": self._function(call["function"]),
                    **of_calls.get(call["id"], {}),
                }
                for call in calls
            ]
            if self.server.reasoning_back and message.get("thinking"):
                encoded[self.server.reasoning_back] = message["thinking"]
        return encoded

    def _function(self, function: Mapping[str, Any]) -> dict[str, Any]:
        name = function["name"] or UNKNOWN_NAME
        if self.server.name == "openai":
            name = plain_name(name)
        return {"name": name, "arguments": object_text(function["arguments"])}

    def decode(self, body: dict[str, Any]) -> Reply:
        decoder = self.decoder()
        if body.get("error"):
            raise from_error(self.provider, body["error"], status=200)
        choices = body["choices"]
        if not choices:
            raise MalformedResponseError("the response has no choice", provider=self.provider)
        choice = next((choice for choice in choices if not choice.get("index")), choices[0])
        message = choice.get("message")
        if message is None and not choice.get("finish_reason"):
            raise MalformedResponseError("the response's choice has no message", provider=self.provider)
        delta = dict(message or {})
        delta["tool_calls"] = [{**call, "index": index} for index, call in enumerate(delta.get("tool_calls") or ())]
        decoder.feed({**body, "choices": [{**choice, "index": 0, "delta": delta}]})
        decoder.done()
        return decoder.reply()

    def decoder(self) -> ChatDecoder:
        tags = self.server.inline_thinking
        return ChatDecoder(self.provider, ThinkSplitter(opening=tags[0], closing=tags[1]) if tags else None)


def _tool_choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}
