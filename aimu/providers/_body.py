"""From the body of a response, streamed or whole, to deltas and a reply, in every wire format.

Pure. Whatever a service sends, `StreamReader` and `decode_body` raise errors from `aimu.errors` only. The formats are
in the codecs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar, final

from attrs import evolve

from aimu._core.chunks import StreamingContentType
from aimu._core.escaping import escaping
from aimu._core.reply import UNKNOWN_NAME, Delta, Reply, new_call_id
from aimu._core.secrets import Secrets
from aimu._core.thinking import ThinkSplitter, separate
from aimu.errors import MalformedResponseError, ProviderError, TruncatedStreamError
from aimu.providers._bounded import LONGEST_BODY
from aimu.providers._excerpt import excerpt
from aimu.providers._sse import OverlongEventError, SSEDecoder
from aimu.providers._wire import Codec, as_text, held_to, parse_json

log = escaping(logging.getLogger("aimu.providers"))

T = TypeVar("T")

_HEAD = 500  # bytes of a body that are kept for errors
# The exceptions from reading JSON of an unexpected shape.
_MISSHAPEN = (LookupError, TypeError, AttributeError, ValueError)


@final
class StreamReader:
    """Turns a streamed body, fed in pieces cut anywhere, into deltas and one reply.

    It also reads a body that is one JSON object instead of a stream of events, which cannot begin with a brace.
    Whatever the format, it separates thinking that the server left in the text, see `aimu._core.thinking`.

    Args:
        codec: The wire format.
        secrets: The key and the like, which errors must not show.
        shown_call: The name of the tool whose arguments are shown as text.
    """

    def __init__(self, codec: Codec, secrets: Secrets | None = None, *, shown_call: str | None = None) -> None:
        self.decoder = codec.decoder()
        self.decoder.shown_call = shown_call
        self._secrets = secrets
        self._head = b""  # the beginning of the body, for errors
        self._codec = codec
        self._provider = codec.spec.provider
        self._frames = codec.frames()
        self._empty = True  # whether no event has arrived
        self._framed = not isinstance(self._frames, SSEDecoder)  # whether the body is known to consist of events
        self._whole: list[bytes] = []  # the body, if it is one object
        self._size = 0  # of its pieces together
        self._splitter: ThinkSplitter | None = ThinkSplitter()  # until the answer has begun
        self._apart = False  # whether thinking came separately before it

    def feed(self, chunk: bytes) -> Iterable[Delta]:
        """Return the deltas that `chunk` completes, to be iterated once; a bad event raises after those before it."""
        if len(self._head) < _HEAD:
            self._head += chunk[:_HEAD]
        if not self._framed:
            if self._whole or chunk.lstrip().startswith(b"{"):
                self._whole.append(chunk)
                self._size += len(chunk)
                if self._size > LONGEST_BODY:
                    raise self._malformed(f"the response is longer than {LONGEST_BODY >> 20} MiB")
                return ()
            self._framed = not chunk.isspace()
        try:
            events = self._frames.feed(chunk)
        except OverlongEventError as exc:
            raise self._malformed(str(exc)) from exc
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
            yield from _at_once(decode_body(self._codec, b"".join(self._whole), self._secrets))
            return
        tail = None if self.decoder.over else self._frames.finish()
        if tail is not None:
            yield from self._tail(tail)
        if self.decoder.settled:
            reply, missing = self._shaped(self._final)
            yield from self._phased(missing, self._splitter)
            yield from self._ended()
            yield _separated(reply, self._provider, apart=self._apart, trim=self._codec.trims)
            return
        if self._empty and (tail is None or not tail.lstrip().startswith((b"{", b"[DONE]"))):
            shown = excerpt(self._head, self._secrets)
            raise MalformedResponseError(
                f"the response is not a stream of events; it begins: {shown}", provider=self._provider
            )
        raise TruncatedStreamError(
            "the stream ended before the answer was complete", provider=self._provider, partial=self.partial()
        )

    def _final(self) -> tuple[Reply, list[Delta]]:
        """Return the reply, and what of its text was not streamed."""
        reply = _checked(self.decoder.reply())
        text, missing = held_to(reply.text, self.decoder.partial(), self._provider, thinking=reply.thinking)
        return evolve(reply, text=text), [Delta(StreamingContentType.GENERATING, missing)] if missing else []

    def partial(self) -> str:
        """Return the text so far, without thinking."""
        return separate(self.decoder.partial(), apart=self._apart, trim=self._codec.trims).text

    def _phased(self, deltas: Iterable[Delta], splitter: ThinkSplitter | None) -> Iterable[Delta]:
        if splitter is None:
            return deltas
        split = self._split(deltas, splitter)
        if splitter.answering and split and split[-1].phase is StreamingContentType.GENERATING:
            self._splitter = None  # all that follows passes unchanged
        return split

    def _ended(self) -> list[Delta]:
        """Return what was held back in case it was a tag."""
        splitter, self._splitter = self._splitter, None
        return splitter.finish() if splitter is not None else []

    def _split(self, deltas: Iterable[Delta], splitter: ThinkSplitter) -> list[Delta]:
        """Return deltas of the beginning of the answer, in which a block of thinking may stand."""
        split: list[Delta] = []
        for delta in deltas:
            if delta.of_call:  # which no block of thinking reaches into
                split += [*splitter.finish(), delta]
            elif delta.phase is StreamingContentType.GENERATING:
                split += splitter.feed(delta.text)
            else:
                if not (splitter.answering or splitter.found or self._apart):
                    self._apart = True
                    splitter.skip_block(trim=self._codec.trims)
                split.append(delta)
        return split

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
            return self._phased(decoder.done(), self._splitter)
        try:
            event = parse_json(text)
            if type(event) is dict:
                deltas = decoder.feed(event)
                return self._phased(deltas, self._splitter) if self._splitter is not None else deltas
        except ProviderError as exc:
            if exc.partial:
                exc.partial = self.partial()
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
            reason = f"{reason}; the response is {excerpt(self._head, self._secrets)}"
        return MalformedResponseError(reason, provider=self._provider, partial=self.partial())


def _at_once(reply: Reply) -> Iterator[Delta | Reply]:
    if reply.thinking:
        yield Delta(StreamingContentType.THINKING, reply.thinking)
    if reply.text:
        yield Delta(StreamingContentType.GENERATING, reply.text)
    yield reply


def _separated(reply: Reply, provider: str, *, apart: bool, trim: bool) -> Reply:
    """Return `reply` with the thinking that the server left in its text apart from it.

    Args:
        reply: The reply.
        provider: The provider's name, for the warning.
        apart: Whether thinking came separately, before the text.
        trim: Whether to drop whitespace between such thinking and the text.
    """
    found = separate(reply.text, apart=apart, trim=trim, calls=bool(reply.calls))
    if found.text == reply.text:
        return reply
    if found.closing:
        log.warning(
            "%s left the reasoning of the model in the answer, up to %s: it is kept apart from the answer, but a "
            "stream shows it as text. Start the server with its parser of reasoning (vLLM and SGLang: "
            "--reasoning-parser; llama-server: --reasoning-format auto), so that it marks reasoning as such",
            provider,
            found.closing,
        )
    return evolve(reply, text=found.text, thinking=reply.thinking + found.thinking)


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


def decode_body(codec: Codec, body: bytes, secrets: Secrets | None = None) -> Reply:
    """Return the reply in the body of a response that was not streamed.

    Args:
        codec: The wire format.
        body: The body.
        secrets: The key and the like, which errors must not show.

    Raises:
        MalformedResponseError: The body does not have the form that the service documents.
        ProviderError: The body tells of an error.
    """
    try:
        parsed = parse_json(body)
        if type(parsed) is dict:
            reply = _checked(codec.decode(parsed))
            return _separated(reply, codec.spec.provider, apart=bool(reply.thinking), trim=codec.trims)
    except ProviderError:
        raise
    except _MISSHAPEN as exc:
        raise MalformedResponseError(
            f"the response has an unexpected form; it begins: {excerpt(body, secrets)}", provider=codec.spec.provider
        ) from exc
    raise MalformedResponseError(
        f"the response is not a JSON object; it begins: {excerpt(body, secrets)}", provider=codec.spec.provider
    )
