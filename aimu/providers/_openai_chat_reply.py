"""Reads answers in OpenAI's chat completions, streamed or whole: the lenient half of the codec.

Servers with this format differ in where they put reasoning (`reasoning_content`, `reasoning`, parts of a list, tags in
the text), in how they split calls, and in what they omit; each leniency here is for a server that was observed. Reads
the first choice only. Format: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

from attrs import define

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage, new_call_id
from aimu._core.thinking import ThinkSplitter
from aimu.errors import MalformedResponseError
from aimu.providers._failures import from_error
from aimu.providers._wire import arguments_text, as_text, count, parse_json

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING

_STOPS = {
    "stop": StopReason.END,
    "length": StopReason.MAX_TOKENS,
    "model_length": StopReason.MAX_TOKENS,  # Mistral
    "tool_calls": StopReason.TOOL_CALLS,
    # An answer to the deprecated `functions`, which are never sent: its call has no id.
    "function_call": StopReason.TOOL_CALLS,
    "content_filter": StopReason.REFUSED,
    "sensitive": StopReason.REFUSED,  # Z.ai
}
# Finish reasons that mean that the service failed.
_FAILURES = ("error", "network_error", "insufficient_system_resource")
# Extra keys of a message or call that the service needs back: Gemini's thought signatures, OpenRouter's blocks.
KEPT = ("extra_content", "thought_signature", "reasoning_details")
# The keys of reasoning, and where a reply says under which of them it came: it goes back under the same.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
REASONING_KEY = "reasoning_key"


@define
class _Call:
    """A tool call that arrives in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    kept: dict[str, Any] | None = None

    def add(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        self.id = self.id or str(piece.get("id") or "")
        name = function.get("name") or ""
        # Some servers repeat the whole name in every piece, some the name so far, and some split it.
        self.name = name if name.startswith(self.name) else self.name + name
        arguments = function.get("arguments")
        if arguments:
            self.arguments += arguments if isinstance(arguments, str) else arguments_text(arguments)
        kept = {key: piece[key] for key in KEPT if piece.get(key)}
        if kept:
            self.kept = {**(self.kept or {}), **kept}

    def continues(self, piece: Mapping[str, Any]) -> bool:
        """Return whether `piece`, with the index of this call, belongs to it: Gemini gives every call the index 0."""
        function = piece.get("function") or {}
        if not function.get("name"):
            return True
        if piece.get("id") and self.id:
            return bool(piece["id"] == self.id)
        arguments = function.get("arguments")
        if not self.arguments or not arguments:
            return True
        return not (str(arguments).lstrip().startswith("{") and _is_json(self.arguments))


@final
class ChatDecoder:
    """Reads the chunks of a streamed answer, and a whole answer as one chunk whose delta is its message."""

    def __init__(self, provider: str, splitter: ThinkSplitter | None) -> None:
        self.settled = False
        self.over = False
        self._provider = provider
        self._splitter = splitter
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal = ""
        self._calls: dict[int, _Call] = {}
        self._last: _Call | None = None
        self._begun = False
        self._finish = ""
        self._finishing: Mapping[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        self._model: str | None = None
        self._kept: dict[str, Any] = {}

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        if event.get("error"):
            raise from_error(self._provider, event["error"], status=200, partial=self.partial())
        if self.settled and event == self._finishing:
            return ()  # a repetition; new text after a finish reason counts: some servers give a reason with each
        self._model = self._model or event.get("model")
        usage = event.get("usage")
        if usage:
            self._usage = usage
        choices = event.get("choices")
        if not choices:
            self._no_choice(event)
            return ()
        self._begun = True
        choice = choices[0]
        if choice.get("index"):
            choice = next((other for other in choices if not other.get("index")), None)
            if choice is None:
                return ()
        deltas: Iterable[Delta] = ()
        delta = choice.get("delta")
        if delta:
            content = delta.get("content")
            if len(delta) == 1 and isinstance(content, str) and self._splitter is None:
                if content:
                    self._text.append(content)
                    deltas = (Delta(GENERATING, content),)
            else:
                deltas = self._delta(delta)
        finish = choice.get("finish_reason")
        if finish:
            self._end(finish, event, choice)
            deltas = [*deltas, *self._flush()]
        return deltas

    def done(self) -> Iterable[Delta]:
        self.settled = self.over = True
        return self._flush()

    def partial(self) -> str:
        return "".join(self._text)

    def _no_choice(self, event: Mapping[str, Any]) -> None:
        """Accept a chunk without a choice, such as usage or Azure's verdict on the prompt, unless it is an error."""
        if event.get("object") == "error" or ("message" in event and "code" in event):
            raise from_error(self._provider, event, status=200, partial=self.partial())

    def _end(self, finish: str, event: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        if finish in _FAILURES:
            error = choice.get("error") or {
                "message": f"the service ended the answer with finish_reason {finish!r}",
                "code": 502,
            }
            raise from_error(self._provider, error, status=200, partial=self.partial())
        self._finish = finish
        self._finishing = event
        self.settled = True
        groq = event.get("x_groq")
        if groq and groq.get("usage"):
            self._usage = groq["usage"]

    def _delta(self, delta: Mapping[str, Any]) -> list[Delta]:
        deltas: list[Delta] = []
        key = next((key for key in _REASONING if isinstance(delta.get(key), str) and delta[key]), None)
        if key is not None:
            deltas.append(Delta(THINKING, delta[key]))
            self._kept[REASONING_KEY] = key
            if self._splitter is not None:  # the whitespace between block and answer may be left in the text
                self._splitter.skip_block()
        content = delta.get("content")
        if content:
            deltas += self._content(content)
        self._collect(deltas)
        if delta.get("refusal"):
            self._refusal += delta["refusal"]
        for call in delta.get("tool_calls") or ():
            self._call(call)
        for key in KEPT:
            if delta.get(key):
                self._keep(key, delta[key])
        return deltas

    def _collect(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            (self._text if delta.phase is GENERATING else self._thinking).append(delta.text)

    def _flush(self) -> list[Delta]:
        """Return what the splitter held back."""
        splitter, self._splitter = self._splitter, None
        deltas = list(splitter.finish()) if splitter is not None else []
        self._collect(deltas)
        return deltas

    def _content(self, content: Any) -> Iterator[Delta]:
        """Yield the deltas of text, or of Mistral's list of parts, some of which are thinking."""
        if isinstance(content, str):
            if self._splitter is not None:
                yield from self._splitter.feed(content)
            else:
                yield Delta(GENERATING, content)
            return
        for part in content:
            if part.get("type") == "thinking":
                thoughts = part["thinking"]
                text = thoughts if isinstance(thoughts, str) else "".join(_texts(thoughts))
                if text:
                    yield Delta(THINKING, text)
            elif part.get("text"):
                yield Delta(GENERATING, as_text(part["text"]))

    def _call(self, piece: Mapping[str, Any]) -> None:
        index = piece.get("index")
        if isinstance(index, int):
            call = self._calls.get(index)
        else:  # no index: the id decides, and a piece without an id belongs to the call before it
            index = self._next()
            call = self._named(piece) if piece.get("id") else self._last
        if call is not None and not call.continues(piece):
            call, index = self._named(piece), self._next()
        if call is None:
            call = self._calls[index] = _Call()
        call.add(piece)
        self._last = call

    def _next(self) -> int:
        return max(self._calls, default=-1) + 1

    def _named(self, piece: Mapping[str, Any]) -> _Call | None:
        """Return the call with the piece's id, or None."""
        return next((call for call in self._calls.values() if call.id and call.id == piece.get("id")), None)

    def _keep(self, key: str, value: Any) -> None:
        """Keep a value that the service needs back; lists arrive in pieces and go back as one list."""
        if isinstance(value, list):
            self._kept.setdefault(key, []).extend(value)
        else:
            self._kept[key] = value

    def reply(self) -> Reply:
        if not self._begun:
            raise MalformedResponseError("the stream has no choice", provider=self._provider)
        calls = tuple(
            (call, ToolCall(call.id or new_call_id(), call.name, arguments_text(call.arguments)))
            for call in self._calls.values()
        )
        of_calls = {made.id: call.kept for call, made in calls if call.kept}
        kept = {**self._kept, **({"tool_calls": of_calls} if of_calls else {})}
        return Reply(
            text="".join(self._text),
            thinking="".join(self._thinking),
            calls=tuple(made for _, made in calls),
            refusal=self._refusal,
            stop_reason=self._stop_reason(),
            usage=_usage(self._usage) if self._usage else None,
            model=self._model,
            replay={self._provider: kept} if kept else {},
        )

    def _stop_reason(self) -> StopReason:
        stop = _STOPS.get(self._finish, StopReason.END)
        if self._refusal:
            return StopReason.REFUSED
        if stop is StopReason.END and self._calls:  # some servers say "stop", or nothing, after calls
            return StopReason.TOOL_CALLS
        return stop


def _usage(figures: Mapping[str, Any]) -> Usage:
    return Usage(
        input=count(figures, "prompt_tokens"),
        output=count(figures, "completion_tokens"),
        cache_read=count(figures, "prompt_tokens_details", "cached_tokens"),
        reasoning=count(figures, "completion_tokens_details", "reasoning_tokens"),
    )


def _texts(parts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (part["text"] for part in parts if part.get("text"))


def _is_json(text: str) -> bool:
    try:
        parse_json(text.encode())
    except ValueError:
        return False
    return True
