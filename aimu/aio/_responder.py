"""Responders: what a client's `chat` and `generate` run on its conversation.

Owns the interface and the responder that runs the loop of a turn. `_agent` has the one for agents, `aimu._sync` those
for users' own sync code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from attrs import frozen

from aimu.aio._conversation import Conversation
from aimu.aio._loop import turn_steps
from aimu.aio._outcome import Terms
from aimu.aio._run import Run, Steps, Task


class Responder(ABC):
    """Base of the responders; each answers tasks on one conversation."""

    @property
    @abstractmethod
    def conversation(self) -> Conversation: ...

    @property
    def beneath(self) -> Responder:
        """The responder under a user's own `chat`; if the user wrote none, this responder itself."""
        return self

    @abstractmethod
    def chat(
        self, task: Task, run: Run, *, use_tools: bool = True, terms: Terms | None = None, label: str | None = None
    ) -> Steps:
        """Yield the chunks of one turn.

        An agent passes its own `terms` and `label`; a responder with terms of its own ignores `terms`.
        """

    @abstractmethod
    def generate(self, task: Task, run: Run) -> Steps:
        """Yield the chunks of an answer that leaves no trace in the history."""

    @abstractmethod
    def fork(self, system_message: str | None, keep_history: bool) -> Responder:
        """Return the same responder on a fork of the conversation; the fork does not keep the provider open."""


@final
@frozen(eq=False)
class LoopResponder(Responder):
    """Runs the loop of a turn, on the terms of the conversation unless the caller passes others."""

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
