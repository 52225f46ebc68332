"""What all codecs share: their protocol, the reader of streamed bodies, JSON, and the parts of requests.

Pure. A codec turns a request into a JSON body, and the JSON objects of the response into deltas and one reply. Whatever
a service sends, `StreamReader` and `decode_body` raise errors from `aimu.errors` only.
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

from aimu._core.chunks import StreamingContentType
from aimu._core.messages import Message, text_of
from aimu._core.reply import UNKNOWN_NAME, Delta, Reply, new_call_id
from aimu.errors import MalformedResponseError, ProviderError, TruncatedStreamError
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.providers._base import Request
from aimu.providers._excerpt import excerpt
from aimu.providers._sse import SSEDecoder

T = TypeVar("T")

_HEAD = 500  # bytes of a body that are kept for errors
# The exceptions from reading JSON of an unexpected shape.
_MISSHAPEN = (LookupError, TypeError, AttributeError, ValueError)


class Frames(Protocol):
    """Splits bytes into events, see `aimu.providers._sse`."""

    def feed(self, chunk: bytes) -> list[bytes]: ...

    def finish(self) -> bytes | None: ...


class EventDecoder(Protocol):
    """Reads the events of one streamed reply, in order.

    Attributes:
        settled: Whether the reply is complete, except perhaps for its usage: a terminal event has arrived.
        over: Whether no event that matters can follow.
    """

    settled: bool
    over: bool

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        """Return the deltas of one event; raise the ProviderError that an error event stands for."""
        ...

    def done(self) -> Iterable[Delta]:
        """Note that the stream ended with `[DONE]`, and return the deltas that were held back."""
        ...

    def partial(self) -> str:
        """Return the text so far."""
        ...

    def reply(self) -> Reply:
        """Return the reply that the events add up to."""
        ...


class Codec(Protocol):
    """One wire format: pure functions of a model and, where servers differ, of a row of the table of providers."""

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        ...

    @property
    def frames(self) -> Callable[[], Frames]:
        """The class that splits a streamed body into events."""
        ...

    @property
    def missing_model(self) -> str:
        """What to do about a model that the service does not have, or ""."""
        ...

    def path(self, request: Request) -> str:
        """Return the path of a request, relative to the base URL."""
        ...

    def encode(self, request: Request, *, stream: bool) -> dict[str, Any]:
        """Return the body of a request."""
        ...

    def decode(self, body: dict[str, Any]) -> Reply:
        """Return the reply in the body of a response that was not streamed."""
        ...

    def decoder(self) -> EventDecoder:
        """Return a new decoder for a streamed response."""
        ...


@final
class StreamReader:
    """Turns a streamed body, fed in pieces cut anywhere, into deltas and one reply.

    It also reads a body that is one JSON object instead of a stream of events, which cannot begin with a brace.

    Args:
        codec: The wire format.
        secret: The key, which errors must not show.
    """

    def __init__(self, codec: Codec, secret: str | None = None) -> None:
        self.decoder = codec.decoder()
        self._secret = secret
        self._head = b""  # the beginning of the body, for errors
        self._codec = codec
        self._provider = codec.spec.provider
        self._frames = codec.frames()
        self._empty = True  # whether no event has arrived
        self._framed = not isinstance(self._frames, SSEDecoder)  # whether the body is known to consist of events
        self._whole: list[bytes] = []  # the body, if it is one object

    def feed(self, chunk: bytes) -> Iterable[Delta]:
        """Return the deltas that `chunk` completes, to be iterated once; a bad event raises after those before it."""
        if len(self._head) < _HEAD:
            self._head += chunk[:_HEAD]
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
        """Yield, at the end of the body, the deltas of an unterminated event and then the reply.

        Raises:
            TruncatedStreamError: The body ended before the terminal event of its format.
            MalformedResponseError: The body has no events, or an event cannot be read.
        """
        if self._whole:
            yield from _at_once(decode_body(self._codec, b"".join(self._whole), self._secret))
            return
        tail = None if self.decoder.over else self._frames.finish()
        if tail is not None:
            yield from self._tail(tail)
        if self.decoder.settled:
            yield self._shaped(lambda: _checked(self.decoder.reply()))
            return
        if self._empty and (tail is None or not tail.lstrip().startswith((b"{", b"[DONE]"))):
            shown = excerpt(self._head, self._secret)
            raise MalformedResponseError(
                f"the response is not a stream of events; it begins: {shown}", provider=self._provider
            )
        raise TruncatedStreamError(
            "the stream ended before the answer was complete", provider=self._provider, partial=self.decoder.partial()
        )

    def _tail(self, text: bytes) -> Iterable[Delta]:
        if text != b"[DONE]":
            try:
                parse_json(text)
            except ValueError:
                return ()  # cut off: it cannot be trusted, and `settled` says whether that matters
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
            raise self._malformed("an event of the stream has an unexpected form") from exc
        raise self._malformed("an event of the stream is not a JSON object")

    def _shaped(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except ProviderError:
            raise
        except _MISSHAPEN as exc:
            raise self._malformed("the streamed answer has an unexpected form") from exc

    def _malformed(self, reason: str) -> MalformedResponseError:
        if self._head.lstrip().startswith(b"<"):
            reason = f"{reason}; the response is {excerpt(self._head, self._secret)}"
        return MalformedResponseError(reason, provider=self._provider, partial=self.decoder.partial())


def _at_once(reply: Reply) -> Iterator[Delta | Reply]:
    if reply.thinking:
        yield Delta(StreamingContentType.THINKING, reply.thinking)
    if reply.text:
        yield Delta(StreamingContentType.GENERATING, reply.text)
    yield reply


def _checked(reply: Reply) -> Reply:
    """Return `reply` with a name and an id for each call; raise TypeError if a text in it is something else."""
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


def decode_body(codec: Codec, body: bytes, secret: str | None = None) -> Reply:
    """Return the reply in the body of a response that was not streamed.

    Args:
        codec: The wire format.
        body: The body.
        secret: The key, which errors must not show.

    Raises:
        MalformedResponseError: The body does not have the form that the service documents.
        ProviderError: The body tells of an error.
    """
    try:
        parsed = parse_json(body)
        if type(parsed) is dict:
            return _checked(codec.decode(parsed))
    except ProviderError:
        raise
    except _MISSHAPEN as exc:
        raise MalformedResponseError(
            f"the response has an unexpected form; it begins: {excerpt(body, secret)}", provider=codec.spec.provider
        ) from exc
    raise MalformedResponseError(
        f"the response is not a JSON object; it begins: {excerpt(body, secret)}", provider=codec.spec.provider
    )


def _plain_json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc


_fast_json: Callable[[bytes], Any] = _plain_json
with suppress(ImportError):
    from jiter import from_json

    _fast_json = from_json


def parse_json(text: bytes) -> Any:
    """Parse JSON, also with lone surrogates, which some services send; raise ValueError if it is not JSON."""
    try:
        return _fast_json(text)
    except ValueError:
        return _plain_json(text)


def as_text(value: Any) -> str:
    """Return `value`, which the service should have sent as text; raise TypeError if it is something else."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a call as JSON text; services send text, an object, or nothing."""
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    return json.dumps(arguments, ensure_ascii=False) if arguments is not None else "{}"


def arguments_object(arguments: str) -> dict[str, Any]:
    """Return arguments as an object, for services that require one; other text is wrapped in an object unchanged."""
    try:
        parsed = _ARGUMENTS.decode(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return {"invalid_json": arguments}
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {"value": parsed}


def object_text(arguments: str) -> str:
    """Return arguments as the JSON text of an object; unchanged if they are one already.

    Many servers parse the arguments of past calls as objects, and refuse a history with arguments that are not.
    """
    shown = arguments_object(arguments)
    if arguments.lstrip().startswith("{") and "invalid_json" not in shown:
        return arguments
    return json.dumps(shown, ensure_ascii=False)


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_ARGUMENTS = json.JSONDecoder(parse_constant=_not_json)


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
    """Return the name of a past call, which a model may have invented, in a form that OpenAI and Anthropic accept."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or UNKNOWN_NAME


def renamed(
    options: Mapping[str, Any], names: Mapping[str, str], provider: str, *, but: Iterable[str] = ()
) -> dict[str, Any]:
    """Return options under their names on the wire, and warn about those that have none.

    Args:
        options: The options.
        names: The names on the wire.
        provider: The provider's name, for the warnings.
        but: Keys to skip without a warning, because the codec handles them itself.
    """
    body: dict[str, Any] = {}
    for key, value in options.items():
        if key in names:
            body[names[key]] = value
        elif key not in but:
            warn_unsupported(provider, key)
    return body


def refuse(options: dict[str, Any], keys: Iterable[str], who: str) -> None:
    """Remove the options for which `who` would refuse the request, and warn about each."""
    for key in keys:
        if options.pop(key, None) is not None:
            warn_unsupported(who, key)


def overlay(body: dict[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge `extra` into `body` and return it: dicts are merged at every depth, other values replaced."""
    for key, value in (extra or {}).items():
        if isinstance(value, Mapping) and isinstance(body.get(key), dict):
            body[key] = overlay(dict(body[key]), cast("Mapping[str, Any]", value))
        else:
            body[key] = value
    return body


def is_empty(message: Message) -> bool:
    """Return whether an assistant message has neither text nor calls; most services refuse such a message."""
    return not message.get("tool_calls") and not text_of(message).strip()


def count(figures: Any, *path: str) -> int | None:
    """Return the number at `path` in a usage object, or None."""
    for key in path:
        figures = figures.get(key) if isinstance(figures, Mapping) else None
    if isinstance(figures, float):
        return int(figures) if math.isfinite(figures) else None
    return figures if isinstance(figures, int) else None
