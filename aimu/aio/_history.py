"""The history of a conversation: its published messages, and facts about its last turn.

Plain data without I/O. The conversation decides who may change it, and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from attrs import define, field

from aimu._core.messages import Message, copy_history, system_message
from aimu._core.reply import StopReason, Usage


@final
@define(eq=False)
class History:
    """The published messages of one conversation, and facts about its last turn."""

    messages: list[Message] = field(factory=list[Message])
    usage: Usage | None = None
    last_usage: Usage | None = None
    last_thinking: str = ""
    last_stop_reason: StopReason | None = None

    @property
    def system_message(self) -> str | None:
        first: Any = self.messages[0] if self.messages else None
        if isinstance(first, Mapping) and first.get("role") == "system":
            return str(first.get("content"))  # the next request checks its type
        return None

    @property
    def begun(self) -> bool:
        """Whether there are messages other than the system message."""
        return len(self.messages) > (self.system_message is not None)

    def replace_system_message(self, text: str | None) -> None:
        """Replace the text of the system message and keep its other keys and all other messages; None removes it."""
        head, rest = (self.messages[0], self.messages[1:]) if self.system_message is not None else ({}, self.messages)
        self.messages = [*({**head, **message} for message in _opening(text)), *rest]

    def load(self, messages: Sequence[Any]) -> None:
        """Replace the messages; the next request checks them."""
        self.messages = [dict(message) if isinstance(message, Mapping) else message for message in messages]

    def clear(self, text: str | None) -> None:
        """Clear messages and facts, and start over with this system message; None is no system message."""
        self.messages = _opening(text)
        self.usage = self.last_usage = self.last_stop_reason = None
        self.last_thinking = ""

    def copy(self, *, whole: bool) -> History:
        """Return a separate history with a copy of all messages, or with `whole=False` of the system message only."""
        kept = self.messages if whole else self.messages[: self.system_message is not None]
        return History(copy_history(kept))


def _opening(text: str | None) -> list[Message]:
    return [] if text is None else [system_message(text)]
