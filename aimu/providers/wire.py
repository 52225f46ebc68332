"""What all codecs share: their shape, the reader that drives one over a streamed body, JSON, and small change.

Pure. A codec turns a request into a JSON body, and JSON objects that come back into deltas and one reply. Whatever a
service sends, only errors of ours come out of `StreamReader` and `decode_body`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, Protocol, TypeVar, cast, final

from attrs import evolve

from aimu.core.chunks import StreamingContentType
from aimu.core.messages import Message, text_of
from aimu.core.reply import UNKNOWN_NAME, Delta, Reply, new_call_id
from aimu.errors import MalformedResponseError, ProviderError, TruncatedStreamError
from aimu.models.options import warn_unsupported
from aimu.models.spec import ModelSpec
from aimu.providers.base import Request
from aimu.providers.sse import SSEDecoder

T = TypeVar("T")

# What reading JSON of an unexpected shape raises.
_MISSHAPEN = (LookupError, TypeError, AttributeError, ValueError)


class Frames(Protocol):
    """Bytes into events, see `aimu.providers.sse`."""

    def feed(self, chunk: bytes) -> list[bytes]: ...

    def finish(self) -> bytes | None: ...


class EventDecoder(Protocol):
    """The events of one streamed reply, in order.

    `settled` says that the reply can miss nothing any more but figures (a terminal marker of the format was seen),
    `over` that no event that matters can follow.
    """

    settled: bool
    over: bool

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        """The deltas of one event; raises the ProviderError that an error event means."""
        ...

    def done(self) -> Iterable[Delta]:
        """The stream said `[DONE]`."""
        ...

    def partial(self) -> str:
        """The text so far."""
        ...

    def reply(self) -> Reply: ...


class Codec(Protocol):
    """One wire format: pure functions of a model and, where servers differ, a row of quirks."""

    @property
    def provider(self) -> str: ...

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def frames(self) -> Callable[[], Frames]: ...

    @property
    def missing_model(self) -> str:
        """What to do about a model that the service does not have; "" where there is nothing to say."""
        ...

    def path(self, request: Request) -> str:
        """Where to post to, relative to the base URL."""
        ...

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]: ...

    def decode(self, body: dict[str, Any]) -> Reply: ...

    def decoder(self) -> EventDecoder: ...


@final
class StreamReader:
    """A streamed body, fed in pieces cut anywhere, as deltas and one reply.

    A service that answers with one JSON object instead of a stream of events is understood too: a stream of events
    cannot begin with a brace.
    """

    def __init__(self, codec: Codec) -> None:
        self.decoder = codec.decoder()
        self._codec = codec
        self._provider = codec.provider
        self._frames = codec.frames()
        self._empty = True  # no event has come
        self._framed = not isinstance(self._frames, SSEDecoder)  # whether the body is known to be events
        self._whole: list[bytes] = []  # the body, where it is one object

    def feed(self, chunk: bytes) -> Iterable[Delta]:
        """The deltas that `chunk` completes, to be iterated once; those before a bad event come before its error."""
        if not self._framed:
            if self._whole or chunk.lstrip().startswith(b"{"):
                self._whole.append(chunk)
                return ()
            self._framed = not chunk.isspace()
        events = self._frames.feed(chunk)
        if len(events) == 1:
            return self._event(events[0])
        return chain.from_iterable(map(self._event, events))

    def finish(self) -> Iterator[Delta | Reply]:
        """At the end of the body: deltas of an event that nothing has ended, then the reply.

        TruncatedStreamError where the body ended before a terminal marker of its format, MalformedResponseError where
        it had no event at all.
        """
        if self._whole:
            yield from _at_once(decode_body(self._codec, b"".join(self._whole)))
            return
        tail = None if self.decoder.over else self._frames.finish()
        if tail is not None:
            yield from self._tail(tail)
        if self.decoder.settled:
            yield self._shaped(lambda: _checked(self.decoder.reply()))
            return
        if self._empty and tail is None:
            raise MalformedResponseError("the response is no stream of events", provider=self._provider)
        raise TruncatedStreamError(
            "the stream ended before the answer did", provider=self._provider, partial=self.decoder.partial()
        )

    def _tail(self, text: bytes) -> Iterable[Delta]:
        if text != b"[DONE]":
            try:
                parse_json(text)
            except ValueError:
                return ()  # cut off: nothing in it can be trusted, and whether it matters is `settled`'s to say
        return self._event(text)

    def _event(self, text: bytes) -> Iterable[Delta]:
        decoder = self.decoder
        if decoder.over or not text:
            return ()
        self._empty = False
        if text == b"[DONE]":
            return decoder.done()
        try:
            event = parse_json(text)
            if type(event) is dict:
                return decoder.feed(event)
        except ProviderError:
            raise
        except _MISSHAPEN as exc:
            raise self._malformed("an event of the stream cannot be read") from exc
        raise self._malformed("an event of the stream is no JSON object")

    def _shaped(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except ProviderError:
            raise
        except _MISSHAPEN as exc:
            raise self._malformed("the streamed answer cannot be read") from exc

    def _malformed(self, reason: str) -> MalformedResponseError:
        return MalformedResponseError(reason, provider=self._provider, partial=self.decoder.partial())


def _at_once(reply: Reply) -> Iterator[Delta | Reply]:
    if reply.thinking:
        yield Delta(StreamingContentType.THINKING, reply.thinking)
    if reply.text:
        yield Delta(StreamingContentType.GENERATING, reply.text)
    yield reply


def _checked(reply: Reply) -> Reply:
    """`reply`, if all that is to be text in it is text, with a name and an id for each call."""
    for part in (reply.text, reply.thinking, reply.refusal):
        as_text(part)
    if not all(call.id and call.name for call in reply.calls):
        calls = [evolve(call, id=call.id or new_call_id(), name=call.name or UNKNOWN_NAME) for call in reply.calls]
        reply = evolve(reply, calls=tuple(calls))
    for call in reply.calls:
        for part in (call.id, call.name, call.arguments):
            as_text(part)
    model: Any = reply.model
    return reply if isinstance(model, str | None) else evolve(reply, model=None)


def decode_body(codec: Codec, body: bytes) -> Reply:
    """The reply in the body of a response that was not streamed."""
    try:
        parsed = parse_json(body)
        if type(parsed) is dict:
            return _checked(codec.decode(parsed))
    except ProviderError:
        raise
    except _MISSHAPEN as exc:
        raise MalformedResponseError(
            f"the response cannot be read; it begins: {body[:160].decode('utf8', 'replace')!r}", provider=codec.provider
        ) from exc
    raise MalformedResponseError("the response is no JSON object", provider=codec.provider)


def _plain_json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise ValueError("JSON nested too deep") from exc


_fast_json: Callable[[bytes], Any] = _plain_json
with suppress(ImportError):
    from jiter import from_json

    _fast_json = from_json


def parse_json(text: bytes) -> Any:
    """JSON of one text; ValueError where it is none. Half a surrogate pair, which some services send, passes."""
    try:
        return _fast_json(text)
    except ValueError:
        return _plain_json(text)


def as_text(value: Any) -> str:
    """`value` where a service has to send text; TypeError where it sent something else."""
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def arguments_text(arguments: Any) -> str:
    """Arguments of a call as JSON text; services send text, nothing at all, or an object."""
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    return json.dumps(arguments, ensure_ascii=False) if arguments is not None else "{}"


def arguments_object(arguments: str) -> dict[str, Any]:
    """For services that want an object; text that is none is shown to them as it is."""
    try:
        parsed = _ARGUMENTS.decode(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return {"invalid_json": arguments}
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {"value": parsed}


def object_text(arguments: str) -> str:
    """`arguments` where they are the JSON text of an object, else such a text that shows them.

    Many servers read the arguments of past calls as objects, and refuse a history for those that a model wrote badly.
    """
    shown = arguments_object(arguments)
    if arguments.lstrip().startswith("{") and "invalid_json" not in shown:
        return arguments
    return json.dumps(shown, ensure_ascii=False)


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_ARGUMENTS = json.JSONDecoder(parse_constant=_no_json)


def short_id(call_id: str, longest: int, pattern: str | None = None) -> str:
    """Return the id of a call in a form that a service accepts; unchanged if it is accepted already.

    Args:
        call_id: The id.
        longest: The longest id that the service accepts, in characters.
        pattern: What the whole id must match; hexadecimal digits must do. None if anything will do.
    """
    if len(call_id) <= longest and (pattern is None or re.fullmatch(pattern, call_id)):
        return call_id
    digest = hashlib.sha256(call_id.encode(errors="replace")).hexdigest()
    return digest[:longest] if pattern is not None else f"{call_id[: longest - 17]}_{digest[:16]}"


def plain_name(name: str) -> str:
    """The name of a past call, which a model may have made up, in what OpenAI and Anthropic take for one."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or UNKNOWN_NAME


def renamed(
    options: Mapping[str, Any], names: Mapping[str, str], provider: str, *, but: Iterable[str] = ()
) -> dict[str, Any]:
    """Options under the wire's names; a key that has none is warned about, unless it is in `but`."""
    body: dict[str, Any] = {}
    for key, value in options.items():
        if key in names:
            body[names[key]] = value
        elif key not in but:
            warn_unsupported(provider, key)
    return body


def refuse(options: dict[str, Any], keys: Iterable[str], who: str) -> None:
    """Take out of `options` what `who` would refuse the request for, with a warning."""
    for key in keys:
        if options.pop(key, None) is not None:
            warn_unsupported(who, key)


def overlay(body: dict[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """`body` with `extra` over it; dicts are merged, everything else replaced."""
    for key, value in (extra or {}).items():
        if isinstance(value, Mapping) and isinstance(body.get(key), dict):
            body[key] = overlay(dict(body[key]), cast("Mapping[str, Any]", value))
        else:
            body[key] = value
    return body


def is_empty(message: Message) -> bool:
    """An assistant message that says and does nothing; most services refuse one."""
    return not message.get("tool_calls") and not text_of(message).strip()


def count(figures: Any, *path: str) -> int | None:
    """A number somewhere in a usage object, or None."""
    for key in path:
        figures = figures.get(key) if isinstance(figures, Mapping) else None
    if isinstance(figures, float):
        return int(figures) if math.isfinite(figures) else None
    return figures if isinstance(figures, int) else None
