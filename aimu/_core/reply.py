"""What a provider returns: deltas while it streams, then one reply. Values only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeGuard, final

from attrs import define, evolve, field, frozen

from aimu._core.chunks import StreamingContentType
from aimu._doors import public


@public("aimu.types")
@final
class StopReason(StrEnum):
    """Why a reply ended, in the same words for all providers; or why a turn or a run of several replies did."""

    END = "end"
    TOOL_CALLS = "tool_calls"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    REFUSED = "refused"
    PAUSED = "paused"  # to continue, send the same conversation again (Anthropic's pause_turn)
    ITERATION_LIMIT = "iteration_limit"  # the turn ended at its limit of iterations, before the model was done
    ROUND_LIMIT = "round_limit"  # a workflow used up its rounds, and no draft or output had passed
    EMPTY = "empty"  # the model ended the turn without any text
    INVALID_OUTPUT = "invalid_output"  # the answers do not have the type that was asked for
    INTERRUPTED = "interrupted"  # the turn was cancelled, timed out or failed before the model was done
    OTHER = "other"  # something else; `Reply.finish_reason` has the service's own word


NORMAL = (StopReason.END, StopReason.STOP_SEQUENCE)
"""The reasons of a turn that ended as the model meant it to."""


@public("aimu.types")
@final
@frozen
class ToolCall:
    """A model's request to run a tool.

    Attributes:
        id: The provider's id of the call.
        name: The name of the tool.
        arguments: The JSON text as the model wrote it, valid or not.
    """

    id: str
    name: str
    arguments: str


UNKNOWN_NAME = "unknown"
"""The name of a call that the model left unnamed: services refuse a history with an empty name."""


def new_call_id() -> str:
    """Return a new id, for a call that came without one or with the id of another call."""
    return f"call_{uuid.uuid4().hex[:24]}"


@public("aimu.types")
@final
@frozen(kw_only=True)
class Usage:
    """Numbers of tokens as the provider counts them; None where it does not tell.

    The sum of two has each number that at least one of them has.

    Attributes:
        input: Prompt tokens.
        output: Generated tokens.
        cache_read: Prompt tokens read from the provider's cache; OpenAI includes them in `input`, Anthropic does not.
        cache_write: Prompt tokens written to the provider's cache; likewise.
        reasoning: The part of `output` that is reasoning.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def __add__(self, other: Usage) -> Usage:
        # Without a helper function: this runs several times for each model request.
        read, write, reasoning = self.cache_read, self.cache_write, self.reasoning
        return Usage(
            input=other.input if self.input is None else self.input + (other.input or 0),
            output=other.output if self.output is None else self.output + (other.output or 0),
            cache_read=other.cache_read if read is None else read + (other.cache_read or 0),
            cache_write=other.cache_write if write is None else write + (other.cache_write or 0),
            reasoning=other.reasoning if reasoning is None else reasoning + (other.reasoning or 0),
        )


def is_count(figure: Any) -> TypeGuard[int]:
    """Return whether this can be a number of tokens."""
    return isinstance(figure, int) and not isinstance(figure, bool) and 0 <= figure < 1 << 63


@public("aimu.types")
@final
@define(unsafe_hash=True)  # a value, see StreamChunk
class Delta:
    """A streamed piece of text.

    Attributes:
        phase: THINKING or GENERATING.
        text: The piece.
        of_call: Whether it is a piece of the arguments of the tool that takes the output, which are the answer's text.
    """

    phase: StreamingContentType
    text: str
    of_call: bool = field(default=False, eq=False, repr=False)


@public("aimu.types")
@final
@frozen(kw_only=True)
class Reply:
    """One complete answer of a model.

    Attributes:
        text: The answer.
        thinking: The reasoning before it, as far as the service shows it.
        refusal: The words with which the model refused, if the service separates them from the text.
        calls: The tools to run.
        stop_reason: Why the answer ended.
        finish_reason: The service's own word for that, or None.
        usage: Its tokens; None if the service does not tell.
        model: The model that answered, as the service names it, or None.
        request_id: The service's id of the request, or None.
        final: Whether the text is the final answer although there are calls to run: a model gave it as the arguments of
            the tool that takes the output.
        replay: What the provider needs back verbatim with this answer, under one key for its wire format, such as
            `{"anthropic": {...}}`. It becomes part of the assistant message and goes to that provider only.
    """

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    calls: tuple[ToolCall, ...] = ()
    stop_reason: StopReason = StopReason.END
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    request_id: str | None = None
    final: bool = False
    replay: Mapping[str, Any] = field(factory=dict[str, Any])


def joined(parts: Sequence[Reply]) -> Reply:
    """Return the parts of a paused answer as one; the last part says how it ended."""
    *before, last = parts
    if not before:
        return last
    replay: Any = {}
    for part in parts:
        replay = _joined(replay, part.replay)
    return evolve(
        last,
        text="".join(part.text for part in parts),
        thinking="".join(part.thinking for part in parts),
        calls=tuple(call for part in parts for call in part.calls),
        replay=replay,
    )


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return {**first, **{key: _joined(first[key], item) if key in first else item for key, item in second.items()}}
    return [*first, *second] if isinstance(first, list) and isinstance(second, list) else second


def with_unique_ids(reply: Reply) -> Reply:
    """Return the reply with a unique id for each call, even if the service gave the same id to several.

    `replay`, which the service wants back verbatim, refers to the old ids and is dropped in that case.
    """
    if len(reply.calls) < 2:
        return reply
    ids = [call.id for call in reply.calls]
    if len(set(ids)) == len(ids):
        return reply
    calls = [
        evolve(call, id=new_call_id()) if call.id in ids[:index] else call for index, call in enumerate(reply.calls)
    ]
    return evolve(reply, calls=tuple(calls), replay={})
