"""Reads answers of Anthropic's Messages API, streamed or whole: the other half of the codec in `anthropic`.

Format: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.errors import MalformedResponseError
from aimu.providers._failures import from_error
from aimu.providers._wire import arguments_object, arguments_text, as_text, count

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING
KEY = "anthropic"
"""The key in a message for what the service needs back verbatim."""
_STOPS = {
    "max_tokens": StopReason.MAX_TOKENS,
    "model_context_window_exceeded": StopReason.MAX_TOKENS,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "tool_use": StopReason.TOOL_CALLS,
    "pause_turn": StopReason.PAUSED,
    "refusal": StopReason.REFUSED,
}


@final
class AnthropicDecoder:
    """Reads the events of one streamed message; a block arrives in pieces with its index.

    https://platform.claude.com/docs/en/build-with-claude/streaming
    """

    def __init__(self, provider: str) -> None:
        self.settled = False
        self.over = False
        self._provider = provider
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._input: list[list[str]] = []  # the pieces of JSON of each block's input
        self._at: dict[int, int] = {}  # index on the wire -> the last block that began with it; some send only 0
        self._text: list[str] = []

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        kind = event["type"]
        if kind == "content_block_delta":
            return self._delta(event["index"], event["delta"])
        if kind == "content_block_start":
            return self._started(event["index"], dict(event["content_block"]))
        if kind == "message_start":
            self._message = event["message"]
            self._count(self._message.get("usage"))
        elif kind == "message_delta":
            self._message = {**self._message, **{key: value for key, value in event["delta"].items() if value}}
            self._count(event.get("usage"))
            self.settled = self.settled or bool(self._message.get("stop_reason"))
        elif kind == "message_stop":
            self.settled = self.over = True
        elif kind == "error":
            raise from_error(
                self._provider,
                event["error"],
                status=200,
                request_id=event.get("request_id"),
                partial=self.partial(),
            )
        return ()

    def _started(self, index: int, block: dict[str, Any]) -> Iterable[Delta]:
        kind = block["type"]
        first = as_text(block[kind]) if kind in ("text", "thinking") else ""
        self._at[index] = len(self._blocks)
        self._blocks.append(block)
        self._input.append([])
        if not first:
            return ()
        if kind == "thinking":
            return (Delta(THINKING, first),)
        self._text.append(first)
        return (Delta(GENERATING, first),)

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Iterable[Delta]:
        kind = delta["type"]
        at = self._at[index]
        block = self._blocks[at]
        if kind == "text_delta":
            text = as_text(delta["text"])
            block["text"] += text
            self._text.append(text)
            return (Delta(GENERATING, text),) if text else ()
        if kind == "input_json_delta":
            self._input[at].append(delta["partial_json"])
        elif kind == "thinking_delta":
            thought = delta["thinking"]
            block["thinking"] += thought
            return (Delta(THINKING, thought),) if thought else ()
        elif kind == "signature_delta":
            block["signature"] = (block.get("signature") or "") + delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        return ()

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        """Add usage figures, which are cumulative; later events repeat only some of them."""
        self._usage.update({key: value for key, value in (usage or {}).items() if value is not None})

    def done(self) -> Iterable[Delta]:
        return ()

    def partial(self) -> str:
        return "".join(self._text)

    def reply(self) -> Reply:
        if not self._message:
            raise MalformedResponseError("the stream has no message", provider=self._provider)
        written = {at: "".join(pieces) for at, pieces in enumerate(self._input)}
        for at, text in written.items():
            if text:
                self._blocks[at]["input"] = arguments_object(text)
        return reply_of(self._message, self._blocks, self._usage, written)


def reply_of(
    message: Mapping[str, Any],
    blocks: Sequence[Mapping[str, Any]],
    usage: Mapping[str, Any],
    written: Mapping[int, str] | None = None,
) -> Reply:
    """Return the reply; `written` has the streamed JSON text of each call's input, by the position of its block."""
    text: list[str] = []
    thinking: list[str] = []
    calls: list[ToolCall] = []
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            text.append(block["text"])
        elif block["type"] == "thinking":
            thinking.append(block["thinking"])
        elif block["type"] == "tool_use":
            arguments = (written or {}).get(index) or arguments_text(block["input"])
            calls.append(ToolCall(block["id"], block["name"], arguments))
    return Reply(
        text="".join(text),
        thinking="".join(thinking),
        refusal=str((message.get("stop_details") or {}).get("explanation") or ""),
        calls=tuple(calls),
        stop_reason=_STOPS.get(str(message.get("stop_reason")), StopReason.END),
        usage=Usage(
            input=count(usage, "input_tokens"),
            output=count(usage, "output_tokens"),
            cache_read=count(usage, "cache_read_input_tokens"),
            cache_write=count(usage, "cache_creation_input_tokens"),
        ),
        model=message.get("model"),
        replay={KEY: {"content": [dict(block) for block in blocks]}} if any(map(_is_opaque, blocks)) else {},
    )


def _is_opaque(block: Mapping[str, Any]) -> bool:
    """Return whether a block has more than the other keys of a message can hold."""
    return block["type"] not in ("text", "tool_use") or bool(block.get("citations") or block.get("caller"))
