"""A conversation: history, its one user at a time, and the turn as a transaction.

A turn keeps everything to itself and publishes whole iterations, each in one statement: the history is valid at every
instant. No method here awaits. What a request looks like on the wire is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock, get_ident
from threading import enumerate as living_threads
from typing import Any, final

import anyio
from attrs import define, evolve, field

from aimu.aio.run import Run, RunState, Steps
from aimu.core.messages import (
    Message,
    assistant_message,
    check_history,
    copy_history,
    interrupted_message,
    system_message,
    tool_message,
    unanswered,
)
from aimu.core.reply import Reply, StopReason, ToolCall, Usage, new_call_id
from aimu.errors import BusyConversationError, StreamClosedError, SystemMessageError


@final
@define(eq=False)
class Conversation:
    """History, system message and tools of one conversation, with what its last turn left behind.

    Several handles may share it, in several threads; it has one user at a time.
    """

    messages: list[Message] = field(factory=list[Message])
    tools: list[Any] = field(factory=list[Any])
    mcp_client: Any = None
    usage: Usage | None = None
    last_usage: Usage | None = None
    last_thinking: str = ""
    last_stop_reason: StopReason | None = None
    _turn: Turn | None = field(default=None, init=False)
    _stale: RunState | None = field(default=None, init=False)  # of a settled turn, until the next one closes its steps
    _claim: Lock = field(factory=Lock, init=False, repr=False)

    @property
    def busy(self) -> bool:
        return self._turn is not None

    @property
    def system(self) -> str | None:
        first: Any = self.messages[0] if self.messages else None
        if isinstance(first, Mapping) and first.get("role") == "system":
            return str(first.get("content"))  # what it may be is checked at the next request
        return None

    def set_system(self, text: str | None) -> None:
        """Set the system message; only before the first turn."""
        if self.busy or len(self.messages) > (self.system is not None):
            raise SystemMessageError
        self.messages[:] = [] if text is None else [system_message(text)]

    def replace_system(self, text: str) -> None:
        """Another text of the system message over the same history, for those whose instructions grow (skills)."""
        self.claimable()
        head, rest = (self.messages[0], self.messages[1:]) if self.system is not None else ({}, self.messages)
        self.messages = [{**head, **system_message(text)}, *rest] if text else rest

    def load(self, messages: Sequence[Any]) -> None:
        """Take another history; it is checked at the next request."""
        self.claimable()
        self.messages = [dict(message) if isinstance(message, Mapping) else message for message in messages]

    def reset(self, system: str | None) -> None:
        self.claimable()
        self.clear(system)

    def clear(self, system: str | None) -> None:
        self.messages = [] if system is None else [system_message(system)]
        self.usage = self.last_usage = self.last_stop_reason = None
        self.last_thinking = ""

    def fork(self, *, keep_history: bool) -> Conversation:
        """A conversation with its own copy of what is published (or of the system message only)."""
        kept = self.messages if keep_history else self.messages[: self.system is not None]
        return Conversation(messages=copy_history(kept), tools=list(self.tools), mcp_client=self.mcp_client)

    def claimable(self) -> None:
        """Raise BusyConversationError while a turn runs; a turn that its own task has left paused is settled."""
        old = self._turn
        if old is not None:
            if not old.abandoned():
                raise BusyConversationError
            old.run.settle()
            old.run.state.superseded = True
            self._stale = old.run.state

    def begin(self, question: Message, run: Run, *, reset: bool = False) -> tuple[Turn, Steps | None]:
        """Claim the conversation for a turn; the second value is a superseded generator, still to be closed."""
        with self._claim:
            self.claimable()
            if reset:
                self.clear(self.system)
            check_history(self.messages)
            stale, self._stale = self._stale, None
            turn = self._turn = Turn(conversation=self, run=run, staged=[question])
        run.state.turns.add(turn)
        return turn, None if stale is None else stale.generator()


@final
@define(eq=False, kw_only=True)
class Turn:
    """One user message and all that answers it, until it is published or taken back."""

    conversation: Conversation
    run: Run
    staged: list[Message]  # what the next published iteration begins with
    open: bool = True
    usage: Usage | None = None
    _thought: list[str] = field(factory=list[str])
    _said: list[str] = field(factory=list[str])
    _reply: Reply | None = None
    _started: set[str] = field(factory=set[str])
    _results: dict[str, Message] = field(factory=dict[str, Message])

    def abandoned(self) -> bool:
        """Whether nobody will go on with this turn: it is paused, and its task is ours or has ended."""
        state = self.run.state
        if state.active:
            return False
        if state.thread != get_ident():
            return all(thread.ident != state.thread for thread in living_threads())
        if state.owner == anyio.get_current_task().id:
            return True
        return all(task.id != state.owner for task in anyio.get_running_tasks())

    def check(self) -> None:
        """After a yield: raise StreamClosedError if the turn was settled meanwhile."""
        if not self.open:
            raise StreamClosedError(
                "this stream was closed while it was paused; its conversation has gone on without it"
            )

    def history(self) -> list[Message]:
        """The messages of the next request."""
        return [*self.conversation.messages, *self.staged]

    def feed(self, text: str, thinking: bool, /) -> None:
        """Keep streamed text, in case the turn is cut off."""
        (self._thought if thinking else self._said).append(text)

    def cut(self, reply: Reply) -> None:
        """Take a reply that is no answer (truncated, refused): only its text remains, marked."""
        self._account(reply)
        self._thought, self._said = [reply.thinking], [reply.text]

    def receive(self, reply: Reply) -> Sequence[ToolCall]:
        """Take an answer; gives its calls, which have an id each."""
        self._account(reply)
        self._thought.clear()
        self._said.clear()
        self._reply = reply = _told_apart(reply)
        self.conversation.last_thinking = reply.thinking
        return reply.calls

    def _account(self, reply: Reply) -> None:
        conversation = self.conversation
        conversation.last_stop_reason = reply.stop_reason
        if reply.usage is not None:
            self.usage = reply.usage if self.usage is None else self.usage + reply.usage
            conversation.usage = reply.usage if conversation.usage is None else conversation.usage + reply.usage
            self.run.used(reply.usage)
        conversation.last_usage = self.usage

    def drop_reply(self, prompt: Message) -> None:
        """The reply was empty: it leaves no trace, and `prompt` asks again."""
        self._reply = None
        self.staged.append(prompt)

    def start(self, call: ToolCall) -> None:
        self._started.add(call.id)

    def finish(self, call: ToolCall, content: str | Sequence[Mapping[str, Any]]) -> None:
        self._results[call.id] = tool_message(call, content)

    def result(self, call: ToolCall) -> Message:
        """The result of a call, or the truth about its absence."""
        found = self._results.get(call.id)
        return unanswered(call, started=call.id in self._started) if found is None else found

    def flush(self) -> None:
        """Publish the iteration: question or nothing, reply, one result for each call."""
        calls: Sequence[ToolCall] = ()
        if self._reply is not None:
            message: Message | None = assistant_message(self._reply)
            calls = self._reply.calls
        else:
            message = interrupted_message("".join(self._said), "".join(self._thought))
        if message is None:
            return
        self.conversation.messages.extend([*self.staged, message, *map(self.result, calls)])
        self.staged = []
        self._reply = None
        self._said, self._thought = [], []
        self._started, self._results = set(), {}

    def settle(self) -> None:
        """Publish what there is and free the conversation. Synchronous, idempotent."""
        if self.open:
            self.open = False
            self.flush()
            self.conversation._turn = None  # the two classes are one owner
            self.run.state.turns.discard(self)


def _told_apart(reply: Reply) -> Reply:
    """A reply whose calls have an id each, also where the service gave one id to several.

    What the service wants back verbatim names the calls by the old ids: it is left out then.
    """
    ids = [call.id for call in reply.calls]
    if len(set(ids)) == len(ids):
        return reply
    calls = [
        evolve(call, id=new_call_id()) if call.id in ids[:index] else call for index, call in enumerate(reply.calls)
    ]
    return evolve(reply, calls=tuple(calls), replay={})
