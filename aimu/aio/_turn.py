"""One turn as a state machine without I/O: builds the requests, interprets the replies, and publishes to the history.

A turn is one user message and everything that answers it. The turn never waits: a driver sends the requests, runs the
tools, and reports the results to the turn. The conversation decides who may begin a turn; the providers decide how a
request looks on the wire.

Theory of operation
-------------------
States::

    READY     the next request can be built
    ASKED     a request is in flight; deltas are kept in case no reply follows
    CALLING   the reply asks for tool calls; their results are being collected
    CHECKING  the reply is an answer that must have a type; the driver checks it
    SETTLED   the turn is over, and the conversation is free

Events::

    READY    next_request()                    -> ASKED     returns the request: published plus staged messages
    ASKED    feed(delta)                       -> ASKED
    ASKED    receive(reply), where the reply
               asks for tools                  -> CALLING   RunTools
               asks for tools at the limit     -> READY     AskAgain   publishes; marks the calls "not executed"
               is partial (PAUSED)             -> READY     AskAgain   keeps the part; the next reply is added to it
               is empty, and a continuation
                 prompt is set                 -> READY     AskAgain   drops the reply, stages the prompt, once
               is empty again after the prompt -> SETTLED   raises     publishes
               answers, and a type is expected -> CHECKING  CheckOutput
               has text, or is empty and no
                 prompt is set                 -> SETTLED   Finished   publishes
               answers the request after the
                 limit, and has text           -> SETTLED   Finished   publishes
                 limit, and has none           -> SETTLED   raises     publishes
               is missing, refused, truncated  -> SETTLED   raises     publishes its text, marked as interrupted
    CALLING  start(call), finish(call, ...)    -> CALLING
    CALLING  end_iteration(), where the reply
               only asked for tools            -> READY     AskAgain   publishes
               also gave the final answer      -> CHECKING  CheckOutput   publishes
    CHECKING accept(value)                     -> SETTLED   Finished   publishes
    CHECKING reject(reasons)                   -> READY     AskAgain   publishes; stages the reasons
             after the last retry              -> SETTLED   raises     publishes
    any      settle()                          -> SETTLED              publishes what there is; frees the conversation

A paused answer: the service wants its part back as it is, as the last message, and continues it. The parts add up to
one message. Until then nothing of it is published, because a call of the service's own tool may wait in it for its
result, and services refuse a history with such a call.

The limit: `max_iterations` requests may call tools. One more request, with `tool_choice="none"`, asks for the answer.

A typed answer: `means` holds the model to it, and the driver checks it. What does not fit stays in the history, and the
reasons follow as a user message. Such requests do not count as iterations. An answer that came as the arguments of the
output tool is published as text, after the calls beside it.

Publishing: a turn stages messages and publishes each iteration with a single `extend`: the staged messages, the
assistant message, and one result for each of its calls. The history is therefore valid at every instant, even between
two statements of a driver, and published messages never change. The last message of a turn that did not end normally
has the reason as `"stop_reason"`; a message that was published before the turn ended is replaced by one that has it.
The result of an unfinished call says what happened:
"not executed" if the call never started, "cancelled" if it did. Text that arrived without a complete reply is published
as interrupted. A turn with nothing to publish leaves no trace.

After `settle()`, `next_request`, `receive`, `start` and `end_iteration` raise StreamClosedError, so that no tool starts
after the history has recorded it as not executed; a late delta or result is dropped. In any other wrong state these
four raise AssertionError: the driver has a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, final

from attrs import define, evolve, field

from aimu._core.chunks import StreamingContentType
from aimu._core.messages import (
    Message,
    assistant_message,
    interrupted_message,
    text_of,
    tool_message,
    unanswered,
    user_message,
    with_text,
)
from aimu._core.reply import NORMAL, Delta, Reply, StopReason, ToolCall, Usage, joined, with_unique_ids
from aimu._output._expected import correction
from aimu.aio._ending import ending, is_blank, unusable
from aimu.aio._history import History
from aimu.aio._means import Means
from aimu.aio._outcome import AskAgain, CheckOutput, Finished, Outcome, RunTools, Terms
from aimu.errors import OutputError, StreamClosedError, TruncatedStreamError
from aimu.providers._base import Request

THINKING = StreamingContentType.THINKING


@final
class State(Enum):
    READY = "ready"
    ASKED = "asked"
    CALLING = "calling"
    CHECKING = "checking"
    SETTLED = "settled"


READY, ASKED, CALLING, CHECKING, SETTLED = State


@final
@define(eq=False, kw_only=True)
class Turn:
    """One user message and everything that answers it; see the theory of operation above.

    `staged` has the messages that the next published iteration begins with. `options` are the options of the first
    request. `tools` are the schemas that every request offers. `means` holds the model to the type of the answer; None
    if any text will do. `iteration` counts requests from 0; it is -1 before the first one. `retried` counts those that
    asked for another answer. `published` has the messages that the turn has added to the history. `stop_reason` says
    why the turn ended, and is INTERRUPTED until it has. `model` is that of the last reply.
    """

    history: History
    staged: list[Message]
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    kind: Literal["chat", "generate"] = "chat"
    terms: Terms = field(factory=Terms)
    on_settled: Callable[[Turn], object] | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    means: Means | None = field(default=None, init=False)
    retried: int = field(default=0, init=False)
    usage: Usage | None = field(default=None, init=False)
    published: list[Message] = field(factory=list[Message], init=False)
    stop_reason: StopReason = field(default=StopReason.INTERRUPTED, init=False)
    model: str | None = field(default=None, init=False)
    iteration: int = field(default=-1, init=False)
    state: State = field(default=READY, init=False)
    _prompted: bool = field(default=False, init=False)  # whether the last reply was empty
    _paused: Reply | None = field(default=None, init=False)  # the parts of a paused answer so far
    _fed: list[tuple[StreamingContentType, str]] = field(factory=list, init=False)
    _unusable: Reply | None = field(default=None, init=False)  # a refused or truncated reply
    _reply: Reply | None = field(default=None, init=False)
    _output: str | None = field(default=None, init=False)  # the final answer, until the calls beside it have ended
    _started: set[str] = field(factory=set[str], init=False)
    _results: dict[str, Message] = field(factory=dict[str, Message], init=False)

    # --- events ---

    def next_request(self) -> Request:
        self._expect(READY)
        self.state = ASKED
        self.iteration += 1
        messages = self.messages()
        if self._paused is not None:
            messages.append(assistant_message(self._paused))
        tools, options, output = self.tools, self._options(), None
        if self.means is not None:
            tools, options = self.means.applied(tools, options, last=self._last)
            output = self.means.output
        return Request(messages=messages, tools=tools, options=options, output=output, kind=self.kind)

    def messages(self) -> list[Message]:
        """Return the messages that the reply of this iteration answers: published plus staged ones."""
        return [*self.history.messages, *self.staged]

    def hold(self, means: Means) -> None:
        """Hold the model to the type of the answer by these means, from the first request on."""
        self.means = means
        if means.instruction:
            message = self.staged.pop() if self.staged else user_message("")
            self.staged.append(with_text(message, means.instruction))

    def feed(self, delta: Delta) -> None:
        """Keep a delta in case the turn is interrupted before its reply."""
        self._fed.append((delta.phase, delta.text))  # not the delta, which a provider may use again

    def receive(self, reply: Reply | None) -> Outcome:
        """Process the reply to the request and return what the driver must do next.

        Args:
            reply: The reply; None if the provider's stream ended without one.

        Raises:
            RefusedError: The model declined to answer.
            TruncatedError: `max_tokens` ended the reply before any text, inside a tool call, or inside a typed answer.
            TruncatedStreamError: There is no reply.
            IterationLimitError: The answer to the request after the limit has no text.
            EmptyAnswerError: The reply has no text again after the continuation prompt.
        """
        self._expect(ASKED)
        try:
            return self._received(reply)
        except BaseException:
            self.settle()
            raise

    @property
    def draft(self) -> str:
        """The text of the reply that is arriving."""
        return "".join(text for phase, text in self._fed if phase is not THINKING)

    def start(self, call: ToolCall) -> None:
        """Record that a tool starts; call this directly before it does, on the thread that runs it."""
        self._expect(CALLING)
        self._started.add(call.id)

    def finish(self, call: ToolCall, content: str | Sequence[Mapping[str, Any]]) -> None:
        """Keep the result of a call; call this directly after the tool has ended."""
        self._results[call.id] = tool_message(call, content)

    def end_iteration(self) -> Outcome:
        """Publish the iteration once its tools have run, and return what the driver must do next."""
        self._expect(CALLING)
        self._publish()
        if self._output is not None:
            return self._check(Reply(text=self._output))
        self.state = READY
        return AskAgain()

    def accept(self, value: Any) -> Finished:
        """End the turn with the answer, which has this value."""
        self._expect(CHECKING)
        assert self._reply is not None
        return evolve(self._finished(self._reply), output=value)

    def reject(self, reasons: Sequence[str]) -> AskAgain:
        """Ask for another answer, because this one does not have the expected type.

        Raises:
            OutputError: The model has given as many answers as it may.
        """
        self._expect(CHECKING)
        if self.means is None or self.retried == self.means.retries:
            said = "" if self._reply is None else self._reply.text
            self.stop_reason = self.history.last_stop_reason = StopReason.INVALID_OUTPUT
            self.settle()
            raise OutputError(said, reasons, attempts=self.retried + 1)
        self.retried += 1
        self._publish()
        self.staged.append(user_message(correction(reasons)))
        self.state = READY
        return AskAgain()

    def settle(self) -> None:
        """Publish what there is and free the conversation, even if publishing fails. Idempotent."""
        if self.state is SETTLED:
            return
        self.state = SETTLED
        try:
            self._publish()
        finally:
            if self.on_settled is not None:
                self.on_settled(self)

    # --- decisions ---

    def result(self, call: ToolCall) -> Message:
        """Return the result of a call of this iteration, or a message that says why there is none."""
        found = self._results.get(call.id)
        return unanswered(call, started=call.id in self._started) if found is None else found

    def _expect(self, state: State) -> None:
        if self.state is not state:
            if self.state is SETTLED:
                raise StreamClosedError(
                    "this stream was closed while it was paused, and its turn has ended; start a new run"
                )
            raise AssertionError(f"the turn is {self.state.value}, not {state.value}")

    @property
    def _last(self) -> bool:
        """Whether this is the request after the limit, which may not call tools."""
        return self.iteration - self.retried == self.terms.max_iterations

    def _options(self) -> Mapping[str, Any]:
        """Return the options of the next request.

        Only the first request forces a tool call; after the limit, no tool may be called.
        """
        if self.tools and self._last:
            return {**self.options, "tool_choice": "none"}
        if self.iteration and self.options.get("tool_choice", "auto") not in ("auto", "none"):
            return {key: value for key, value in self.options.items() if key != "tool_choice"}
        return self.options

    def _received(self, reply: Reply | None) -> Outcome:
        if reply is None:
            raise TruncatedStreamError("the provider's stream ended without a reply")
        self._count(reply)
        if self._paused is not None:
            reply = joined([self._paused, reply])
        if (refused := unusable(reply, typed=self.means is not None)) is not None:
            self._unusable, self.stop_reason = reply, reply.stop_reason  # its text stays, marked as interrupted
            raise refused
        if reply.stop_reason is StopReason.PAUSED and not reply.calls:
            return self._pause(reply)
        self._reply = reply = with_unique_ids(reply)
        self.history.last_thinking = reply.thinking
        self._prompted = self._prompted and not reply.calls
        if reply.final and reply.calls:
            self._output, self._reply = reply.text, evolve(reply, text="")
        if reply.calls and self.iteration - self.retried + 1 < self.terms.max_iterations:
            self.state = CALLING
            return RunTools(reply.calls)
        if self._output is not None:
            self._publish()  # the calls beside the answer are not executed
            return self._check(Reply(text=self._output))
        if self.means is not None and (not reply.calls or self._last):
            return self._check(reply)
        prompt = self.terms.continuation_prompt
        if self._last:
            return self._finished(reply)
        if reply.calls:  # at the limit
            self._publish()
        elif prompt is not None and not self._prompted and is_blank(reply):
            self._prompted = True
            self._reply = self._paused = None  # an empty reply leaves no trace
            self._fed.clear()
            self.staged.append(user_message(prompt))
        else:
            return self._finished(reply)
        self.state = READY
        return AskAgain()

    def _check(self, reply: Reply) -> CheckOutput:
        self._reply, self._output = reply, None
        self.state = CHECKING
        return CheckOutput(reply.text)

    def _pause(self, reply: Reply) -> Outcome:
        """Keep the parts of a paused answer and ask for the next one; at the limit, end the turn with what there is."""
        self.history.last_thinking = reply.thinking
        self._fed.clear()
        if not self._last:
            self._paused = reply
            self.state = READY
            return AskAgain()
        # Without `replay`, in which a call of the service's own tool may wait for its result.
        self._reply, self._paused = None if is_blank(reply) else evolve(reply, replay={}), None
        return self._finished(reply)

    def _finished(self, reply: Reply) -> Finished:
        """End the turn with a reply, or raise if it is no answer."""
        limit = self.terms.max_iterations if self._last else None
        self.stop_reason, failure = ending(reply, limit=limit, prompted=self._prompted, said=self._said)
        self.history.last_stop_reason = self.stop_reason
        if failure is not None:
            raise failure
        self.settle()
        return Finished(reply.text)

    def _said(self) -> str:
        """Return the last text of the model in this turn; "" if it wrote none."""
        texts = (text_of(message) for message in reversed(self.published) if message["role"] == "assistant")
        return next((text for text in texts if text.strip()), "")

    def _count(self, reply: Reply) -> None:
        history = self.history
        history.last_stop_reason = reply.stop_reason
        self.model = reply.model
        if reply.usage is not None:
            self.usage = reply.usage if self.usage is None else self.usage + reply.usage
            history.usage = reply.usage if history.usage is None else history.usage + reply.usage
        history.last_usage = self.usage

    def _publish(self) -> None:
        odd = self.state is SETTLED and self.stop_reason not in NORMAL
        if self._reply is not None:
            message: Message | None = assistant_message(self._reply)
            results = [self.result(call) for call in self._reply.calls]
        else:
            message, results = self._partial(), []
        if message is not None:
            block = [*self.staged, message, *results]
            if odd:
                block[-1]["stop_reason"] = str(self.stop_reason)
            self.history.messages.extend(block)
            self.published.extend(block)
            self.staged = []
        elif odd and self.published and self.published[-1] is self.history.messages[-1]:
            last = {**self.published[-1], "stop_reason": str(self.stop_reason)}
            self.history.messages[-1] = self.published[-1] = last
        self._reply = self._paused = None
        self._fed.clear()
        self._started.clear()
        self._results.clear()

    def _partial(self) -> Message | None:
        """Return what there is of a missing, refused or truncated reply."""
        if self._unusable is not None:
            return interrupted_message(self._unusable.text, self._unusable.thinking)
        before = self._paused or Reply()
        thought = "".join(text for phase, text in self._fed if phase is THINKING)
        return interrupted_message(before.text + self.draft, before.thinking + thought)
