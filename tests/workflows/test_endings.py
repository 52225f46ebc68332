"""Each way in which a run can end: what the answer or the error says, the stream, and the history."""

import logging
from contextlib import aclosing

import anyio
import pytest

import aimu
from aimu import agents, aio
from aimu._core.messages import check_history, text_of
from aimu.errors import EmptyAnswerError, IterationLimitError, MalformedResponseError, RefusedError, TruncatedError
from aimu.evals import Scorer
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from aimu.types import Answer, StopReason
from tests.workflows.models import model, read, system_of

TASK = "Do it."
CALL = [("look", {})]
WAYS = ["plain", "bare", "entered"]


@tool
async def look() -> str:
    """Look."""
    return "seen"


@tool
async def hang() -> str:
    """Hang."""
    await anyio.sleep_forever()
    raise AssertionError


def calls(name="look", text=""):
    return reply(text, calls=[(name, {})])


# The last replies of a writer that may call tools twice, and what they mean: the answer and its reason, or the error
# and what it has as `partial`; then the reason in the history, and the number of messages after the system message.
ENDS = {
    "normal": ([calls(), "Done."], "Done.", "end", None, 4),
    "stop sequence": ([reply("Done", stop_reason=StopReason.STOP_SEQUENCE)], "Done", "stop_sequence", None, 2),
    "cut": ([reply("Do", stop_reason=StopReason.MAX_TOKENS)], "Do", "max_tokens", "max_tokens", 2),
    "other": ([reply("Do", stop_reason=StopReason.OTHER)], "Do", "other", "other", 2),
    "other without text": (
        [calls(), reply(stop_reason=StopReason.OTHER)],
        MalformedResponseError,
        "",
        "interrupted",
        3,
    ),
    "limit with text": ([calls(), calls(), "So far."], "So far.", "iteration_limit", "iteration_limit", 6),
    "limit with text and calls": (
        [calls(), calls(), calls(text="So far.")],
        "So far.",
        "iteration_limit",
        "iteration_limit",
        7,
    ),
    "limit without text": (
        [calls(text="I look."), calls(), ""],
        IterationLimitError,
        "I look.",
        "iteration_limit",
        6,
    ),
    "limit with calls alone": ([calls(), calls(), calls()], IterationLimitError, "", "iteration_limit", 7),
    "paused at the limit": (
        [reply("So ", stop_reason=StopReason.PAUSED)] * 3,
        "So So So ",
        "iteration_limit",
        "iteration_limit",
        2,
    ),
    "paused": ([reply("So ", stop_reason=StopReason.PAUSED), "far."], "So far.", "end", None, 2),
    "empty, then text": (["", "Done."], "Done.", "end", None, 3),
    "empty": ([calls(), "", " "], EmptyAnswerError, None, "empty", 5),
    "empty at once": (["", ""], EmptyAnswerError, None, "empty", 3),
    "empty, calls, empty, text": (["", calls(), ""], IterationLimitError, "", "iteration_limit", 5),
    "refused": ([reply("No.", stop_reason=StopReason.REFUSED)], RefusedError, "No.", "refused", 2),
    "refused without text": ([calls(), reply(stop_reason=StopReason.REFUSED)], RefusedError, "", "refused", 3),
    "refused at once": ([reply(stop_reason=StopReason.REFUSED)], RefusedError, "", None, 0),
    "truncated": ([calls(), reply(stop_reason=StopReason.MAX_TOKENS)], TruncatedError, "", "max_tokens", 3),
    "truncated in a call": (
        [reply("I", calls=CALL, stop_reason=StopReason.MAX_TOKENS)],
        TruncatedError,
        "I",
        "max_tokens",
        2,
    ),
    "failed": ([calls(), ValueError("broken")], ValueError, None, "interrupted", 3),
}
LOGGED = {
    "iteration_limit": "at its limit of iterations",
    "max_tokens": "cut the answer off",
    "other": "ended the reply with",
}


def members(room, client):
    """Make the agents of a team; the one that writes is named `writer`."""

    def member(system, **fields):
        return room.Agent(client, system, system, continuation_prompt="Go on!", **fields)

    return member, member("writer", tools=[look, hang], max_iterations=2)


def runners(room, client):
    """Return a runner of each kind in which `writer` writes the answer."""
    member, writer = members(room, client)

    class Pleased(Scorer):
        def score(self, row):
            return 1.0, "good"

    return {
        "agent": writer,
        "chain": room.Chain([member("first"), writer]),
        "router": room.Router(member("sort"), {"writer": writer}),
        "parallel": room.Parallel([writer]),
        "race": room.Parallel([writer], first=1),
        "aggregator": room.Parallel([member("first")], aggregator=writer),
        "evaluator": room.EvaluatorOptimizer(writer, member("judge")),
        "plan": room.PlanExecuteEvaluator(member("first"), writer, Pleased()),
        "nested": room.Chain([room.Parallel([member("first")]), room.Chain([writer])]),
    }


KINDS = ["agent", "chain", "router", "parallel", "race", "aggregator", "evaluator", "plan", "nested"]
OTHERS = {"first": "First.", "sort": "writer", "judge": "PASS"}


def scripted(steps):
    queue = list(steps)

    def answer(request):
        if system_of(request) != "writer":
            return OTHERS[system_of(request)]
        step = queue.pop(0)
        return step(request) if callable(step) else step

    return ScriptedProvider(answer, repeat=True)


async def ended(runner, way, **options):
    """Run, and return the answer or the single error, and the chunks that were seen."""
    chunks = []
    try:
        if way == "plain":
            return await runner.run(TASK, **options), chunks
        stream = runner.run(TASK, stream=True, **options)
        async with stream if way == "entered" else aclosing(stream):
            async for chunk in stream:
                chunks.append(chunk)
        return stream.result, chunks
    except Exception as exc:
        while isinstance(exc, ExceptionGroup):
            [exc] = exc.exceptions
        return exc, chunks


def check_end(name, outcome, chunks, history, caplog):
    _, expected, reason, mark, length = ENDS[name]
    if isinstance(expected, str):
        assert (outcome, type(outcome), outcome.stop_reason) == (expected, Answer, StopReason(reason))
        assert outcome.new_messages[-1] is history[-1]
        if chunks:
            assert (str(chunks[-1].phase), chunks[-1].content, type(chunks[-1].content)) == ("done", expected, str)
        for logged, words in LOGGED.items():
            assert (words in caplog.text) == (logged == reason)
    else:
        assert type(outcome) is expected
        if reason is not None:
            assert outcome.partial == reason
        assert all(chunk.phase != "done" for chunk in chunks)
    check_history(history)
    assert len(history) == length + 1
    assert [message.get("stop_reason") for message in history] == [None] * length + [mark]
    assert {type(message["stop_reason"]) for message in history if "stop_reason" in message} <= {str}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
async def test_each_end_is_seen_on_the_answer_the_stream_and_the_history(kind, way, caplog):
    for name, (steps, *_) in ENDS.items():
        caplog.clear()
        runner = runners(aio, aio.client(scripted(steps)))[kind]
        with caplog.at_level(logging.WARNING, "aimu"):
            outcome, chunks = await ended(runner, way)
        check_end(name, outcome, chunks, runner.messages["writer"], caplog)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("streamed", [False, True])
def test_each_end_is_the_same_on_the_sync_surface(kind, streamed, caplog):
    for name, (steps, *_) in ENDS.items():
        caplog.clear()
        runner, chunks = runners(agents, aimu.client(scripted(steps)))[kind], []
        with caplog.at_level(logging.WARNING, "aimu"):
            try:
                if streamed:
                    with runner.run(TASK, stream=True) as stream:
                        chunks.extend(stream)
                    outcome = stream.result
                else:
                    outcome = runner.run(TASK)
            except Exception as exc:
                outcome = exc
                while isinstance(outcome, ExceptionGroup):
                    [outcome] = outcome.exceptions
        check_end(name, outcome, chunks, runner.messages["writer"], caplog)


@pytest.mark.virtual_time
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", ["timed out", "cancelled"])
async def test_a_run_that_is_cut_off_says_so_in_its_history(kind, way, cut):
    for steps, content, extra in (
        ([calls("hang")], "interrupted while it ran", {"status": "cancelled"}),
        ([calls(), reply("I see a", delay=3, pieces=4)], "I", {"interrupted": True}),
        ([calls(), reply("Late.", delay=10)], "seen", {}),
    ):
        if way == "plain" and extra.get("interrupted"):
            continue  # without a stream there is no text before the reply
        runner = runners(aio, aio.client(scripted(steps)))[kind]
        if cut == "timed out":
            outcome, chunks = await ended(runner, way, timeout=4)
            assert type(outcome) is TimeoutError
        else:
            with anyio.move_on_after(4) as scope:
                _, chunks = await ended(runner, way)
            assert scope.cancelled_caught
            chunks = []
        assert all(chunk.phase != "done" for chunk in chunks)
        history = runner.messages["writer"]
        check_history(history)
        last = history[-1]
        assert last["stop_reason"] == "interrupted"
        assert content in text_of(last)
        assert {key: last.get(key) for key in extra} == extra
        assert all("stop_reason" not in message for message in history[:-1])


@pytest.mark.parametrize("way", WAYS)
async def test_rounds_that_are_used_up_are_named(way, caplog):
    class Never(Scorer):
        def score(self, row):
            return len(row["output"]) / 100, "no"

    def build(client):
        member, writer = members(aio, client)
        return (
            aio.EvaluatorOptimizer(writer, member("never"), max_rounds=2),
            aio.PlanExecuteEvaluator(member("first"), writer, Never(), max_rounds=2),
            aio.Chain([aio.EvaluatorOptimizer(writer, member("never"), max_rounds=2)]),
        )

    for number in range(3):
        queue = ["Draft one.", reply("Two.", stop_reason=StopReason.MAX_TOKENS)]
        provider = model({"never": "No.", "first": "1. Do it.", "writer": queue})
        caplog.clear()
        with caplog.at_level(logging.WARNING, "aimu"):
            runner = build(aio.client(provider))[number]
            outcome, chunks = await ended(runner, way)
        assert outcome == ("Draft one." if number == 1 else "Two.")
        assert (outcome.stop_reason, outcome.agent) == (StopReason.ROUND_LIMIT, "writer")
        assert outcome.requests == 4
        assert "nothing passed in the 2 rounds of" in caplog.text
        if chunks:
            assert (str(chunks[-1].phase), chunks[-1].content) == ("done", outcome)
        history = runner.messages["writer"]
        assert [text_of(message) for message in history if message["role"] == "assistant"] == ["Draft one.", "Two."]
        assert history[-1]["stop_reason"] == "max_tokens"  # of the turn; the rounds are the workflow's
        assert "stop_reason" not in history[2]


@pytest.mark.parametrize("way", WAYS)
async def test_an_orchestrator_and_its_workers_end_as_agents_do(way):
    async def ends(lead, worker, **fields):
        provider = model({"lead": lead, "write": worker})
        writer = aio.Agent(aio.client(provider), "write", "write", tools=[look], max_iterations=1)
        team = aio.OrchestratorAgent.assemble(aio.client(provider), "lead", workers=[writer])
        team.agent.max_iterations = 1
        return (*await ended(team, way), team.messages)

    call = reply(calls=[("write", {"task": "Go."})])
    answer, _, histories = await ends([call, "So far."], ["Done."])
    assert (answer, answer.stop_reason) == ("So far.", StopReason.ITERATION_LIMIT)
    assert histories["orchestrator"][-1]["stop_reason"] == "iteration_limit"
    error, _, histories = await ends([call, ""], ["Done."])
    assert type(error) is IterationLimitError
    error, _, histories = await ends(["", ""], ["Done."])
    assert type(error) is EmptyAnswerError
    assert histories["orchestrator"][-1]["stop_reason"] == "empty"


@pytest.mark.parametrize("way", WAYS)
async def test_an_empty_answer_of_a_chat_is_an_answer(way, caplog):
    client = aio.client(ScriptedProvider(reply("", thinking="hm"), " ", "Next."))

    async def chat(method):
        if way == "plain":
            return await method("Go.")
        stream = method("Go.", stream=True)
        async with stream if way == "entered" else aclosing(stream):
            await read(stream)
        return stream.result

    with caplog.at_level(logging.WARNING, "aimu"):
        answer = await chat(client.chat)
    assert (answer, answer.stop_reason, client.last_stop_reason) == ("", StopReason.EMPTY, StopReason.EMPTY)
    assert "the model's answer is empty" in caplog.text
    assert client.messages[-1] == {"role": "assistant", "content": "", "thinking": "hm", "stop_reason": "empty"}
    answer = await chat(client.generate)
    assert (answer, answer.stop_reason, len(client.messages)) == (" ", StopReason.EMPTY, 2)
    assert await chat(client.chat) == "Next."
    assert "stop_reason" not in client.messages[-1]


async def test_a_run_after_each_end_goes_on_and_leaves_the_marks():
    for name, (steps, *_) in ENDS.items():
        client = aio.client(scripted([*steps, "Next.", "Resumed."]))
        _, writer = members(aio, client)
        await ended(writer, "plain")
        before = list(writer.history)
        assert await writer.run("Next?") == "Next."
        assert writer.history[: len(before)] == before, name
        writer.history = before
        if "stop_reason" in before[-1]:
            answer = await writer.resume()
            prompted = before[-1]["role"] == "assistant"
            assert answer == "Resumed."
            assert [message["content"] for message in answer.new_messages] == ["Go on!"] * prompted + ["Resumed."]
