"""The interface to a model: one request in, one reply or a stream of deltas out.

A provider has no history, does not retry and takes no slot: `aimu.aio` does that. To add a model service, implement
`Provider` and pass an instance to `aio.client`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, final, runtime_checkable

from attrs import field, frozen

from aimu._core.messages import Message
from aimu._core.reply import Delta, Reply
from aimu._doors import public
from aimu.models._spec import ModelSpec


@public("aimu.providers")
@final
@frozen(kw_only=True)
class OutputSchema:
    """The JSON that the text of a reply has to be.

    Attributes:
        name: A name for it: letters, digits, underscores and hyphens, at most 64 characters.
        schema: Its JSON Schema, of an object, in the form that the provider accepts.
        mode: How the model is held to it: "schema" by the service's own mode for JSON schemas, "grammar" by constrained
            decoding, "tool" by a tool called `name`, which is one of the request's tools, and whose arguments are the
            text.
    """

    name: str
    schema: Mapping[str, Any]
    mode: Literal["schema", "grammar", "tool"]


@public("aimu.providers")
@final
@frozen(kw_only=True)
class Request:
    """One model request.

    Attributes:
        messages: A valid history, see `aimu.types.Message`; a provider must not change it.
        tools: The tools that the model may call, in OpenAI's function format.
        options: The merged `generate_kwargs`, without unset keys.
        output: The JSON that the text of the reply has to be; None if it may be any text.
        kind: "generate" for a stateless prompt, for which some services have a separate endpoint; else "chat".
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    output: OutputSchema | None = None
    kind: Literal["chat", "generate"] = "chat"


ReplyStream: TypeAlias = AsyncGenerator[Delta | Reply, None]
"""What `Provider.stream` returns: deltas as they arrive, then exactly one reply."""


@public("aimu.providers")
@runtime_checkable
class Provider(Protocol):
    """What a model service or an engine implements.

    All methods must work on asyncio and trio, in successive event loops, and in the loops of several threads at once.
    They raise errors from `aimu.errors` only.

    A provider that can hold a model to a JSON Schema also has `output_schema(schema, *, tools)`. It returns the schema
    in the form that a request's `output` must have, or raises ValueError with the reason why it cannot; `tools` says
    whether the request has tools too. A provider that can force tool calls has `forces_tools(options)`, which returns
    whether it can with these options. A provider that decodes against grammars has `holds_grammars()`, which returns
    whether it can now; the `output` of a request may then have the mode "grammar", with any JSON Schema.
    """

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        ...

    async def complete(self, request: Request) -> Reply:
        """Return the whole reply."""
        ...

    def stream(self, request: Request) -> ReplyStream:
        """Yield deltas as they arrive, then exactly one Reply.

        This is an async generator that holds no cancel scope or task group across a yield. It must not end without a
        Reply: if the service cuts the stream off, it raises TruncatedStreamError.
        """
        ...

    async def aclose(self) -> None:
        """Close connections or free weights; may be called more than once."""
        ...
