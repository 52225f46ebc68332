"""The state machine of the turn: all transitions, without an event loop; what it publishes is valid and true."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimu._core.chunks import StreamingContentType
from aimu._core.messages import CANCELLED, NOT_EXECUTED, check_history, user_message
from aimu._core.reply import Delta, Reply, StopReason, ToolCall, Usage
from aimu.aio._history import History
from aimu.aio._turn import AskAgain, Finished, RunTools, State, Terms, Turn
from aimu.errors import (
    EmptyAnswerError,
    IterationLimitError,
    RefusedError,
    StreamClosedError,
    TruncatedError,
    TruncatedStreamError,
)

ADD = {"type": "function", "function": {"name": "add", "parameters": {}}}
PHASES = st.sampled_from([StreamingContentType.THINKING, StreamingContentType.GENERATING])
TEXTS = st.sampled_from(["", " ", "Yes.", "One two."])
CALLS = st.lists(
    st.builds(ToolCall, st.sampled_from(["a", "b"]), st.just("add"), st.sampled_from(["{}", "{"])),
    min_size=1,
    max_size=3,
).map(tuple)
USAGES = st.sampled_from([None, Usage(input=1)])
ANSWERS = st.builds(Reply, text=TEXTS, thinking=TEXTS, usage=USAGES)
ROUNDS = st.builds(Reply, text=TEXTS, thinking=TEXTS, usage=USAGES, calls=CALLS)
ODD = st.builds(
    Reply,
    text=TEXTS,
    thinking=TEXTS,
    usage=USAGES,
    calls=st.just(()) | CALLS,
    stop_reason=st.sampled_from([StopReason.REFUSED, StopReason.MAX_TOKENS, StopReason.PAUSED]),
)
ENDS = ("empty", "iteration_limit")  # what the turn itself says
# Values of an enum of a later version, or of a user's provider.
UNKNOWN = st.builds(Reply, text=TEXTS, calls=st.just(()) | CALLS, stop_reason=st.sampled_from(["unknown", None]))


def turn_of(history=None, **fields):
    terms = Terms(**{key: fields.pop(key) for key in ("max_iterations", "continuation_prompt") if key in fields})
    history = History() if history is None else history
    return Turn(history=history, staged=[user_message("Do it.")], terms=terms, **fields)


class Turns:
    """Runs turns one after another on one history, and records what happened."""

    def __init__(self, draw):
        self.draw = draw
        self.history = History()
        self.history.clear(draw(st.sampled_from([None, "Be brief."])))
        self.turn = None
        self.published = []  # the history as it was after the last step
        self.started, self.finished = set(), {}  # calls of this iteration
        self.asked = self.freed = 0
        self.check()

    def step(self):
        events = {
            None: [self.begin],
            State.READY: [self.ask] * 6 + [self.settle],
            State.ASKED: [self.feed] * 3 + [self.receive] * 4 + [self.receive_nothing, self.settle],
            State.CALLING: [self.start] * 3 + [self.finish] * 3 + [self.end_iteration] * 3 + [self.settle],
            State.SETTLED: [self.settle, self.leave],
        }
        self.draw(st.sampled_from(events[self.turn and self.turn.state]))()
        self.check()

    # --- events ---

    def begin(self):
        tool_choice = self.draw(st.sampled_from([None, "auto", "none", "required", "add"]))
        self.turn = turn_of(
            self.history,
            max_iterations=self.draw(st.integers(1, 4)),
            continuation_prompt=self.draw(st.sampled_from([None, "Go on."])),
            options={} if tool_choice is None else {"tool_choice": tool_choice},
            tools=(ADD,) * self.draw(st.integers(0, 1)),
            on_settled=self.free,
        )
        self.asked, self.before = 0, len(self.history.messages)
        self.paused = None  # the text of the parts of a paused answer
        self.prompted, self.reason = False, "interrupted"

    def free(self, turn):
        assert turn is self.turn
        self.freed += 1

    def ask(self):
        request = self.turn.next_request()
        assert self.turn.iteration == self.asked
        self.asked += 1
        check_history(request.messages)
        assert request.messages[: len(self.history.messages)] == self.history.messages
        if self.paused is not None:
            assert request.messages[-1]["content"] == self.paused
        assert request.messages[-1]["role"] in ("user", "tool", "assistant")
        choice = request.options.get("tool_choice")
        if self.turn.tools and self.turn.iteration == self.turn.terms.max_iterations:
            assert choice == "none"
        else:
            given = self.turn.options.get("tool_choice")
            demanded_again = self.turn.iteration and given in ("required", "add")
            assert choice == (None if demanded_again else given)
        assert request.tools == self.turn.tools
        self.fed = []

    def feed(self):
        phase, text = self.draw(PHASES), self.draw(TEXTS)
        self.turn.feed(Delta(phase, text))
        if phase is StreamingContentType.GENERATING:
            self.fed.append(text)

    def receive(self):
        reply = self.draw(self.draw(st.sampled_from([ANSWERS, ROUNDS, ROUNDS, ODD, UNKNOWN])))
        turn, used = self.turn, self.turn.usage
        calls, stop_reason, usage = reply.calls, reply.stop_reason, reply.usage
        text = (self.paused or "") + reply.text
        last = turn.iteration == turn.terms.max_iterations
        if stop_reason is StopReason.REFUSED:
            self.is_refused(RefusedError, reply, text)
        elif stop_reason is StopReason.MAX_TOKENS and (calls or not text.strip()):
            self.is_refused(TruncatedError, reply, text)
        elif calls:
            self.is_called(reply, last, text)
        elif stop_reason is StopReason.PAUSED and not last:
            assert isinstance(turn.receive(reply), AskAgain)
            assert self.history.messages == self.published
            self.paused = text
        elif not (last or text.strip() or self.prompted or turn.terms.continuation_prompt is None):
            assert isinstance(turn.receive(reply), AskAgain)
            assert self.history.messages == self.published
            self.prompted, self.paused = True, None
        else:
            self.is_answered(reply, last, text)
        expected = StopReason(self.reason) if turn.state is State.SETTLED and self.reason in ENDS else stop_reason
        assert self.history.last_stop_reason is expected
        assert turn.usage == (used if usage is None else usage if used is None else used + usage)
        assert self.history.last_usage == turn.usage

    def is_answered(self, reply, last, text):
        """The turn ends with this reply, which has no calls."""
        paused, error = reply.stop_reason is StopReason.PAUSED, None
        self.reason = str(reply.stop_reason)
        if not text.strip() and (self.prompted or not last):
            self.reason, error = "empty", EmptyAnswerError if self.prompted else None
        elif last:
            self.reason, error = "iteration_limit", None if text.strip() else IterationLimitError
        self.ends(reply, error, text)
        if paused and not text.strip():
            assert not self.new
        else:
            assert self.new[-1]["content"] == text
            assert "interrupted" not in self.new[-1]

    def ends(self, reply, error, text):
        if error is None:
            assert self.turn.receive(reply) == Finished(text)
        else:
            said = [message["content"] for message in self.turn.published if message["role"] == "assistant"]
            with pytest.raises(error) as caught:
                self.turn.receive(reply)
            if error is IterationLimitError:
                assert caught.value.partial == next((given for given in reversed(said) if given.strip()), "")
        assert self.turn.state is State.SETTLED

    def is_refused(self, error, reply, text):
        with pytest.raises(error) as caught:
            self.turn.receive(reply)
        self.reason = str(reply.stop_reason)
        assert caught.value.partial == text
        assert self.turn.state is State.SETTLED
        self.expect_interrupted(text)

    def is_called(self, reply, last, text):
        self.prompted = False
        if last:
            self.reason = "iteration_limit"
            self.ends(reply, None if text.strip() else IterationLimitError, text)
        elif isinstance(outcome := self.turn.receive(reply), RunTools):
            assert self.turn.iteration + 1 < self.turn.terms.max_iterations
            assert [(call.name, call.arguments) for call in outcome.calls] == [
                ("add", c.arguments) for c in reply.calls
            ]
            assert len({call.id for call in outcome.calls}) == len(reply.calls)
            assert self.history.messages == self.published
            self.calls, self.started, self.finished = outcome.calls, set(), {}
            self.text = text
        else:
            assert isinstance(outcome, AskAgain)
        if self.turn.iteration + 1 >= self.turn.terms.max_iterations:
            assert [message["status"] for message in self.new if message["role"] == "tool"] == [NOT_EXECUTED] * len(
                reply.calls
            )
        self.paused = None

    def receive_nothing(self):
        with pytest.raises(TruncatedStreamError):
            self.turn.receive(None)
        self.expect_interrupted((self.paused or "") + "".join(self.fed))

    def start(self):
        call = self.draw(st.sampled_from(self.calls))
        if call.id not in self.started:
            self.turn.start(call)
            self.started.add(call.id)

    def finish(self):
        """End a call, in any order; an invalid call ends without a start."""
        call = self.draw(st.sampled_from(self.calls))
        content = self.draw(st.sampled_from(["5", [{"type": "text", "text": "5"}]]))
        if call.id not in self.finished:
            self.turn.finish(call, content)
            self.finished[call.id] = content
            assert self.turn.result(call)["content"] == content

    def end_iteration(self):
        self.turn.end_iteration()
        assert self.turn.state is State.READY
        self.expect_results()

    def settle(self):
        state = self.turn.state
        self.turn.settle()
        if state is State.CALLING:
            self.expect_results()
        elif state is State.ASKED:
            self.expect_interrupted((self.paused or "") + "".join(self.fed))
        elif state is State.READY and self.paused is not None:
            self.expect_interrupted(self.paused)
        elif state is State.SETTLED:
            assert self.history.messages == self.published
        else:
            assert not self.new

    def leave(self):
        """Check that an ended turn refuses every event but `settle` and a late result, and changes nothing."""
        call = ToolCall("late", "add", "{}")
        for event in (
            self.turn.next_request,
            self.turn.end_iteration,
            lambda: self.turn.receive(Reply(text="Late.")),
            lambda: self.turn.start(call),
        ):
            with pytest.raises(StreamClosedError):
                event()
        self.turn.feed(Delta(StreamingContentType.GENERATING, "late"))
        self.turn.finish(call, "late")
        self.turn.settle()
        assert self.freed == 1
        assert self.history.messages == self.published
        self.turn, self.freed = None, 0

    # --- what holds ---

    def is_in(self, state):
        return self.turn is not None and self.turn.state is state

    @property
    def new(self):
        """Return what the step has published."""
        return self.history.messages[len(self.published) :]

    def expect_interrupted(self, text):
        if text.strip():
            assert self.new[-1]["content"] == text
            assert self.new[-1]["interrupted"] is True
        else:
            assert not self.new

    def expect_results(self):
        results = [message for message in self.new if message["role"] == "tool"]
        assert [message["tool_call_id"] for message in results] == [call.id for call in self.calls]
        for message in results:
            name = message["tool_call_id"]
            if name in self.finished:
                assert (message["content"], message.get("status")) == (self.finished[name], None)
            else:
                assert message["status"] == (CANCELLED if name in self.started else NOT_EXECUTED)
        assert self.history.messages[-len(results) - 1]["content"] == self.text

    def check(self):
        """Check that the history is valid, keeps what was published, and has an answer to each user message."""
        check_history(self.history.messages)
        kept = self.history.messages[: len(self.published)]
        if self.is_in(State.SETTLED) and self.turn.published:
            assert self.turn.published == self.history.messages[self.before :]
            assert str(self.turn.stop_reason) == self.reason
            marks = [message.get("stop_reason") for message in self.turn.published]
            mark = None if self.reason in ("end", "stop_sequence") else self.reason
            assert marks == [None] * (len(marks) - 1) + [mark]
            if kept and kept[-1] is self.turn.published[-1]:  # the only one that is replaced
                kept[-1] = {key: kept[-1][key] for key in self.published[-1]}
        assert kept == self.published
        self.published = json.loads(json.dumps(self.history.messages))
        assert self.freed == self.is_in(State.SETTLED), "the conversation is free exactly when the turn is settled"
        if self.turn is not None and len(self.history.messages) > self.before:
            first, *rest = self.history.messages[self.before :]
            assert first == {"role": "user", "content": "Do it."}
            assert rest[-1]["role"] != "user"
            assert first not in rest


@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_the_history_is_valid_and_true_whatever_happens_in_a_turn(data):
    turns = Turns(data.draw)
    for _ in range(40):
        turns.step()


def test_an_event_in_the_wrong_state_raises():
    turn = turn_of()
    call = ToolCall("a", "add", "{}")
    for wrong in (lambda: turn.receive(Reply()), lambda: turn.start(call), turn.end_iteration):
        with pytest.raises(AssertionError, match="ready"):
            wrong()
    turn.next_request()
    with pytest.raises(AssertionError, match="asked"):
        turn.next_request()
    turn.receive(Reply(calls=(call,)))
    with pytest.raises(AssertionError, match="calling"):
        turn.receive(Reply())
    turn.settle()


def test_settling_frees_the_conversation_even_if_publishing_raises():
    freed = []
    turn = turn_of(on_settled=freed.append)
    turn.next_request()
    turn.feed(Delta(StreamingContentType.GENERATING, "Some text"))
    turn.history.messages = None  # broken by a user
    with pytest.raises(AttributeError):
        turn.settle()
    assert freed == [turn]
    turn.settle()
    assert freed == [turn]


def test_an_invalid_reply_settles_the_turn():
    turn = turn_of()
    turn.next_request()
    with pytest.raises(AttributeError):
        turn.receive("no reply")
    assert turn.state is State.SETTLED
    assert turn.history.messages == []


def test_a_paused_reply_without_text_at_the_limit_replaces_what_was_streamed():
    turn = turn_of(max_iterations=1)
    turn.next_request()
    turn.receive(Reply(text="First.", calls=(ToolCall("a", "add", "{}"),)))
    turn.next_request()
    turn.feed(Delta(StreamingContentType.GENERATING, "Yes."))
    with pytest.raises(IterationLimitError) as caught:
        turn.receive(Reply(stop_reason=StopReason.PAUSED))
    assert caught.value.partial == "First."
    assert [message.get("content") for message in turn.history.messages if message["role"] == "assistant"] == ["First."]
