"""One turn as a machine without I/O: what is asked of the model, what its reply means, what is published and when.

A turn is one user message and all that answers it. It waits for nothing: a driver sends the requests, runs the tools,
and tells the turn what came of them. Who may begin a turn is not known here, nor how a request looks on the wire.

Theory of operation
-------------------
States::

    READY     the next request can be made
    ASKED     a request is out; streamed pieces are kept in case that no reply follows
    CALLING   the reply asks for tools; their results are collected
    SETTLED   the turn is over, and the conversation is free

Events::

    READY    next_request()                    -> ASKED     gives the request: what is published, and what is staged
    ASKED    feed(delta)                       -> ASKED
    ASKED    receive(reply), which
               asks for tools                  -> CALLING   RunTools
               asks for tools at the limit     -> READY     AskAgain   publishes; the calls are "not executed"
               is a part (PAUSED)              -> READY     AskAgain   publishes
               is empty, with a prompt to go on-> READY     AskAgain   drops the reply, stages the prompt
               has text, or may be empty       -> SETTLED   Finished   publishes
               is anything after the limit     -> SETTLED   Finished   publishes
               is missing, refused, truncated  -> SETTLED   raises     publishes its text, marked as interrupted
    CALLING  start(call), finish(call, ...)    -> CALLING
    CALLING  end_round()                       -> READY                publishes
    any      settle()                          -> SETTLED              publishes what there is; frees the conversation

The limit: `max_iterations` requests may call tools; one more says `tool_choice="none"` and asks for the answer.

Publishing: a turn stages messages, and publishes one iteration with one `extend`: the staged messages, the assistant
message, one result for each of its calls. So the history is valid at every instant, also between two statements of a
driver, and nothing that was published changes. A call without a result is told the truth about: "not executed" if it
never started, "cancelled" if it did. Text without its reply is published as interrupted; a turn that has nothing to
publish leaves no trace.

An event that comes after `settle()` raises StreamClosedError, so that no tool starts which the history says was not
executed; a result that comes too late is dropped. Any other event in the wrong state is a mistake of the driver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, TypeAlias, final

from attrs import define, evolve, field, frozen

from aimu._core.chunks import StreamingContentType
from aimu._core.messages import (
    Message,
    assistant_message,
    interrupted_message,
    tool_message,
    unanswered,
    user_message,
)
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage, new_call_id
from aimu.aio._history import History
from aimu.errors import RefusedError, StreamClosedError, TruncatedError, TruncatedStreamError
from aimu.providers._base import Request

log = logging.getLogger("aimu.aio")

THINKING = StreamingContentType.THINKING


@final
class State(Enum):
    READY = "ready"
    ASKED = "asked"
    CALLING = "calling"
    SETTLED = "settled"


READY, ASKED, CALLING, SETTLED = State.READY, State.ASKED, State.CALLING, State.SETTLED


@final
@frozen
class RunTools:
    """Run these calls, which have an id each; then `end_round()`."""

    calls: Sequence[ToolCall]


@final
@frozen
class AskAgain:
    """Send the next request."""


@final
@frozen
class Finished:
    """The turn is settled; this is its answer."""

    text: str


Outcome: TypeAlias = RunTools | AskAgain | Finished


@final
@frozen(kw_only=True)
class Terms:
    """How a turn goes on.

    `max_iterations` is how many requests may call tools, at least 1. `continuation_prompt` is sent when a reply is
    empty (None: an empty reply is an answer). `reset` empties the history first.
    """

    max_iterations: int = 10
    continuation_prompt: str | None = None
    reset: bool = False


@final
@define(eq=False, kw_only=True)
class Turn:
    """One user message and all that answers it; see the theory of operation above.

    `staged` is what the next published iteration begins with. `options` are those of the first request. `tools` are
    the schemas that every request offers. `iteration` counts requests from 0; it is -1 before the first.
    """

    history: History
    staged: list[Message]
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    kind: Literal["chat", "generate"] = "chat"
    terms: Terms = Terms()
    on_settled: Callable[[Turn], object] | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    usage: Usage | None = field(default=None, init=False)
    iteration: int = field(default=-1, init=False)
    state: State = field(default=READY, init=False)
    _fed: list[Delta] = field(factory=list[Delta], init=False)
    _cut: Reply | None = field(default=None, init=False)  # a reply that is no answer
    _reply: Reply | None = field(default=None, init=False)
    _started: set[str] = field(factory=set[str], init=False)
    _results: dict[str, Message] = field(factory=dict[str, Message], init=False)

    # --- the events ---

    def next_request(self) -> Request:
        self._expect(READY)
        self.state = ASKED
        self.iteration += 1
        return Request(
            messages=[*self.history.messages, *self.staged], tools=self.tools, options=self._options(), kind=self.kind
        )

    def feed(self, delta: Delta) -> None:
        """Keep a streamed piece, in case that the turn is cut off."""
        self._fed.append(delta)

    def receive(self, reply: Reply | None) -> Outcome:
        """Take the reply to the request; None where the provider's stream ended without one.

        Raises:
            RefusedError: The model declined.
            TruncatedError: `max_tokens` cut the reply before it had text, or inside a call.
            TruncatedStreamError: There is no reply.
        """
        self._expect(ASKED)
        try:
            return self._received(reply)
        except BaseException:
            self.settle()
            raise

    def start(self, call: ToolCall) -> None:
        """Note that a tool begins to run; called directly before it does, on whatever thread it runs on."""
        self._expect(CALLING)
        self._started.add(call.id)

    def finish(self, call: ToolCall, content: str | Sequence[Mapping[str, Any]]) -> None:
        """Keep the result of a call; called directly after the tool ended."""
        self._results[call.id] = tool_message(call, content)

    def end_round(self) -> None:
        """Publish the iteration whose tools have run."""
        self._expect(CALLING)
        self._publish()
        self.state = READY

    def settle(self) -> None:
        """Publish what there is and free the conversation. Idempotent; the conversation is freed in any case."""
        if self.state is SETTLED:
            return
        self.state = SETTLED
        try:
            self._publish()
        finally:
            if self.on_settled is not None:
                self.on_settled(self)

    # --- what they mean ---

    def result(self, call: ToolCall) -> Message:
        """The result of a call of this round, or the truth about its absence."""
        found = self._results.get(call.id)
        return unanswered(call, started=call.id in self._started) if found is None else found

    def _expect(self, state: State) -> None:
        if self.state is not state:
            if self.state is SETTLED:
                raise StreamClosedError(
                    "this stream was closed while it was paused; its conversation has gone on without it"
                )
            raise AssertionError(f"the turn is {self.state.value}, not {state.value}")

    @property
    def _last(self) -> bool:
        """Whether the request is the one after the limit."""
        return self.iteration == self.terms.max_iterations

    def _options(self) -> Mapping[str, Any]:
        """A demanded tool is demanded once, and after the limit none may be called."""
        if self.tools and self._last:
            return {**self.options, "tool_choice": "none"}
        if self.iteration and self.options.get("tool_choice", "auto") not in ("auto", "none"):
            return {key: value for key, value in self.options.items() if key != "tool_choice"}
        return self.options

    def _received(self, reply: Reply | None) -> Outcome:
        if reply is None:
            raise TruncatedStreamError("the provider's stream ended without a reply")
        self._count(reply)
        self._refuse_half_answers(reply)
        self._reply = reply = _told_apart(reply)
        self.history.last_thinking = reply.thinking
        if reply.calls and self.iteration + 1 < self.terms.max_iterations:
            self.state = CALLING
            return RunTools(reply.calls)
        if not reply.calls and reply.stop_reason is not StopReason.PAUSED:
            prompt = self.terms.continuation_prompt
            if prompt is None or reply.text.strip():
                return self._finished(reply)
            self._reply = None  # an empty reply leaves no trace
            self._fed.clear()
            self.staged.append(user_message(prompt))
        if self._last:
            return self._finished(reply)
        self._publish()  # nothing, after an empty reply
        self.state = READY
        return AskAgain()

    def _finished(self, reply: Reply) -> Finished:
        self.settle()
        return Finished(reply.text)

    def _count(self, reply: Reply) -> None:
        history = self.history
        history.last_stop_reason = reply.stop_reason
        if reply.usage is not None:
            self.usage = reply.usage if self.usage is None else self.usage + reply.usage
            history.usage = reply.usage if history.usage is None else history.usage + reply.usage
        history.last_usage = self.usage

    def _refuse_half_answers(self, reply: Reply) -> None:
        """Raise for a reply that is no answer; the text that it has stays in the history, marked."""
        if reply.stop_reason is StopReason.REFUSED:
            self._cut = reply
            said = f": {reply.text}" if reply.text else ""
            raise RefusedError(f"the model declined to answer{said}", partial=reply.text, request_id=reply.request_id)
        if reply.stop_reason is StopReason.MAX_TOKENS:
            if reply.calls or not reply.text.strip():
                self._cut = reply
                where = "inside a tool call" if reply.calls else "before any text"
                raise TruncatedError(
                    f"max_tokens ended the turn {where}; raise max_tokens",
                    partial=reply.text,
                    request_id=reply.request_id,
                )
            log.warning("an answer was cut off by max_tokens; last_stop_reason says so")

    def _publish(self) -> None:
        if self._reply is not None:
            message: Message | None = assistant_message(self._reply)
            results = [self.result(call) for call in self._reply.calls]
        else:
            message, results = self._partial(), []
        if message is not None:
            self.history.messages.extend([*self.staged, message, *results])
            self.staged = []
        self._reply = None
        self._fed.clear()
        self._started.clear()
        self._results.clear()

    def _partial(self) -> Message | None:
        """What there is of a reply that did not come, or that is no answer."""
        if self._cut is not None:
            return interrupted_message(self._cut.text, self._cut.thinking)
        said = "".join(delta.text for delta in self._fed if delta.phase is not THINKING)
        return interrupted_message(said, "".join(delta.text for delta in self._fed if delta.phase is THINKING))


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
