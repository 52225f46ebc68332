"""Streamed pieces as a user sees them: phases, chunks, and the `include=` filter."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeAlias, final

from attrs import define

from aimu._core.field_docs import with_field_docs
from aimu._doors import public
from aimu.errors import InvalidOptionError


@public("aimu.types")
@final
class StreamingContentType(StrEnum):
    """What a chunk belongs to: reasoning, a tool call, the answer, or the end of the run."""

    THINKING = "thinking"
    TOOL_CALLING = "tool_calling"
    GENERATING = "generating"
    DONE = "done"


@public("aimu.types")
@final
@with_field_docs
@define(unsafe_hash=True)  # a value like any other, but one is made per token, and @frozen takes three times as long
class StreamChunk:
    """One streamed piece.

    Attributes:
        phase: What the piece belongs to.
        content: A piece of text for THINKING and GENERATING, and the whole result of the run for DONE. For
            TOOL_CALLING a dict with `id`, `name`, `arguments` (parsed if they are valid JSON) and, after the tool has
            ended, `response`.
        agent: The name of the agent that produced it; None outside agents.
        iteration: The agent's iteration, or the step or round of a workflow, counted from 0.
    """

    phase: StreamingContentType
    content: Any
    agent: str | None = None
    iteration: int = 0

    def is_text(self) -> bool:
        """Return whether `content` is a piece of the answer."""
        return self.phase is StreamingContentType.GENERATING

    def is_tool_call(self) -> bool:
        """Return whether `content` describes a tool call that starts or has ended."""
        return self.phase is StreamingContentType.TOOL_CALLING


Include: TypeAlias = Iterable[str | StreamingContentType] | None
"""The phases that a stream yields, by name or as members; None is all of them."""


def phases(include: Include) -> frozenset[StreamingContentType] | None:
    """Return the phases that `include=` selects; None if it selects all.

    Raises:
        InvalidOptionError: `include` is a single string, or has a name that is not a phase.
    """
    if include is None:
        return None
    names = ", ".join(repr(str(phase)) for phase in StreamingContentType)
    if isinstance(include, str):
        raise InvalidOptionError(f"include= must be a list, not the string {include!r}; its items can be: {names}")
    chosen: set[StreamingContentType] = set()
    for name in include:
        try:
            chosen.add(StreamingContentType(name))
        except ValueError:
            raise InvalidOptionError(f"include= has the unknown phase {name!r}; the phases are: {names}") from None
    return frozenset(chosen)
