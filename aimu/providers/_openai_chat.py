"""OpenAI's chat completions, which many servers speak: the pure codec. `openai_chat_reply` reads the answers.

Format: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, final

from attrs import frozen

from aimu._core.messages import Message, content_of, text_of
from aimu._core.reply import UNKNOWN_NAME, Reply
from aimu._output._strict import OPENAI, PLAIN, strict
from aimu.errors import MalformedResponseError
from aimu.models._options import warn_unsupported
from aimu.models._row import ProviderRow
from aimu.models._spec import ModelSpec
from aimu.providers._alternation import alternated, answers_tools
from aimu.providers._base import Request
from aimu.providers._extra import overlay_extra, split_extra
from aimu.providers._failures import from_error
from aimu.providers._openai_chat_reply import REASONING_KEY, ChatDecoder
from aimu.providers._openai_reasoning import effort, is_reasoning_model, refused_sampling
from aimu.providers._sse import SSEDecoder
from aimu.providers._streamed_calls import KEPT
from aimu.providers._wire import is_empty, object_text, overlay, plain_name, refuse, renamed, short_id

_CHOICES = ("auto", "none", "required")
_DIALECTS = {"strict": OPENAI, "plain": PLAIN}


@final
@frozen
class ChatCodec:
    """The codec of one model of one server; `row` says where the server differs from OpenAI."""

    spec: ModelSpec
    row: ProviderRow

    frames = SSEDecoder

    @property
    def missing_model(self) -> str:
        return self.row.missing_model.format(model=self.spec.id)

    @property
    def trims(self) -> bool:
        return self.row.chat.trims

    def path(self, request: Request) -> str:
        return "chat/completions"

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]:
        request, extra = split_extra(request)
        body: dict[str, Any] = {"model": self.spec.id, "messages": self._messages(request.messages)}
        if stream:
            body["stream"] = True
            if self.row.chat.stream_usage:
                body["stream_options"] = {"include_usage": True}
        options = dict(request.options)
        if options.get("tool_choice", "auto") not in ("auto", "none") and self._is_unforced(options):
            refuse(options, ("tool_choice",), f"{self.spec}, unless thinking=False,")
        if request.tools:
            body.update(self._tools(request.tools, options))
        output = request.output
        if output is not None and output.mode == "schema":
            held = {"name": output.name, "schema": output.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": held}
        overlay(body, self._thinking(options))
        refuse(options, self._refused(options.get("thinking")), str(self.spec))
        special = ("tool_choice", "parallel_tool_calls", "thinking", "thinking_budget_tokens")
        body.update(renamed(options, self.row.chat.names, self.spec.provider, but=special))
        return overlay_extra(body, extra)

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        quirks = self.row.chat
        if quirks.schemas is None:
            raise ValueError(f"{self.spec.provider} has no mode for JSON Schemas")
        if tools and not quirks.schema_beside_tools:
            raise ValueError(f"{self.spec.provider} lets no model call a tool while it holds it to a schema")
        return schema if quirks.schemas == "any" else strict(schema, _DIALECTS[quirks.schemas])

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        return "required" in self.row.chat.tool_choices and not self._is_unforced(options)

    def _is_unforced(self, options: Mapping[str, Any]) -> bool:
        pattern = self.row.chat.unforced
        return pattern is not None and options.get("thinking") is not False and bool(re.match(pattern, self.spec.id))

    def _tools(self, tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        quirks = self.row.chat
        choice, parallel = (options.get(key) for key in ("tool_choice", "parallel_tool_calls"))
        body: dict[str, Any] = {"tools": [dict(tool) for tool in tools]}
        if choice is not None:
            kind = choice if choice in _CHOICES else "name"
            word = quirks.tool_choices.get(kind)
            if word is not None:
                body["tool_choice"] = word if choice in _CHOICES else {"type": word, word: {"name": choice}}
            elif choice == "none":  # without the word, the only way is to offer no tools
                return {}
            elif choice != "auto":
                warn_unsupported(self.spec.provider, "tool_choice")
        if parallel is not None:
            if quirks.parallel_tool_calls:
                body["parallel_tool_calls"] = parallel
            else:
                warn_unsupported(self.spec.provider, "parallel_tool_calls")
        return body

    @cached_property
    def _reasons(self) -> bool:
        return self.row.chat.efforts == "openai" and is_reasoning_model(self.spec.id)

    def _refused(self, thinking: bool | None) -> tuple[str, ...]:
        """Return the options that this model refuses in a request that says `thinking`."""
        refused = refused_sampling(self.spec.id, thinking) if self._reasons else ()
        return (*refused, *self._always_refused)

    @cached_property
    def _always_refused(self) -> tuple[str, ...]:
        of_model = (keys for pattern, keys in self.row.chat.refused.items() if re.match(pattern, self.spec.id))
        return tuple(chain.from_iterable(of_model))

    @cached_property
    def _bridges(self) -> bool:
        """Whether an answer must stand between a tool's result and a user message."""
        return not self.row.chat.user_after_tool or answers_tools(self.spec.id)

    def _thinking(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `thinking` and its budget add to the body."""
        added: dict[str, Any] = {}
        on = options.get("thinking")
        if on is not None:
            switch = self._switch(on=on)
            if switch is None:
                warn_unsupported(self.spec.provider, "thinking")
            overlay(added, switch)
        budget = options.get("thinking_budget_tokens")
        if budget is not None and on is not False:
            if not self.row.chat.budget:
                warn_unsupported(self.spec.provider, "thinking_budget_tokens")
            for key in reversed(self.row.chat.budget):
                budget = {key: budget}
            overlay(added, budget if isinstance(budget, dict) else None)
        return added

    def _switch(self, *, on: bool) -> Mapping[str, Any] | None:
        """Return what switches thinking on or off; None if nothing does."""
        if self._reasons or (self.row.chat.efforts == "gemini" and not on):
            level = effort(self.spec.id, thinking=on)
            return {} if level is None else {"reasoning_effort": level}
        return self.row.chat.thinking_on if on else self.row.chat.thinking_off

    def _messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        encoded: list[dict[str, Any]] = []
        pictures: list[dict[str, Any]] = []  # from tool results, whose messages can only hold text
        working = _working(messages)
        for index, message in enumerate(messages):
            role = message["role"]
            if role == "tool":
                pictures += [part for part in content_of(message) if part["type"] != "text"]
                call_id = self._id(message["tool_call_id"])
                encoded.append({"role": "tool", "tool_call_id": call_id, "content": text_of(message)})
                continue
            if pictures:
                encoded.append({"role": "user", "content": pictures})
                pictures = []
            if role != "assistant":
                encoded.append({"role": role, "content": message["content"]})
            elif not is_empty(message):
                encoded.append(self._assistant(message, works=index in working))
        if pictures:
            encoded.append({"role": "user", "content": pictures})
        return alternated(encoded, bridge=self._bridges)

    def _assistant(self, message: Message, *, works: bool) -> dict[str, Any]:
        """Return an assistant message; `works` says whether its turn calls tools, so that its reasoning goes back.

        DeepSeek refuses a turn with calls without its reasoning, and ignores the reasoning of others: search excerpt of
        https://api-docs.deepseek.com/guides/thinking_mode, 2026-11-26. The model may have reasoned under another name
        or elsewhere, or not at all; such servers accept an empty text, see the rows with `reasoning_key`.
        """
        encoded: dict[str, Any] = {"role": "assistant", "content": message.get("content") or None}
        kept: Mapping[str, Any] = message.get(self.spec.provider) or {}
        if kept.get("model", self.spec.id) == self.spec.id:  # signatures and encrypted blocks are of one model
            encoded.update({key: kept[key] for key in KEPT if key in kept})
        if works and message.get("thinking") and REASONING_KEY in kept and "reasoning_details" not in encoded:
            encoded[kept[REASONING_KEY]] = message["thinking"]
        if works and self.row.chat.reasoning_key is not None:
            encoded.setdefault(self.row.chat.reasoning_key, "")
        calls = message.get("tool_calls")
        if calls:
            of_calls: Mapping[str, Any] = kept.get("tool_calls") or {}
            encoded["tool_calls"] = [
                {
                    "id": self._id(call["id"]),
                    "type": "function",
                    "function": self._function(call["function"]),
                    **of_calls.get(call["id"], {}),
                }
                for call in calls
            ]
        return encoded

    def _id(self, call_id: str) -> str:
        return short_id(call_id, self.row.chat.longest_id, self.row.chat.id_pattern)

    def _function(self, function: Mapping[str, Any]) -> dict[str, Any]:
        name = function["name"] or UNKNOWN_NAME
        if self.row.chat.plain_names:
            name = plain_name(name)
        return {"name": name, "arguments": object_text(function["arguments"])}

    def decode(self, body: dict[str, Any]) -> Reply:
        decoder = self.decoder()
        if body.get("error"):
            raise from_error(self.spec.provider, body["error"], status=200)
        choices = body["choices"]
        if not choices:
            raise MalformedResponseError("the response has no choice", provider=self.spec.provider)
        choice = next((choice for choice in choices if not choice.get("index")), choices[0])
        message = choice.get("message")
        if message is None and not choice.get("finish_reason"):
            raise MalformedResponseError("the choice in the response has no message", provider=self.spec.provider)
        delta = dict(message or {})
        delta["tool_calls"] = [{**call, "index": index} for index, call in enumerate(delta.get("tool_calls") or ())]
        decoder.feed({**body, "choices": [{**choice, "message": None, "index": 0, "delta": delta}]})
        decoder.done()
        return decoder.reply()

    def decoder(self) -> ChatDecoder:
        return ChatDecoder(self.spec.provider)


def _working(messages: Sequence[Message]) -> set[int]:
    """Return the indices of the messages in turns with calls; a turn is what stands between two user messages."""
    working: set[int] = set()
    begin, works = 0, False
    for index, message in enumerate(messages):
        if message["role"] == "user":
            begin, works = index, False
        if works or message.get("tool_calls"):
            working.update(range(begin, index + 1))
            begin, works = index + 1, True
    return working
