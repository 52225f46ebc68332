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
from aimu.providers._finish import stop_reason, word_of
from aimu.providers._wire import arguments_object, arguments_text, as_text, count, later_counts

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING
KEY = "anthropic"
"""The key in a message for what the service needs back verbatim."""
# Calls that the service itself runs: their results are blocks of the same message.
_OWN_CALLS = ("server_tool_use", "mcp_tool_use")
# The pieces in which a block's texts arrive, by the type of the delta: the key there, and the key in the block.
_PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
}


@final
class AnthropicDecoder:
    """Reads the events of one streamed message; a block arrives in pieces with its index.

    https://platform.claude.com/docs/en/build-with-claude/streaming
    """

    def __init__(self, provider: str) -> None:
        self.settled = False
        self.over = False
        self.shown_call: str | None = None
        self._provider = provider
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[dict[str, list[str]]] = []  # of the texts of each block, by key
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
            # Some gateways send blocks with the message itself.
            blocks = enumerate(self._message.get("content") or ())
            return [delta for index, block in blocks for delta in self._started(index, dict(block))]
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
        self._at[index] = len(self._blocks)
        self._blocks.append(block)
        self._pieces.append({})
        if kind not in ("text", "thinking"):
            return ()
        first = as_text(block.setdefault(kind, ""))
        return self._said(kind, first, self._pieces[-1].setdefault(kind, []))

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Iterable[Delta]:
        kind = delta["type"]
        at = self._at[index]
        keys = _PIECES.get(kind)
        if keys is not None:
            source, key = keys
            pieces = self._pieces[at].get(key)
            if pieces is None:
                begun = self._blocks[at].get(key)
                pieces = self._pieces[at][key] = [begun] if isinstance(begun, str) else []
            if key == "input" and delta[source] and self._shows(at):
                pieces.append(as_text(delta[source]))
                return (Delta(GENERATING, pieces[-1], of_call=True),)
            return self._said(key, as_text(delta[source]), pieces)
        if kind == "citations_delta":
            block = self._blocks[at]
            if not isinstance(block.get("citations"), list):
                block["citations"] = []
            block["citations"].append(delta["citation"])
        return ()

    def _shows(self, at: int) -> bool:
        """Return whether a block is the first call of the tool whose arguments are shown."""
        shown = self.shown_call
        if shown is None or self._blocks[at].get("name") != shown:
            return False
        return next(block for block in self._blocks if block.get("name") == shown) is self._blocks[at]

    def _said(self, key: str, text: str, pieces: list[str]) -> Iterable[Delta]:
        if not text:
            return ()
        pieces.append(text)
        if key == "text":
            self._text.append(text)
            return (Delta(GENERATING, text),)
        return (Delta(THINKING, text),) if key == "thinking" else ()

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        """Add usage figures, which are cumulative; later events repeat only some of them."""
        self._usage = later_counts(self._usage, usage or {})

    def done(self) -> Iterable[Delta]:
        return ()

    def partial(self) -> str:
        return "".join(self._text)

    def reply(self) -> Reply:
        if not self._message:
            raise MalformedResponseError("the stream has no message", provider=self._provider)
        blocks = [dict(block) for block in self._blocks]
        for block, pieces in zip(blocks, self._pieces, strict=True):
            block.update({key: "".join(texts) for key, texts in pieces.items()})
        written = {at: block["input"] for at, block in enumerate(blocks) if self._pieces[at].get("input")}
        for at, text in written.items():
            blocks[at]["input"] = arguments_object(text)
        return reply_of(self._provider, self._message, blocks, self._usage, written)


def reply_of(
    provider: str,
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
    stop = stop_reason(provider, message.get("stop_reason"), tuple(calls), partial="".join(text))
    if stop is not StopReason.PAUSED and not calls:
        blocks = with_results(blocks)
    return Reply(
        text="".join(text),
        thinking="".join(thinking),
        refusal=_refusal(message.get("stop_details")),
        calls=tuple(calls),
        stop_reason=stop,
        finish_reason=word_of(message.get("stop_reason")) or None,
        usage=Usage(
            input=count(usage, "input_tokens"),
            output=count(usage, "output_tokens"),
            cache_read=count(usage, "cache_read_input_tokens"),
            cache_write=count(usage, "cache_creation_input_tokens"),
        ),
        model=message.get("model"),
        replay={KEY: {"content": [dict(block) for block in blocks]}} if any(map(_is_opaque, blocks)) else {},
    )


def _refusal(details: Any) -> str:
    """Return the words with which the service explains a refusal, else its category."""
    if not isinstance(details, Mapping):
        return ""
    return str(details.get("explanation") or details.get("category") or "")


def with_results(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the blocks without calls of the service's own tools that have no result, which the service refuses."""
    answered = {block.get("tool_use_id") for block in blocks}
    return [block for block in blocks if block["type"] not in _OWN_CALLS or block.get("id") in answered]


def _is_opaque(block: Mapping[str, Any]) -> bool:
    """Return whether a block has more than the other keys of a message can hold."""
    return block["type"] not in ("text", "tool_use") or bool(block.get("citations") or block.get("caller"))
