"""The history of a conversation: its published messages, and facts about its last turn.

Plain data without I/O. The conversation decides who may change it, and when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from attrs import define, field

from aimu._core.messages import Message, check_history, copy_history, system_message, user_message
from aimu._core.reply import StopReason, Usage
from aimu.aio._checks import checked_system
from aimu.errors import InvalidOptionError, NothingToResumeError


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
        text = self.messages[0].get("content") if opens(self.messages) else None
        return text if isinstance(text, str) else None  # the next request refuses any other content

    @property
    def begun(self) -> bool:
        """Whether there are messages other than the system message."""
        return len(self.messages) > opens(self.messages)

    def replace_system_message(self, text: str | None) -> None:
        """Replace the text of the system message and keep its other keys and all other messages; None removes it."""
        head, rest = (self.messages[0], self.messages[1:]) if opens(self.messages) else ({}, self.messages)
        self.messages = [*({**head, **message} for message in _opening(text)), *rest]

    def load(self, messages: Sequence[Any]) -> None:
        """Replace the messages; the next request checks them.

        The system message is kept if they have none.
        """
        if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
            raise InvalidOptionError(
                f"messages must be a list of dicts, got {type(messages).__name__}; to clear the history, call reset(); "
                "to load those of a whole team, assign the dict to runner.messages"
            )
        loaded = [_plain(message) for message in messages]
        kept = [] if opens(loaded) else self.messages[: opens(self.messages)]
        self.messages = [*kept, *loaded]

    def clear(self, text: str | None = None) -> None:
        """Clear messages and facts, and start over with this system message; None keeps the current one.

        Raises:
            InvalidOptionError: `text` is not a str.
            InvalidHistoryError: The current system message, which was loaded, is not a text.
        """
        if text is None:
            check_history(self.messages[: opens(self.messages)])
        self.messages = _opening(self.system_message if text is None else text)
        self.usage = self.last_usage = self.last_stop_reason = None
        self.last_thinking = ""

    def continuation(self, prompt: str | None) -> list[Message]:
        """Return the messages that the next request adds to the history in order to continue it.

        Args:
            prompt: The text that asks the model to continue an answer that did not end normally.

        Raises:
            NothingToResumeError: There is no turn yet, or the last one has its final answer.
        """
        if not self.begun:
            raise NothingToResumeError("the history has no messages yet")
        last = self.messages[-1]
        if last["role"] != "assistant":
            return []
        if "stop_reason" not in last and not last.get("interrupted"):
            raise NothingToResumeError("the last turn has its final answer")
        return [user_message(prompt or "")]

    def copy(self, *, whole: bool) -> History:
        """Return a separate history with a copy of all messages, or with `whole=False` of the system message only."""
        kept = self.messages if whole else self.messages[: opens(self.messages)]
        return History(copy_history(kept))


def _plain(value: Any) -> Any:
    """Copy dicts and lists, and turn texts of classes such as Answer into plain ones."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str.__str__(value) if isinstance(value, str) else value


def opens(messages: Sequence[Any]) -> bool:
    """Return whether the first of the messages, valid or not, is a system message."""
    first = messages[0] if messages else None
    return isinstance(first, Mapping) and first.get("role") == "system"


def _opening(text: str | None) -> list[Message]:
    text = checked_system(text)
    return [] if text is None else [system_message(text)]
