"""What a chat template needs, and what the text of a local model means: thinking, answer, tool calls, stop strings.

Pure text in, values out, at any cut; shared by all engines. Runs no template, no tokenizer and no model. Which calls
are run, and what becomes of a malformed one, is the runner's matter: here none is lost.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from aimu._core.messages import Message, text_of
from aimu._core.reply import Delta, Reply, StopReason, Usage
from aimu._core.thinking import GENERATING, ThinkSplitter
from aimu.engines._call_text import READERS, CallFormat, loads, overlap
from aimu.errors import InvalidImageError

MARKERS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<|python_tag|>",
)
"""Text that means something here; some tokenizers count it as special and would drop it."""


def template_messages(messages: Sequence[Message]) -> list[Message]:
    """The history in the shape that chat templates of the Hugging Face hub read.

    `arguments` become objects (left as text where they are none), `thinking` becomes `reasoning_content`, text parts
    become text, ids of other providers become nine characters; marks and other providers' keys go. Raises
    InvalidImageError where there is an image: the engines run text models.
    """
    return [_template_message(message) for message in messages]


def _template_message(message: Message) -> Message:
    if not isinstance(content := message.get("content"), str):
        for part in content or ():
            if part["type"] != "text":
                raise InvalidImageError(f"this engine runs text models: it cannot take a content part {part['type']!r}")
    shaped: Message = {"role": message["role"], "content": text_of(message)}
    if message.get("thinking"):
        shaped["reasoning_content"] = message["thinking"]
    if calls := message.get("tool_calls"):
        shaped["tool_calls"] = [_template_call(call) for call in calls]
    if message["role"] == "tool":
        shaped["tool_call_id"] = _short_id(message["tool_call_id"])
        if message.get("name"):
            shaped["name"] = message["name"]
    return shaped


def _template_call(call: Mapping[str, Any]) -> Message:
    function = call["function"]
    arguments = loads(function["arguments"] or "{}")
    shaped = {
        "name": function["name"],
        "arguments": arguments if isinstance(arguments, dict) else function["arguments"],
    }
    return {"id": _short_id(call["id"]), "type": "function", "function": shaped}


def _short_id(identity: str) -> str:
    if re.fullmatch("[A-Za-z0-9]{9}", identity):
        return identity
    return base64.b32encode(hashlib.sha256(identity.encode()).digest())[:9].decode()


@final
class ReplyParser:
    """The reply in a growing text: `feed` pieces, `finish` once; both give deltas.

    The text of tool calls is in no delta. Calls are looked for only where `tools` (OpenAI function format) were
    offered; a bare JSON answer is a call only if it names one of them. After a stop string `stopped` is true and the
    text behind it is ignored. Pass the end of the prompt, which may have opened the thinking block already.
    """

    def __init__(
        self,
        *,
        form: CallFormat,
        tools: Sequence[Mapping[str, Any]] = (),
        stop: Iterable[str] = (),
        prompt: str = "",
    ) -> None:
        self._thinking = ThinkSplitter(thinking=prompt.rstrip().endswith("<think>"))
        self._calls = READERS[form]({tool["function"]["name"]: tool["function"] for tool in tools}) if tools else None
        self._stop = [text for text in stop if text]
        self._held = ""  # the end of the text, which may be the beginning of a stop string
        self._parts: dict[str, list[str]] = {"thinking": [], "generating": []}
        self.stopped = False

    def feed(self, text: str) -> list[Delta]:
        if self.stopped:
            return []
        return self._deltas(self._thinking.feed(self._before_stop(text) if self._stop else text))

    def finish(self) -> list[Delta]:
        held, self._held = self._held, ""
        deltas = self._deltas([*self._thinking.feed(held), *self._thinking.finish()])
        if self._calls is not None:
            deltas += self._kept([Delta(GENERATING, self._calls.finish())])
        return deltas

    def reply(self, stop_reason: StopReason, usage: Usage, model: str) -> Reply:
        """The whole of it, after `finish`; `stop_reason` is the one that holds where there are no calls."""
        calls = tuple(self._calls.calls) if self._calls is not None else ()
        if calls and stop_reason is not StopReason.MAX_TOKENS:
            stop_reason = StopReason.TOOL_CALLS
        text, thinking = ("".join(self._parts[phase]) for phase in ("generating", "thinking"))
        return Reply(text=text, thinking=thinking, calls=calls, stop_reason=stop_reason, usage=usage, model=model)

    def _before_stop(self, text: str) -> str:
        held = self._held + text
        ends = [(at + len(stop), at) for stop in self._stop if (at := held.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return held[: min(ends)[1]]  # of the one that was complete first, as when the text comes by letters
        keep = max(overlap(held, stop) for stop in self._stop)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def _deltas(self, deltas: Iterable[Delta]) -> list[Delta]:
        if self._calls is None:
            return self._kept(deltas)
        read = self._calls.feed
        return self._kept(Delta(GENERATING, read(d.text)) if d.phase is GENERATING else d for d in deltas)

    def _kept(self, deltas: Iterable[Delta]) -> list[Delta]:
        kept = [delta for delta in deltas if delta.text]
        for delta in kept:
            self._parts[delta.phase].append(delta.text)
        return kept
