"""What answers on a conversation, beneath its handles.

Here the loop of a turn; agents and code of the user's own are elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from attrs import frozen

from aimu.aio._conversation import Conversation
from aimu.aio._loop import turn_steps
from aimu.aio._run import Run, Steps, Task
from aimu.aio._turn import Terms


class Responder(ABC):
    """Answers tasks on one conversation."""

    @property
    @abstractmethod
    def conversation(self) -> Conversation: ...

    @property
    def beneath(self) -> Responder:
        """The responder below a `chat` that the user wrote; this one where the user wrote none."""
        return self

    @abstractmethod
    def chat(
        self, task: Task, run: Run, *, use_tools: bool = True, terms: Terms | None = None, label: str | None = None
    ) -> Steps:
        """The chunks of one turn. An agent gives its own terms and label; whoever has others ignores the terms."""

    @abstractmethod
    def generate(self, task: Task, run: Run) -> Steps:
        """The chunks of an answer that leaves no trace in the history."""

    @abstractmethod
    def fork(self, system_message: str | None, keep_history: bool) -> Responder:
        """The same on a fork of the conversation, which does not keep the provider open."""


@final
@frozen(eq=False)
class LoopResponder(Responder):
    """The loop of a turn, on the terms of the conversation unless others are given."""

    _conversation: Conversation

    @property
    def conversation(self) -> Conversation:
        return self._conversation

    def chat(
        self, task: Task, run: Run, *, use_tools: bool = True, terms: Terms | None = None, label: str | None = None
    ) -> Steps:
        if terms is None:
            terms = Terms(max_iterations=self._conversation.max_tool_rounds)
        return turn_steps(self._conversation, task, run, terms=terms, label=label, use_tools=use_tools)

    def generate(self, task: Task, run: Run) -> Steps:
        aside = self._conversation.fork(None, keep_history=False)
        terms = Terms(max_iterations=aside.max_tool_rounds)
        return turn_steps(aside, task, run, terms=terms, use_tools=False, kind="generate")

    def fork(self, system_message: str | None, keep_history: bool) -> LoopResponder:
        return LoopResponder(self._conversation.fork(system_message, keep_history))
