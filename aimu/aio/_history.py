"""What a conversation has published: its messages, and what its last turn left behind.

Plain data without I/O. Who may change it, and when, is the business of the conversation.
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
    """The published messages of one conversation, and the facts of its last turn."""

    messages: list[Message] = field(factory=list[Message])
    usage: Usage | None = None
    last_usage: Usage | None = None
    last_thinking: str = ""
    last_stop_reason: StopReason | None = None

    @property
    def system_message(self) -> str | None:
        first: Any = self.messages[0] if self.messages else None
        if isinstance(first, Mapping) and first.get("role") == "system":
            return str(first.get("content"))  # its type is checked at the next request
        return None

    @property
    def begun(self) -> bool:
        """Whether there is more than a system message."""
        return len(self.messages) > (self.system_message is not None)

    def replace_system_message(self, text: str | None) -> None:
        """Put another system message (None: no system message) before the same messages."""
        rest = self.messages[1:] if self.system_message is not None else self.messages
        self.messages = [*_opening(text), *rest]

    def load(self, messages: Sequence[Any]) -> None:
        """Take other messages; they are checked at the next request."""
        self.messages = [dict(message) if isinstance(message, Mapping) else message for message in messages]

    def clear(self, text: str | None) -> None:
        """Forget everything; begin again with this system message."""
        self.messages = _opening(text)
        self.usage = self.last_usage = self.last_stop_reason = None
        self.last_thinking = ""

    def copy(self, *, whole: bool) -> History:
        """A history of its own with the messages so far, or only the system message."""
        kept = self.messages if whole else self.messages[: self.system_message is not None]
        return History(copy_history(kept))


def _opening(text: str | None) -> list[Message]:
    return [] if text is None else [system_message(text)]
