"""The border to a model: one request in, one reply or a stream of deltas out.

Owns the protocol and the request value. A provider holds no history, does not retry and takes no slot: that is
`aimu.aio`'s. To add a model service, implement `Provider` and pass the instance to `aio.client`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, final, runtime_checkable

from attrs import field, frozen

from aimu.core.messages import Message
from aimu.core.reply import Delta, Reply
from aimu.models.spec import ModelSpec


@final
@frozen(kw_only=True)
class Request:
    """One model request.

    `messages` obey `aimu.core.messages` and are not to be mutated; `tools` are in OpenAI function format; `options` is
    the merged `generate_kwargs` without unset keys; `kind` is "generate" for a stateless prompt (services with an
    endpoint of its own for that may use it).
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    kind: Literal["chat", "generate"] = "chat"


ReplyStream: TypeAlias = AsyncGenerator[Delta | Reply, None]


@runtime_checkable
class Provider(Protocol):
    """What a model service or engine implements.

    All methods run on asyncio and trio, in successive event loops, and in several threads' loops at once. They raise
    errors of `aimu.errors` only.
    """

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        ...

    async def complete(self, request: Request) -> Reply:
        """The whole reply at once."""
        ...

    def stream(self, request: Request) -> ReplyStream:
        """Deltas as they come, then exactly one Reply, then the end.

        An async generator that holds no cancel scope or task group across a yield. Ending without a Reply is an
        error of the provider; a stream cut off by the service raises TruncatedStreamError itself.
        """
        ...

    async def aclose(self) -> None:
        """Close connections or free weights. Idempotent."""
        ...
