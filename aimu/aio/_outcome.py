"""What a driver passes to a turn, its terms, and what it must do next, as the turn says. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, final

from attrs import frozen

from aimu._core.reply import ToolCall


@final
@frozen
class RunTools:
    """Run these calls, each of which has a unique id; then call `end_iteration()`."""

    calls: Sequence[ToolCall]


@final
@frozen
class AskAgain:
    """Send the next request."""


@final
@frozen
class CheckOutput:
    """Check that the text has the expected type; then call `accept` or `reject`."""

    text: str


@final
@frozen
class Finished:
    """The turn is settled; `text` is its answer, and `output` its value if a type was expected."""

    text: str
    output: Any = None


Outcome: TypeAlias = RunTools | AskAgain | CheckOutput | Finished


@final
@frozen(kw_only=True)
class Terms:
    """When a turn continues and when it ends.

    `max_iterations` is the number of requests that may call tools, at least 1. `continuation_prompt` is sent after an
    empty reply; with None, an empty reply counts as the answer. `reset` clears the history before the turn begins.
    `resume` continues the history instead of answering a new message.
    """

    max_iterations: int = 10
    continuation_prompt: str | None = None
    reset: bool = False
    resume: bool = False
