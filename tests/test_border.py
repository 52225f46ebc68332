"""Replies and deltas of a user's own provider: checked before they reach a history; a bad one leaves no trace."""

import json
import logging
from contextlib import suppress

import pytest
from attrs import evolve

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.aio._run import RunState
from aimu.errors import MalformedResponseError
from aimu.models._spec import ModelSpec
from aimu.providers._wire import count
from aimu.types import Answer, Delta, Reply, StopReason, StreamingContentType, ToolCall, Usage
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


def nested(depth):
    return [nested(depth - 1)] if depth else 0


ENDLESS = []
ENDLESS.append(ENDLESS)


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no")


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
    "replay with bytes": Reply(text="x", replay={"own": b"x"}),
    "replay with an object": Reply(text="x", replay={"own": [object()]}),
    "replay with NaN": Reply(text="x", replay={"own": float("nan")}),
    "replay with a number without end": Reply(text="x", replay={"own": 10**5000}),
    "replay that is nested too deep": Reply(text="x", replay={"own": nested(101)}),
    "replay that contains itself": Reply(text="x", replay={"own": ENDLESS}),
    "replay with a number as an inner key": Reply(text="x", replay={"own": {1: 2}}),
    "final in text": Reply(text="x", final="no"),
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
    "usage below zero": Reply(text="x", usage=Usage(input=-1)),
    "usage that cannot be written": Reply(text="x", usage=Usage(input=10**5000)),
    "an object that cannot be shown": Unshowable(),
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


class Text(str):
    pass


def plain(value):
    """Return whether JSON gives the value back, in the same classes."""
    if isinstance(value, dict):
        return type(value) is dict and all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(plain, value))
    return type(value) in (str, int, float, bool, type(None))


REPLAY = {"own": {"list": [1]}}
HALVES = "\ud83d\ude00"
KEPT = {
    "subclasses of str": (
        Delta(TEXT, Text("x")),
        Reply(text=Answer("x", output=object()), thinking=Text("t"), model=Text("m"), replay={Text("own"): Text("y")}),
    ),
    "subclasses of str in a call": (called(id=Text("c"), name=Text("f"), arguments=Text("{}")),),
    "tuples": (Reply(text="x", replay={"own": ({"a": (1,)},)}),),
    "halves of a character": (
        Delta(TEXT, HALVES[0]),
        Delta(TEXT, HALVES[1]),
        Reply(text="\U0001f600", thinking=HALVES),
    ),
    "halves of a character, without a reply": (Delta(TEXT, HALVES[0]), Delta(TEXT, HALVES[1]), None),
    "half a character": (Delta(TEXT, HALVES[0]), Reply(text=HALVES[0])),
    "a final answer although no type was asked for": (evolve(called(), text="x", final=True),),
    "what changes later": (Reply(text="x", replay=REPLAY),),
}


@pytest.mark.parametrize("pieces", KEPT.values(), ids=KEPT)
async def test_what_reaches_the_history_is_what_json_gives_back(pieces):
    for run in (plainly, streamed, bare):
        provider = Own(*pieces)
        async with aio.client(provider, tools=[f]) as client:
            with suppress(MalformedResponseError):
                await run(client)
            REPLAY["own"]["list"].append(2)
            assert json.loads(json.dumps(client.messages, allow_nan=False)) == client.messages
            assert plain(client.messages)
            assert "2" not in json.dumps(client.messages[:2])
            assert await client.chat("Go on.") == "Yes."
            REPLAY["own"]["list"][:] = [1]


async def test_a_delta_that_a_provider_uses_again_is_kept_as_it_was():
    class Reusing(Own):
        async def stream(self, request):
            delta = Delta(TEXT, "")
            for delta.text in ("a", "b", "c"):
                yield delta
            raise MalformedResponseError("cut off", provider="own")

    async with aio.client(Reusing()) as client:
        for run in (streamed, bare):
            with pytest.raises(MalformedResponseError):
                await run(client)
            assert client.messages[-1]["content"] == "abc"


class Synchronous(Own):
    def complete(self, request):
        return self.answer()[-1]

    def stream(self, request):
        return iter(self.answer())


class Forgetful(Own):
    """Forgot to yield."""

    async def complete(self, request):
        return self.answer

    async def stream(self, request):
        return self.answer()[-1]


@pytest.mark.parametrize("kind", [Synchronous, Forgetful])
async def test_a_provider_whose_methods_are_of_another_kind_is_told_of_which_they_must_be(kind):
    async with aio.client(kind(Reply(text="Yes.")), max_concurrency=1) as client:
        for run in (plainly, streamed, bare):
            with pytest.raises(MalformedResponseError, match=r"an `async def`|a Reply, got method|an async generator"):
                await run(client)
            assert not client.messages
            assert not client.conversation.busy


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


@pytest.mark.parametrize(
    "figure",
    [-1, True, 1e300, float("nan"), 10**5000, "3", None],
    ids=lambda one: repr(one)[:9] if one != 10**5000 else "long",
)
def test_a_figure_of_a_service_that_is_no_number_of_tokens_is_unknown(figure):
    assert count({"of": {"tokens": figure}}, "of", "tokens") is None
    assert count({"of": {"tokens": 3.0}}, "of", "tokens") == 3
