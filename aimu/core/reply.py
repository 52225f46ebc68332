"""What a provider gives back: deltas while it streams, then one reply. Values only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, final

from attrs import define, field, frozen

from aimu.core.chunks import StreamingContentType


@final
class StopReason(StrEnum):
    """Why a reply ended, one vocabulary for all providers."""

    END = "end"
    TOOL_CALLS = "tool_calls"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    REFUSED = "refused"
    PAUSED = "paused"  # the service wants the same conversation sent again to go on (Anthropic's pause_turn)


@final
@frozen
class ToolCall:
    """A request of the model to run a tool.

    `arguments` is the JSON text as the model wrote it, valid or not.
    """

    id: str
    name: str
    arguments: str


UNKNOWN_NAME = "unknown"
"""The name of a call to which the model gave none; services refuse a history with an empty one."""


def new_call_id() -> str:
    """For calls to which their service gives no id, or one that another has."""
    return f"call_{uuid.uuid4().hex[:24]}"


@final
@frozen(kw_only=True)
class Usage:
    """Tokens as the provider counts them; None where it does not say.

    `cache_read` and `cache_write` are prompt tokens served from and written to the provider's cache (Anthropic leaves
    them out of `input`, OpenAI counts them in it); `reasoning` is part of `output`. Adding two keeps the number where
    only one is known.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=_add(self.input, other.input),
            output=_add(self.output, other.output),
            cache_read=_add(self.cache_read, other.cache_read),
            cache_write=_add(self.cache_write, other.cache_write),
            reasoning=_add(self.reasoning, other.reasoning),
        )


def _add(a: int | None, b: int | None) -> int | None:
    if a is None:
        return b
    return a if b is None else a + b


@final
@define(unsafe_hash=True)  # a value, see StreamChunk
class Delta:
    """A streamed piece of text; `phase` is THINKING or GENERATING."""

    phase: StreamingContentType
    text: str


@final
@frozen(kw_only=True)
class Reply:
    """One complete answer of a model.

    `replay` holds message keys that the provider needs back verbatim with this message (one key, the provider's wire
    format, e.g. `{"anthropic": {...}}`); it becomes part of the assistant message and is sent to that provider only.
    `refusal` is what the model said when it declined, where the service keeps that apart from the text.
    """

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    calls: tuple[ToolCall, ...] = ()
    stop_reason: StopReason = StopReason.END
    usage: Usage | None = None
    model: str | None = None
    request_id: str | None = None
    replay: Mapping[str, Any] = field(factory=dict[str, Any])
