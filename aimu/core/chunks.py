"""Streamed pieces as a user sees them: phases, chunks, and the filter of `include=`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeAlias, final

from attrs import define

from aimu.errors import InvalidOptionError


@final
class StreamingContentType(StrEnum):
    """The phase of a chunk."""

    THINKING = "thinking"
    TOOL_CALLING = "tool_calling"
    GENERATING = "generating"
    DONE = "done"


@final
@define(unsafe_hash=True)  # a value, but one is made for every token: @frozen would take three times as long
class StreamChunk:
    """One streamed piece.

    `content` is text while THINKING or GENERATING and at DONE (the run's whole result); at TOOL_CALLING it is a dict
    with `id`, `name`, `arguments` (parsed where they are valid JSON) and, once the tool has ended, `response`.
    `agent` is the name of the agent that produced it (None outside agents), `iteration` its iteration, or the step or
    round of a workflow; both count from 0.
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
