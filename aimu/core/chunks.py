"""Streamed pieces as a user sees them: phases, chunks, and the filter of `include=`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeAlias, final

from attrs import define

from aimu.core.field_docs import with_field_docs
from aimu.errors import InvalidOptionError


@final
class StreamingContentType(StrEnum):
    """The phase of a chunk."""

    THINKING = "thinking"
    TOOL_CALLING = "tool_calling"
    GENERATING = "generating"
    DONE = "done"


@final
@with_field_docs
@define(unsafe_hash=True)  # a value, but one is made for every token: @frozen would take three times as long
class StreamChunk:
    """One streamed piece of a run.

    Args:
        phase: What the piece belongs to.
        content: A piece of text while THINKING or GENERATING; the whole result of the run at DONE. At TOOL_CALLING a
            dict with `id`, `name`, `arguments` (parsed if they are valid JSON) and `response`, once the tool has ended.
        agent: The name of the agent that it comes from; None outside agents.
        iteration: The iteration of that agent, or the step or round of a workflow, from 0.
    """

    phase: StreamingContentType
    content: Any
    agent: str | None = None
    iteration: int = 0

    def is_text(self) -> bool:
        """Whether `content` is a piece of the answer."""
        return self.phase is StreamingContentType.GENERATING

    def is_tool_call(self) -> bool:
        """Whether `content` describes a tool call that starts or has ended."""
        return self.phase is StreamingContentType.TOOL_CALLING


Include: TypeAlias = Iterable[str | StreamingContentType] | None


def phases(include: Include) -> frozenset[StreamingContentType] | None:
    """The set that `include=` means; None is all. A wrong name is an InvalidOptionError (a ValueError)."""
    if include is None:
        return None
    names = ", ".join(repr(str(phase)) for phase in StreamingContentType)
    if isinstance(include, str):
        raise InvalidOptionError(f"include={include!r} is one string; give a list of: {names}")
    chosen: set[StreamingContentType] = set()
    for name in include:
        try:
            chosen.add(StreamingContentType(name))
        except ValueError:
            raise InvalidOptionError(f"include= names {name!r}; a phase is one of: {names}") from None
    return frozenset(chosen)
