"""Replies and deltas of a user's own provider: checked before they reach a history; a bad one leaves no trace."""

import json
import logging

import pytest

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio._run import RunState
from aimu.errors import MalformedResponseError
from aimu.models._spec import ModelSpec
from aimu.types import Delta, Reply, StopReason, StreamingContentType, ToolCall, Usage
from tests.served import streamed

TEXT, DONE = StreamingContentType.GENERATING, StreamingContentType.DONE


class Own:
    """A provider whose first answer is `pieces`; later ones are right."""

    spec = ModelSpec("m", "own")

    def __init__(self, *pieces):
        self.pieces, self.asked = pieces, 0

    def answer(self):
        self.asked += 1
        return self.pieces if self.asked == 1 else (Reply(text="Yes."),)

    async def complete(self, request):
        return self.answer()[-1]

    async def stream(self, request):
        for piece in self.answer():
            yield piece

    async def aclose(self):
        pass


def called(*, id="c", name="f", arguments="{}"):
    return Reply(calls=(ToolCall(id, name, arguments),))


REPLIES = {
    "no Reply": "Yes.",
    "None": None,
    "text None": Reply(text=None),
    "text bytes": Reply(text=b"Yes."),
    "thinking None": Reply(text="x", thinking=None),
    "refusal None": Reply(text="x", refusal=None),
    "replay None": Reply(text="x", replay=None),
    "replay a list": Reply(text="x", replay=[1]),
    "replay with a key that is no str": Reply(text="x", replay={1: 2}),
    "replay that takes the place of the role": Reply(text="x", replay={"role": "user"}),
    "replay that adds calls": Reply(text="x", replay={"tool_calls": [{}]}),
    "calls None": Reply(calls=None),
    "calls as dicts": Reply(calls=({"id": "c", "name": "f"},)),
    "id None": called(id=None),
    "name a number": called(name=3),
    "arguments a dict": called(arguments={"a": 1}),
    "arguments None": called(arguments=None),
    "stop reason None": Reply(text="x", stop_reason=None),
    "stop reason a list": Reply(text="x", stop_reason=[]),
    "usage a dict": Reply(text="x", usage={"input": 1}),
    "usage in text": Reply(text="x", usage=Usage(input="1")),
    "model a number": Reply(text="x", model=4),
    "request id a number": Reply(text="x", request_id=4),
}
STREAMS = {
    "delta text None": (Delta(TEXT, None), Reply(text="x")),
    "delta text bytes": (Delta(TEXT, b"x"), Reply(text="x")),
    "delta of another phase": (Delta(DONE, "x"), Reply(text="x")),
    "delta phase None": (Delta(None, "x"), Reply(text="x")),
    "a str": ("x", Reply(text="x")),
    "bytes": (b"x", Reply(text="x")),
    "a second reply": (Reply(text="x"), Reply(text="x")),
    "a delta after the reply": (Delta(TEXT, "x"), Reply(text="x"), Delta(TEXT, "y")),
    "another text": (Delta(TEXT, "x"), Reply(text="y")),
}


async def refused(pieces, run):
    """Ask twice: the first answer is refused, the second is right, and nothing of the first harms it."""
    provider = Own(*pieces)
    async with aio.client(provider, tools=[f]) as client:
        with pytest.raises(MalformedResponseError):
            await run(client)
        assert not client.conversation.busy
        check_history(json.loads(json.dumps(client.messages)))
        assert provider.asked == 1
        assert await client.chat("Go.") == "Yes."
        agent = aio.Agent(aio.client(Own(*pieces)), name="a")
        with pytest.raises(MalformedResponseError):
            await run(agent)
        assert await agent.run("Go.") == "Yes."


def f() -> str:
    """Do it."""
    return "done"


async def plainly(runner):
    return await (runner.run("Go.") if isinstance(runner, aio.Agent) else runner.chat("Go."))


async def bare(runner):
    stream = await (
        runner.run("Go.", stream=True) if isinstance(runner, aio.Agent) else runner.chat("Go.", stream=True)
    )
    async for _ in stream:
        pass


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_a_reply_that_is_not_right_is_an_error_and_frees_the_conversation(reply):
    for run in (plainly, streamed, bare):
        await refused((reply,), run)


@pytest.mark.parametrize("pieces", STREAMS.values(), ids=STREAMS)
async def test_a_delta_that_is_not_right_is_an_error_and_frees_the_conversation(pieces):
    for run in (streamed, bare):
        await refused(pieces, run)


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_the_sync_twin_refuses_it_too(reply):
    with aimu.client(Own(reply)) as client:
        with pytest.raises(MalformedResponseError):
            client.chat("Go.")
        assert client.chat("Go.") == "Yes."


@pytest.mark.parametrize("reply", [Reply(text=None), called(arguments={})])
async def test_the_error_names_the_field_and_what_it_was(reply):
    field = r"Reply.text must be a str, got NoneType None" if reply.text is None else "json.dumps"
    with pytest.raises(MalformedResponseError, match=field):
        await aio.client(Own(reply)).chat("Go.")


async def test_what_can_be_mended_is_mended(caplog):
    async with aio.client(Own(called(id="", name="")), tools=[f]) as client:
        assert await client.chat("Go.") == "Yes."
        (call,) = client.messages[1]["tool_calls"]
        assert call["id"].startswith("call_")
        assert call["function"]["name"] == "unknown"
    async with aio.client(Own(Reply(text="x", stop_reason="max_tokens"))) as client:
        assert await client.chat("Go.") == "x"
        assert client.last_stop_reason is StopReason.MAX_TOKENS
    async with aio.client(Own(Reply(text="x", stop_reason="new"))) as client:
        with caplog.at_level(logging.WARNING, "aimu"):
            assert await client.chat("Go.") == "x"
        assert client.last_stop_reason is StopReason.OTHER
        assert "'new'" in caplog.text
    with pytest.raises(MalformedResponseError, match="'new'"):
        await aio.client(Own(Reply(stop_reason=StopReason.OTHER, finish_reason="new"))).chat("Go.")


def test_every_turn_of_a_run_is_settled_even_if_one_fails_to():
    settled = []

    class Failing:
        def settle(self):
            settled.append(self)
            raise ValueError("no")

    turns = [Failing(), Failing(), Failing()]
    state = RunState(turns=set(turns))
    with pytest.raises(ValueError, match="no"):
        state.settle()
    assert set(settled) == set(turns)
