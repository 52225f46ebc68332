"""Reads answers of OpenAI's Responses API, streamed or whole: the other half of the codec in `_openai_responses`.

The terminal event of a stream should have the whole response. Some servers leave out of it what they streamed, so each
item is put together from the events before, and the two are held to each other.
Format: https://platform.openai.com/docs/api-reference/responses and .../responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from attrs import define, field, frozen

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.errors import MalformedResponseError
from aimu.providers._failures import from_error
from aimu.providers._finish import stop_reason
from aimu.providers._wire import arguments_text, as_text, count, held_arguments, held_to, later_counts

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING
KEY = "openai_responses"
"""The key in a message for what the service needs back verbatim."""
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
# The events with a piece of an item, and the type of that item.
_PIECES = {
    "response.output_text.delta": "message",
    "response.refusal.delta": "message",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "function_call",
}
_COMMENTARY = "commentary"


@define
class _Item:
    """An output item as the events of a stream show it.

    Attributes:
        kind: Its type.
        shown: The item as the last event had it: whole once it is done, before that without its contents.
        pieces: The pieces of its text, summary or arguments.
        refusal: The pieces of its refusal.
        annotations: The annotations of its text.
        ahead: The end of its text that was taken from the whole item, so that pieces may still repeat it.
        repeated: The number of its characters that they have repeated.
    """

    kind: str
    shown: Mapping[str, Any] = field(factory=dict[str, Any])
    pieces: list[str] = field(factory=list[str])
    refusal: list[str] = field(factory=list[str])
    annotations: list[Any] = field(factory=list[Any])
    ahead: str = ""
    repeated: int = 0

    def new(self, text: str) -> str:
        """Return what a piece adds to the text."""
        if self.ahead.startswith(text, self.repeated):
            self.repeated += len(text)
            return ""
        text = text.removeprefix(self.ahead[self.repeated :])
        self.ahead = ""
        return text

    def whole(self, final: Mapping[str, Any], provider: str, partial: str) -> dict[str, Any]:
        """Return the item, from its final form, which may be empty, and its pieces."""
        item = {"type": self.kind, **self.shown, **final}
        streamed = "".join(self.pieces)
        if self.kind == "function_call":
            item["arguments"] = held_arguments(item.get("arguments"), streamed, provider, partial=partial)
            item.setdefault("call_id", item.get("id") or "")
            item.setdefault("name", "")
        elif self.kind == "reasoning":
            if streamed and not item.get("summary") and not item.get("content"):
                item["summary"] = [{"type": "summary_text", "text": streamed}]
        elif self.kind == "message":
            item["content"] = self._content(item.get("content") or [], streamed, provider, partial)
        return item

    def _content(self, content: Sequence[Any], streamed: str, provider: str, partial: str) -> list[Any]:
        item = {"type": "message", "content": content}
        text, refusal = _joined(item, "output_text", "text"), _joined(item, "refusal", "refusal")
        held = held_to(text, streamed, provider, partial=partial)[0]
        refused = held_to(refusal, "".join(self.refusal), provider, partial=partial)[0]
        if (held, refused) == (text, refusal):
            return list(content)
        said = [{"type": "output_text", "text": held, "annotations": self.annotations}] if held else []
        return [*said, *([{"type": "refusal", "refusal": refused}] if refused else [])]


@final
class ResponsesDecoder:
    """Reads the events of one streamed response."""

    def __init__(self, provider: str) -> None:
        self.settled = False
        self.over = False
        self.shown_call: str | None = None
        self._provider = provider
        self._text: list[str] = []
        self._items: dict[int, _Item] = {}  # by output index
        self._usage: Any = None
        self._response: dict[str, Any] = {}

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        kind = str(event.get("type"))
        if kind in _PIECES:
            return self._piece(kind, event)
        if kind == "response.output_item.added":
            self._at(event, event["item"]["type"]).shown = _head(event["item"])
        elif kind == "response.output_item.done":
            return self._done_item(event)
        elif kind == "response.function_call_arguments.done":
            item = self._at(event, "function_call")
            item.shown = {**item.shown, **{key: event[key] for key in ("name", "arguments") if event.get(key)}}
        elif kind == "response.output_text.annotation.added":
            self._at(event, "message").annotations.append(event["annotation"])
        elif kind in _ENDS:
            self._end(event["response"])
        elif kind == "error" or ("type" not in event and event.get("error")):
            raise from_error(self._provider, event.get("error") or event, status=200, partial=self.partial())
        elif isinstance(event.get("response"), Mapping):
            self._usage = later_counts(self._usage, event["response"].get("usage"))
        return ()

    def done(self) -> Iterable[Delta]:
        return ()

    def partial(self) -> str:
        return "".join(self._text)

    def _at(self, event: Mapping[str, Any], kind: str) -> _Item:
        """Return the item that an event belongs to; without an index, the last one of its kind, or a new one."""
        index = event.get("output_index")
        if not isinstance(index, int):
            index = len(self._items) - 1
            if event.get("type") == "response.output_item.added" or index < 0 or self._items[index].kind != kind:
                index = len(self._items)
        return self._items.setdefault(index, _Item(kind))

    def _piece(self, kind: str, event: Mapping[str, Any]) -> Iterable[Delta]:
        text = as_text(event["delta"])
        item = self._at(event, _PIECES[kind])
        if not text:
            return ()
        if kind == "response.refusal.delta":
            item.refusal.append(text)
            return ()
        if item.ahead and not (text := item.new(text)):
            return ()
        item.pieces.append(text)
        return self._said(item, text)

    def _said(self, item: _Item, text: str) -> Iterable[Delta]:
        """Return the delta of a text that an item gained."""
        if item.kind == "message" and item.shown.get("phase") != _COMMENTARY:
            self._text.append(text)
            return (Delta(GENERATING, text),)
        if item.kind == "function_call":
            return (Delta(GENERATING, text, of_call=True),) if self._shows(item) else ()
        return (Delta(THINKING, text),)

    def _shows(self, item: _Item) -> bool:
        """Return whether an item is the first call of the tool whose arguments are shown."""
        shown = self.shown_call
        if shown is None or item.shown.get("name") != shown:
            return False
        return next(one for one in self._items.values() if one.shown.get("name") == shown) is item

    def _done_item(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        """Keep a whole item, and return the end of its text if that was not streamed."""
        whole: Mapping[str, Any] = event["item"]
        item = self._at(event, whole["type"])
        item.shown = whole
        if item.kind != "message":
            return ()
        _, missing = held_to(
            _joined(whole, "output_text", "text"), "".join(item.pieces), self._provider, partial=self.partial()
        )
        if not missing:
            return ()
        item.pieces.append(missing)
        item.ahead, item.repeated = missing, 0
        return self._said(item, missing)

    def _end(self, response: dict[str, Any]) -> None:
        if response.get("status") in ("queued", "in_progress"):
            raise MalformedResponseError("the stream ended before the response was complete", provider=self._provider)
        self._usage = later_counts(self._usage, response.get("usage"))
        self._response = response
        self.settled = self.over = True

    def reply(self) -> Reply:
        partial = self.partial()
        response = {**self._response, "usage": self._usage}
        if response.get("status") not in ("failed", "cancelled"):
            response["output"] = self._output(response.get("output") or [], partial)
        return reply_of(self._provider, response, partial)

    def _output(self, final: Sequence[Mapping[str, Any]], partial: str) -> list[Mapping[str, Any]]:
        """Return the items of the response, those of its final form and those that were streamed."""
        by_id = {item["id"]: at for at, item in enumerate(final) if item.get("id")}
        output: list[Mapping[str, Any]] = list(final)
        added: list[tuple[int, Mapping[str, Any]]] = []
        for index, item in sorted(self._items.items()):
            at = by_id.get(item.shown.get("id"), index)
            if at < len(final) and final[at]["type"] == item.kind:
                output[at] = item.whole(final[at], self._provider, partial)
            else:
                added.append((index, item.whole({}, self._provider, partial)))
        known = {item.get("call_id") for item in final if item.get("call_id")}
        for index, whole in added:
            if whole.get("call_id") not in known:  # a call that the final form has under another type or place
                output.insert(index, whole)
        return output


def _head(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item that has only begun without its contents, which come in pieces."""
    return {key: value for key, value in item.items() if key not in ("content", "summary", "arguments")}


def reply_of(provider: str, response: Mapping[str, Any], partial: str = "") -> Reply:
    """Return the reply in a response object; `partial` goes into the error if the response failed."""
    status = response.get("status")
    if status in ("failed", "cancelled") or (status is None and response.get("error")):
        error = response.get("error") or {"message": f"the response has the status {status!r}"}
        raise from_error(provider, error, status=200, partial=partial)
    items: list[dict[str, Any]] = response["output"]
    said, refusal = said_in(items), "".join(_joined(item, "refusal", "refusal") for item in items)
    calls = tuple(calls_in(items))
    why = (response.get("incomplete_details") or {}).get("reason") if status == "incomplete" else None
    word = why or status
    if refusal:
        stop = StopReason.REFUSED
    elif status in ("queued", "in_progress"):  # a background response without an answer so far
        stop = StopReason.PAUSED
    else:
        stop = stop_reason(provider, word, calls, partial=partial or said.text)
    return Reply(
        text=said.text,
        thinking=said.thinking,
        refusal=refusal,
        calls=calls,
        stop_reason=stop,
        finish_reason=word,
        usage=_usage(response.get("usage")),
        model=response.get("model"),
        replay={KEY: {"items": items}} if any(map(_is_opaque, items)) else {},
    )


@final
@frozen
class Said:
    """The answer in the items of a response, and what the model said on the way to it."""

    text: str
    thinking: str


def said_in(items: Sequence[Mapping[str, Any]]) -> Said:
    """Return the answer in the items, and the rest: reasoning, and commentary unless there is nothing else.

    Messages have a phase since GPT-5.3: https://developers.openai.com/api/docs/guides/latest-model, read 2026-11-25.
    """
    text: list[str] = []
    commentary: list[str] = []
    thinking: list[str] = []
    rest: list[str] = []  # thinking without commentary
    for item in items:
        if item["type"] == "reasoning":
            parts = (*(item.get("summary") or ()), *(item.get("content") or ()))
            thought = "".join(part["text"] for part in parts)
            thinking.append(thought)
            rest.append(thought)
        elif item["type"] == "message":
            said = _joined(item, "output_text", "text")
            if item.get("phase") == _COMMENTARY:
                commentary.append(said)
                thinking.append(said)
            else:
                text.append(said)
    if not any(text) and not any(item["type"] == "function_call" for item in items):
        return Said("".join(commentary), "".join(rest))
    return Said("".join(text), "".join(thinking))


def _joined(item: Mapping[str, Any], kind: str, key: str) -> str:
    """Return the texts of the parts of one kind in a message item."""
    if item["type"] != "message":
        return ""
    return "".join(part[key] for part in item["content"] if part["type"] == kind)


def calls_in(items: Iterable[Mapping[str, Any]]) -> list[ToolCall]:
    return [
        ToolCall(item["call_id"], item["name"], arguments_text(item["arguments"]))
        for item in items
        if item["type"] == "function_call"
    ]


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
    if item["type"] == "message":
        return bool(item.get("phase") or any(part.get("annotations") for part in item["content"]))
    return bool(item["type"] != "function_call")
