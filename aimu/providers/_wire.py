"""What all codecs share: their protocol, JSON, and the parts of requests and replies.

Pure. A codec turns a request into a JSON body, and the JSON objects of the response into deltas and one reply;
`aimu.providers._body` feeds it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

from aimu._core.agreement import agree
from aimu._core.json_text import read_json
from aimu._core.messages import Message, text_of
from aimu._core.reply import UNKNOWN_NAME, Delta, Reply, is_count
from aimu.errors import MalformedResponseError
from aimu.models._options import warn_unsupported
from aimu.models._spec import ModelSpec
from aimu.providers._base import Request


class Frames(Protocol):
    """Splits bytes into events, see `aimu.providers._sse`."""

    def feed(self, chunk: bytes) -> list[bytes]: ...

    def finish(self) -> bytes | None: ...


class EventDecoder(Protocol):
    """Reads the events of one streamed reply, in order.

    Attributes:
        settled: Whether the reply is complete, except perhaps for its usage: a terminal event has arrived.
        over: Whether no event that matters can follow.
        shown_call: The name of the tool whose arguments are shown as text; None if there is none.
    """

    settled: bool
    over: bool
    shown_call: str | None

    def feed(self, event: dict[str, Any]) -> Iterable[Delta]:
        """Return the deltas of one event; raise the ProviderError that an error event stands for."""
        ...

    def done(self) -> Iterable[Delta]:
        """Note that the stream ended with `[DONE]`, and return the deltas that were held back."""
        ...

    def partial(self) -> str:
        """Return the text so far, with the thinking that the server left in it."""
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

    @property
    def trims(self) -> bool:
        """Whether to drop whitespace before an answer whose thinking came separately."""
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

    def output_schema(self, schema: Mapping[str, Any], *, tools: bool = False) -> Mapping[str, Any]:
        """Return the schema as the service accepts it, beside tools if there are any.

        Raises:
            ValueError: The service cannot hold the model to it; the text says why.
        """
        ...

    def forces_tools(self, options: Mapping[str, Any]) -> bool:
        """Return whether `tool_choice="required"` is possible with these options."""
        ...


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


def held_to(
    final: str, streamed: str, provider: str, *, thinking: str = "", partial: str | None = None
) -> tuple[str, str]:
    """Return the text of a reply that was streamed, and the end of it that is still to be streamed.

    Args:
        final: The text as the service repeats it at the end.
        streamed: The text as it was streamed.
        provider: The provider's name.
        thinking: The thinking of the reply, where the beginning of the streamed text may have gone.
        partial: The text of the answer so far; None if that is `streamed`.

    Raises:
        MalformedResponseError: The two contradict each other.
    """
    agreed = agree(streamed, final, thinking)
    if agreed is None:
        raise MalformedResponseError(
            f"the streamed answer ({_shown(streamed)}) and its final form ({_shown(final)}) contradict each other",
            provider=provider,
            partial=streamed if partial is None else partial,
        )
    return agreed.text, agreed.missing


def held_arguments(final: Any, streamed: str, provider: str, *, partial: str = "") -> str:
    """Return the arguments of a call that was streamed, as `held_to` does; JSON may be written in another way.

    Raises:
        MalformedResponseError: The two contradict each other.
    """
    text = arguments_text(final)
    if not streamed.strip():
        return text
    if final is None or (isinstance(final, str) and not final.strip()):
        return streamed
    with suppress(ValueError):
        if parse_json(text.encode()) == parse_json(streamed.encode()):
            return streamed
    return held_to(text, streamed, provider, partial=partial)[0]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a call as JSON text; services send text, an object, or nothing."""
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    return json.dumps(arguments, ensure_ascii=False) if arguments is not None else "{}"


def arguments_object(arguments: str) -> dict[str, Any]:
    """Return arguments as an object, for services that require one; other text is wrapped in an object unchanged."""
    try:
        parsed = read_json(arguments, _ARGUMENTS.decode) if arguments.strip() else {}
    except ValueError:
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


def later_counts(before: Any, later: Any) -> Any:
    """Return usage figures after more of them came; a later zero or null does not overwrite a figure."""
    if isinstance(before, Mapping) and isinstance(later, Mapping):
        return {**before, **{key: later_counts(before.get(key), figure) for key, figure in later.items()}}
    return later if later or before is None else before


def count(figures: Any, *path: str) -> int | None:
    """Return the number at `path` in a usage object, or None if it is no possible number of tokens."""
    for key in path:
        figures = figures.get(key) if isinstance(figures, dict) else None
    if isinstance(figures, float) and math.isfinite(figures):
        figures = int(figures)
    return figures if is_count(figures) else None
