"""Reads answers in OpenAI's chat completions, streamed or whole: the lenient half of the codec.

Servers with this format differ in where they put reasoning (`reasoning_content`, `reasoning`, parts of a list, tags in
the text), in how they split calls, and in what they omit; each leniency here is for a server that was observed. Reads
the first choice only. Format: https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, Reply, StopReason, Usage
from aimu.errors import MalformedResponseError
from aimu.providers._failures import from_error
from aimu.providers._finish import stop_reason, word_of
from aimu.providers._streamed_calls import KEPT, StreamedCalls
from aimu.providers._wire import as_text, count, held_to, later_counts

# The keys of reasoning, and where a reply says under which of them it came: it goes back under the same.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
REASONING_KEY = "reasoning_key"
THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING


@final
class ChatDecoder:
    """Reads the chunks of a streamed answer, and a whole answer as one chunk whose delta is its message."""

    def __init__(self, provider: str) -> None:
        self.settled = False
        self.over = False
        self.shown_call: str | None = None
        self._provider = provider
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls = StreamedCalls()
        self._message: Mapping[str, Any] = {}  # the whole message, which some servers send beside its deltas
        self._begun = False
        self._finish: Any = None
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
            self._usage = later_counts(self._usage, usage)
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
            if len(delta) == 1 and isinstance(content, str):
                if content:
                    self._text.append(content)
                    deltas = (Delta(GENERATING, content),)
            else:
                deltas = self._delta(delta)
        self._message = choice.get("message") or self._message
        reason = choice.get("finish_reason")
        if reason and (finish := word_of(reason)):
            self._end(finish, event, choice)
        return deltas

    def done(self) -> Iterable[Delta]:
        self.settled = self.over = True
        return ()

    def partial(self) -> str:
        return "".join(self._text)

    def _no_choice(self, event: Mapping[str, Any]) -> None:
        """Accept a chunk without a choice, such as usage or Azure's verdict on the prompt, unless it is an error."""
        if event.get("object") == "error" or ("message" in event and "code" in event):
            raise from_error(self._provider, event, status=200, partial=self.partial())

    def _end(self, finish: str, event: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        stop_reason(self._provider, finish, error=choice.get("error"), partial=self.partial())  # raises if it failed
        self._finish = finish
        self._finishing = event
        self.settled = True
        groq = event.get("x_groq")
        if groq and groq.get("usage"):
            self._usage = later_counts(self._usage, groq["usage"])

    def _delta(self, delta: Mapping[str, Any]) -> list[Delta]:
        deltas = self._read(delta)
        for piece in deltas:
            (self._text if piece.phase is GENERATING else self._thinking).append(piece.text)
        if delta.get("refusal"):
            self._refusal.append(as_text(delta["refusal"]))
        shown = [self._calls.add(call, self.shown_call) for call in delta.get("tool_calls") or ()]
        deltas += [Delta(GENERATING, text, of_call=True) for text in shown if text]
        for key in KEPT:
            if delta.get(key):
                self._keep(key, delta[key])
        return deltas

    def _read(self, message: Mapping[str, Any]) -> list[Delta]:
        """Return thinking and text of a message or a delta, and keep the key of its reasoning."""
        key = _reasoning_key(message)
        if key is not None:
            self._kept[REASONING_KEY] = key
        return list(_deltas(message, key))

    def _keep(self, key: str, value: Any) -> None:
        """Keep a value that the service needs back; lists arrive in pieces and go back as one list."""
        if isinstance(value, list):
            self._kept.setdefault(key, []).extend(value)
        else:
            self._kept[key] = value

    def reply(self) -> Reply:
        if not self._begun:
            raise MalformedResponseError("the stream has no choice", provider=self._provider)
        text, thinking, refusal = self._texts()
        made = self._calls.all()
        of_calls = {call.id: kept for call, kept in made if kept}
        kept = {**self._kept, **({"tool_calls": of_calls} if of_calls else {})}
        calls = tuple(call for call, _ in made)
        stop = stop_reason(self._provider, self._finish, calls, partial=self.partial())
        return Reply(
            text=text,
            thinking=thinking,
            calls=calls,
            refusal=refusal,
            stop_reason=StopReason.REFUSED if refusal else stop,
            finish_reason=self._finish,
            usage=_usage(self._usage) if self._usage else None,
            model=self._model,
            replay={self._provider: kept} if kept else {},
        )

    def _texts(self) -> tuple[str, str, str]:
        """Return text, thinking and refusal: of the whole message if there is one, held to what was streamed."""
        text, thinking, refusal = ("".join(pieces) for pieces in (self._text, self._thinking, self._refusal))
        message = self._message
        if not message:
            return text, thinking, refusal
        whole = self._read(message)
        final, thought = ("".join(d.text for d in whole if d.phase is phase) for phase in (GENERATING, THINKING))
        for index, call in enumerate(message.get("tool_calls") or ()):
            self._calls.hold_to(index, call, self._provider, self.partial())
        for key in KEPT:
            if message.get(key) and key not in self._kept:
                self._keep(key, message[key])
        said = held_to(as_text(message.get("refusal") or ""), refusal, self._provider, partial=text)[0]
        # The reader compares the text itself.
        return final or text, held_to(thought, thinking, self._provider, partial=text)[0], said


def _reasoning_key(message: Mapping[str, Any]) -> str | None:
    for key in _REASONING:  # a loop, because it runs for each delta of thinking
        value = message.get(key)
        if value and isinstance(value, str):
            return key
    return None


def _deltas(message: Mapping[str, Any], key: str | None) -> Iterator[Delta]:
    """Yield the thinking under `key`, and the text; Mistral has lists of parts, some of which are thinking."""
    if key is not None:
        yield Delta(THINKING, message[key])
    content = message.get("content") or ""
    if isinstance(content, str):
        if content:
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


def _usage(figures: Mapping[str, Any]) -> Usage:
    return Usage(
        input=count(figures, "prompt_tokens"),
        output=count(figures, "completion_tokens"),
        cache_read=count(figures, "prompt_tokens_details", "cached_tokens"),
        reasoning=count(figures, "completion_tokens_details", "reasoning_tokens"),
    )


def _texts(parts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (part["text"] for part in parts if part.get("text"))
