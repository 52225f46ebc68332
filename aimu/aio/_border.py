"""The border between a provider and a turn: what each delta and reply must be, whoever wrote the provider.

Pure. A reply that passes can be committed, sent back and saved. What was streamed and what is kept are the same: the
longer of the two, or an error.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from inspect import isawaitable, iscoroutine
from typing import Any, NoReturn, final

from attrs import evolve, fields

from aimu._core.agreement import Agreed, agree
from aimu._core.chunks import StreamingContentType
from aimu._core.escaping import escaping
from aimu._core.json_text import json_copy
from aimu._core.reply import UNKNOWN_NAME, Delta, Reply, StopReason, ToolCall, Usage, is_count, new_call_id
from aimu._core.surrogates import paired
from aimu.errors import MalformedResponseError
from aimu.models._spec import ModelSpec
from aimu.providers._base import Request

log = escaping(logging.getLogger("aimu.aio"))

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING
_FIGURES = tuple(attribute.name for attribute in fields(Usage))
_TEXTS = ("text", "thinking", "refusal")
_WORDS = ("finish_reason", "model", "request_id")  # None if the service does not say them
_JSON = ("{", "`")  # how it begins, perhaps fenced
# The keys of a message that `Reply.replay` must not replace.
_TAKEN = frozenset(
    {"role", "content", "thinking", "tool_calls", "tool_call_id", "name", "status", "interrupted", "stop_reason"}
)


@final
class Border:
    """Checks what one request to a provider gives.

    Args:
        request: The request.
        spec: The model that answers.

    Raises:
        MalformedResponseError: By all methods: a delta or reply is not what it must be.
    """

    def __init__(self, request: Request, spec: ModelSpec) -> None:
        self._spec = spec
        output = request.output
        self._typed = output is not None
        self._output_tool = output.name if output is not None and output.mode == "tool" else None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._held: list[str] = []  # text that may turn out to stand beside the output tool's call
        self._begun = False  # whether any text has come that is not blank
        self._called = self._moved = False  # whether that call has begun, and whether text before it was shown

    def pending(self, given: Any) -> Awaitable[Any]:
        """Return what `complete` returned, to be awaited."""
        if not isawaitable(given):
            self._refuse("complete() of a provider must be an `async def`", given)
        return given

    def opened(self, given: Any) -> AsyncGenerator[Any, None]:
        """Return what `stream` returned, to be read."""
        if not hasattr(given, "__aiter__"):
            if iscoroutine(given):
                given.close()
            self._refuse("stream() of a provider must be an async generator: an `async def` that yields", given)
        pieces: AsyncGenerator[Any, None] = given
        return pieces

    def late(self, given: object) -> NoReturn:
        """Refuse what comes after the reply of a stream."""
        self._refuse("a stream must end with its Reply", given)

    def delta(self, piece: Any) -> Delta | Sequence[Delta]:
        """Return what to show of a delta, mostly the delta itself, and remember its text."""
        if type(piece) is not Delta:
            self._refuse("a stream must yield Delta objects and then one Reply", piece)
        given: Delta = piece
        text = given.text
        if type(text) is not str:
            if not isinstance(text, str):
                self._refuse("Delta.text must be a str", text)
            text = str.__str__(text)
            given = evolve(given, text=text)
        if given.phase is GENERATING:
            if self._output_tool is not None:
                return self._beside_call(given)
            self._text.append(text)
        elif given.phase is THINKING:
            self._thinking.append(text)
        else:
            self._refuse("Delta.phase must be THINKING or GENERATING", given.phase)
        return given

    def _beside_call(self, given: Delta) -> Sequence[Delta]:
        """Return what to show of a text when a tool takes the output.

        Only the call tells that the text before it is not the answer; it is then shown as thinking. Text is held back
        until then, unless it begins as JSON does, and so may be the answer itself.
        """
        if given.of_call:
            prose = _apart("" if self._moved else "".join(self._thinking), "".join(self._held))
            self._text.append(given.text)
            self._called = True
            if not prose:
                return (given,)
            self._moved = True
            self._held.clear()
            self._thinking.append(prose)
            return (Delta(THINKING, prose), given)
        if self._text and not self._called:
            self._text.append(given.text)
            return (given,)
        self._held.append(given.text)
        begins = not self._begun and given.text.lstrip().startswith(_JSON)
        self._begun = self._begun or bool(given.text.strip())
        if self._called or not begins:
            return ()
        self._text, self._held = ["".join(self._held)], []
        return (Delta(GENERATING, self._text[0]),)

    def end(self, given: Any) -> tuple[list[Delta], Reply]:
        """Return what was not streamed of a reply that ends a stream, and the reply, held to what was streamed."""
        reply = self._checked(given)
        shown, thought = paired("".join(self._text)), paired("".join(self._thinking))
        held = "" if reply.final else paired("".join(self._held))
        said = shown + held
        text = agree(said, reply.text, reply.thinking)
        if text is None and reply.final:  # what was shown stands beside the call, and is thinking now
            text = Agreed(reply.text, reply.text, moved=True)
        if text is None:
            raise self._error("the streamed answer and the final one contradict each other")
        thinking = agree(thought, reply.thinking)
        if thinking is None:
            log.warning("%s: the streamed thinking and the final one differ; the longer is kept", self._spec)
            thinking = Agreed(max(thought, reply.thinking, key=len), shown=False)
        elif text.shown is False:
            log.warning("%s: the beginning of the answer was not streamed; the whole answer is kept", self._spec)
        if text.text != reply.text:
            log.warning("%s: the final answer is shorter than the streamed one, which is kept", self._spec)
        reply = evolve(reply, text=text.text, thinking=thinking.text)
        rest = text.text if held and not shown else held + text.missing
        missing = [Delta(THINKING, "" if text.moved and shown else thinking.missing), Delta(GENERATING, rest)]
        return [delta for delta in missing if delta.text], self._ended(reply)

    def whole(self, given: Any) -> Reply:
        """Return a reply that was not streamed."""
        return self._ended(self._checked(given))

    def _checked(self, given: Any) -> Reply:
        if type(given) is not Reply:
            self._refuse("a provider must return a Reply", given)
        reply: Reply = given
        if type(reply.final) is not bool:
            self._refuse("Reply.final must be a bool", reply.final)
        self._check_usage(reply.usage)
        changed: dict[str, Any] = {}
        for name in (*_TEXTS, *_WORDS):
            value = getattr(reply, name)
            if (type(value) is str and value.isascii()) or (value is None and name in _WORDS):
                continue  # without a call, since this runs for every reply
            changed[name] = self._plain(f"Reply.{name}", value, "a str or None" if name in _WORDS else "a str")
        if (calls := self._calls(reply.calls)) or calls != reply.calls:
            changed["calls"] = calls
        if replay := self._replay(reply.replay):
            changed["replay"] = replay
        if reply.final and not self._typed:
            changed["final"] = False
        if changed:
            reply = evolve(reply, **changed)
        if type(reply.stop_reason) is not StopReason:
            reply = self._named_stop(reply, reply.stop_reason)
        return reply if self._output_tool is None else self._with_output(reply)

    def _with_output(self, reply: Reply) -> Reply:
        """Return a reply whose text is the arguments of the output tool, which is then no call any more.

        Text beside the call is thinking. Equal calls are one answer; calls that differ are a text that is no JSON, so
        that the model is asked again. What the service needs back verbatim has the call, and is dropped.
        """
        given = [call for call in reply.calls if call.name == self._output_tool]
        if not given:
            return reply
        others = tuple(call for call in reply.calls if call.name != self._output_tool)
        text = "\n".join(dict.fromkeys(call.arguments for call in given))
        thinking = reply.thinking + _apart(reply.thinking, reply.text)
        stop = reply.stop_reason
        if not others and stop is StopReason.TOOL_CALLS:
            stop = StopReason.END
        return evolve(reply, text=text, thinking=thinking, calls=others, final=True, stop_reason=stop, replay={})

    def _named_stop(self, reply: Reply, word: Any) -> Reply:
        """Return a reply with a StopReason for a word; one that is unknown is the service's own."""
        if not isinstance(word, str):
            self._refuse("Reply.stop_reason must be a StopReason", word)
        if word in list(StopReason):
            return evolve(reply, stop_reason=StopReason(word))
        return evolve(reply, stop_reason=StopReason.OTHER, finish_reason=word)

    def _calls(self, calls: Any) -> tuple[ToolCall, ...]:
        if not isinstance(calls, tuple | list):
            self._refuse("Reply.calls must be a tuple of ToolCall", calls)
        checked: list[ToolCall] = []
        for call in calls:
            if type(call) is not ToolCall:
                self._refuse("Reply.calls must be a tuple of ToolCall", call)
            call_id, name = (self._plain(f"ToolCall.{part}", getattr(call, part)) for part in ("id", "name"))
            arguments = self._plain("ToolCall.arguments", call.arguments, "JSON text, as json.dumps writes it")
            checked.append(ToolCall(call_id or new_call_id(), name or UNKNOWN_NAME, arguments))
        return tuple(checked)

    def _check_usage(self, usage: Any) -> None:
        if usage is None:
            return
        if not isinstance(usage, Usage):
            self._refuse("Reply.usage must be a Usage or None", usage)
        for name in _FIGURES:
            figure = getattr(usage, name)
            if figure is not None and not is_count(figure):
                self._refuse(f"Usage.{name} must be an int of at least 0, or None", figure)

    def _plain(self, field: str, value: Any, rule: str = "a str") -> str:
        """Return a text as a plain str, as JSON gives it back."""
        if not isinstance(value, str):
            self._refuse(f"{field} must be {rule}", value)
        return paired(str.__str__(value))

    def _replay(self, replay: Any) -> Mapping[str, Any]:
        """Return a copy of what goes back verbatim, which becomes part of the history."""
        if not isinstance(replay, Mapping):
            self._refuse("Reply.replay must be a dict, {} if there is nothing to replay", replay)
        for key in replay:
            if not isinstance(key, str):
                self._refuse("the keys of Reply.replay must be strings", key)
            if key in _TAKEN:
                self._refuse("Reply.replay must not have a key that messages use themselves", key)
        try:
            copied: dict[str, Any] = json_copy(replay) if replay else {}
        except ValueError as exc:
            self._refuse(f"Reply.replay must be JSON data ({exc})", replay)
        return copied

    def _ended(self, reply: Reply) -> Reply:
        """Return a reply that has something; one that ended in an unknown way must have text or calls.

        A reply that ended with tool calls but has none is such a reply too.
        """
        stop = reply.stop_reason
        if stop is StopReason.TOOL_CALLS and not reply.calls:
            reply, stop = evolve(reply, stop_reason=StopReason.OTHER), StopReason.OTHER
        if stop is StopReason.OTHER:
            word = repr(reply.finish_reason) if reply.finish_reason else "no known reason"
            if not reply.text.strip() and not reply.calls:
                raise self._error(f"the service ended the reply with {word} and without text or a tool call", reply)
            log.warning("%s ended the reply with %s; the answer may be incomplete", self._spec, word)
        return reply

    def _refuse(self, rule: str, given: object) -> NoReturn:
        try:
            shown = repr(given)
        except Exception:  # noqa: BLE001 - of the provider's own class
            shown = ""
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise self._error(f"{rule}, got {type(given).__name__} {shown}")

    def _error(self, reason: str, reply: Reply | None = None) -> MalformedResponseError:
        request_id = reply.request_id if reply is not None else None
        return MalformedResponseError(
            reason, provider=self._spec.provider, partial="".join([*self._text, *self._held]), request_id=request_id
        )


def _apart(thinking: str, text: str) -> str:
    """Return a text as it goes on after the thinking; "" if it is blank."""
    if not text.strip():
        return ""
    return f"\n\n{text}" if thinking else text
