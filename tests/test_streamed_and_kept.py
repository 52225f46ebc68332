"""What is streamed and what is kept are the same in every wire format: the longer holds, or it is an error."""

import json

import pytest

import aimu
from aimu import aio
from aimu._core.reply import Delta, Reply
from aimu.errors import MalformedResponseError
from aimu.models._spec import ModelSpec
from aimu.types import StreamingContentType
from tests.served import MODELS, asking, chat_stream, lines, options, served, sse, streamed

WHOLE = "Hello world"


def text_delta(text, index=0):
    return {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": text}


def message(text, **more):
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **more}


def done(item, index=0):
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def completed(*output, **more):
    return {"type": "response.completed", "response": {"status": "completed", "output": list(output), **more}}


def block(kind, start, *deltas, index=0):
    yield {"type": "content_block_start", "index": index, "content_block": {"type": kind, **start}}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def claude(*events, stop="end_turn", content=()):
    return sse(
        {"type": "message_start", "message": {"content": list(content), "usage": {"input_tokens": 9}}},
        *events,
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )


def with_message(*deltas, **message):
    """A stream of chat completions that also carries the whole message, as Perplexity's does."""
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"index": 0, "delta": {}, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return sse(*events, {"choices": [last]}, done=True)


HEL, LO = {"content": "Hello "}, {"content": "world"}
BODIES = {
    "deltas, then no output": ("responses", sse(text_delta("Hello "), text_delta("world"), completed())),
    "an item is done before its last deltas": (
        "responses",
        sse(text_delta("Hello "), done(message("Hello ")), text_delta("world"), completed()),
    ),
    "an item is done without deltas": ("responses", sse(done(message(WHOLE)), completed())),
    "a whole item comes before its deltas": (
        "responses",
        sse(done(message(WHOLE)), text_delta("Hello "), text_delta("world"), completed()),
    ),
    "a whole item comes between its deltas": (
        "responses",
        sse(text_delta("Hel"), done(message(WHOLE)), text_delta("lo "), text_delta("world"), completed(message(WHOLE))),
    ),
    "a done item lacks the end of its last delta": (
        "responses",
        sse(text_delta("Hel"), done(message("Hello")), text_delta("lo world"), completed()),
    ),
    "no deltas, and the whole at the end": ("responses", sse(completed(message(WHOLE)))),
    "the beginning as deltas": ("responses", sse(text_delta("Hel"), completed(message(WHOLE)))),
    "the end of a done item as no delta": ("responses", sse(text_delta("Hel"), done(message(WHOLE)), completed())),
    "a final form that is shorter": (
        "responses",
        sse(text_delta("Hello "), text_delta("world"), completed(message("Hello"))),
    ),
    "two items, the first without deltas": (
        "responses",
        sse(done(message("Hello ")), text_delta("world", 1), done(message("world"), 1), completed()),
    ),
    "two items, one in the output": (
        "responses",
        sse(text_delta("Hello ", 0), text_delta("world", 1), completed(message("Hello "))),
    ),
    "deltas without an index": (
        "responses",
        sse(*({"type": "response.output_text.delta", "delta": text} for text in ("Hello ", "world")), completed()),
    ),
    "a whole message beside the deltas": ("chat", with_message(HEL, LO, content=WHOLE)),
    "a whole message without deltas": ("chat", with_message(content=WHOLE)),
    "a whole message with more than the deltas": ("openai", with_message(HEL, content=WHOLE)),
    "a whole message with less than the deltas": ("openai", with_message(HEL, LO, content="Hello")),
    "a growing message beside each delta": (
        "chat",
        sse(
            {"choices": [{"delta": HEL, "message": {"content": "Hello "}}]},
            {"choices": [{"delta": LO, "message": {"content": WHOLE}, "finish_reason": "stop"}]},
            done=True,
        ),
    ),
    "a block that starts with text": (
        "anthropic",
        claude(*block("text", {"text": "Hello "}, {"type": "text_delta", "text": "world"})),
    ),
    "a block that starts without text": (
        "anthropic",
        claude(*block("text", {}, {"type": "text_delta", "text": WHOLE})),
    ),
    "blocks in the message itself": ("anthropic", claude(content=[{"type": "text", "text": WHOLE}])),
    "text in a block of another type": (
        "anthropic",
        claude(*block("output", {}, {"type": "text_delta", "text": WHOLE})),
    ),
    "two blocks": (
        "anthropic",
        claude(*block("text", {"text": "Hello "}), *block("text", {"text": "world"}, index=1)),
    ),
    "a last line with text": (
        "ollama",
        lines(
            {"message": {"content": "Hello "}, "done": False},
            {"message": {"content": "world"}, "done": True, "done_reason": "stop"},
        ),
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("piece", [0, 7])
async def test_the_chunks_the_result_and_the_history_have_the_same_text(name, piece):
    api, body = BODIES[name]
    async with asking(api, body, piece=piece) as (client, service):
        text, thinking, result = await streamed(client)
        assert (text, thinking, result) == (WHOLE, "", WHOLE)
        assert client.messages[-1]["content"] == WHOLE
        await streamed(client)
        assert WHOLE in json.dumps(service.requests[-1])
        agent = aio.Agent(client, name="a")
        assert (await streamed(agent))[2] == WHOLE


@pytest.mark.parametrize("api", ["responses", "chat", "anthropic", "ollama"])
def test_the_sync_twin_keeps_the_same(api):
    api, body = next((form, body) for form, body in BODIES.values() if form == api)
    with served(body) as (_, url):
        model, given = options(api, url)
        with aimu.client(model, **given) as client:
            chunks = list(client.chat("Go.", stream=True))
            assert "".join(chunk.content for chunk in chunks if chunk.is_text()) == chunks[-1].content == WHOLE


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("responses", sse(text_delta("Hello"), completed(message("Goodbye")))),
        ("chat", with_message(HEL, content="Goodbye")),
    ],
)
async def test_texts_that_contradict_each_other_are_an_error_that_keeps_what_was_shown(api, body):
    async with asking(api, body) as (client, _):
        with pytest.raises(MalformedResponseError, match="contradict") as caught:
            await streamed(client)
        assert caught.value.partial.strip() == "Hello"
        assert client.messages[-1]["content"].strip() == "Hello"
        assert client.messages[-1]["interrupted"] is True


CALL = {"type": "function_call", "call_id": "c1", "name": "add", "id": "fc_1"}
ARGUMENTS = '{"a": 1, "b": 2}'


def argument_deltas(*pieces):
    return [
        {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "fc_1", "delta": piece}
        for piece in pieces
    ]


ADDED = {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}}
CALLS = {
    "argument deltas alone": ("responses", sse(ADDED, *argument_deltas('{"a": 1,', ' "b": 2}'), completed())),
    "arguments done": (
        "responses",
        sse(
            ADDED,
            {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": ARGUMENTS},
            completed(),
        ),
    ),
    "an item without its arguments": (
        "responses",
        sse(ADDED, *argument_deltas(ARGUMENTS), completed({**CALL, "arguments": ""})),
    ),
    "an item that is done alone": ("responses", sse(done({**CALL, "arguments": ARGUMENTS}), completed())),
    "the whole at the end": ("responses", sse(completed({**CALL, "arguments": ARGUMENTS}))),
    "other blanks at the end": (
        "responses",
        sse(ADDED, *argument_deltas(ARGUMENTS), completed({**CALL, "arguments": ARGUMENTS.replace(" ", "")})),
    ),
    "a whole message without deltas": (
        "chat",
        with_message(tool_calls=[{"id": "c1", "function": {"name": "add", "arguments": ARGUMENTS}}]),
    ),
    "a whole message with more of the arguments": (
        "chat",
        with_message(
            {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a": 1'}}]},
            tool_calls=[{"id": "c1", "function": {"name": "add", "arguments": ARGUMENTS}}],
        ),
    ),
    "input at the start of a block": (
        "anthropic",
        claude(*block("tool_use", {"id": "c1", "name": "add", "input": json.loads(ARGUMENTS)}), stop="tool_use"),
    ),
}


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_is_kept_wherever_a_server_puts_it(name):
    api, body = CALLS[name]
    answer = {
        "responses": sse(text_delta("3"), completed()),
        "chat": chat_stream("3"),
        "anthropic": claude(*block("text", {"text": "3"})),
    }[api]
    async with asking(api, body, answer) as (client, service):
        agent = aio.Agent(client, name="a", tools=[add])
        assert (await streamed(agent))[2] == "3"
        (result,) = (m for m in agent.model_client.messages if m["role"] == "tool")
        assert result["content"] == "3"
        assert len(service.requests) == 2


async def test_arguments_that_contradict_each_other_are_an_error():
    body = sse(ADDED, *argument_deltas('{"a": 1}'), completed({**CALL, "arguments": '{"a": 2}'}))
    async with asking("responses", body) as (client, _):
        with pytest.raises(MalformedResponseError, match="contradict"):
            await streamed(client)


async def test_thinking_that_came_as_deltas_alone_is_kept():
    summary = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Hm."}
    async with asking("responses", sse(summary, text_delta("Yes.", 1), completed())) as (client, _):
        assert await streamed(client) == ("Yes.", "Hm.", "Yes.")
        assert client.messages[-1]["thinking"] == client.last_thinking == "Hm."
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    async with asking("responses", sse(text_delta("Yes.", 1), completed(reasoning, message("Yes.")))) as (client, _):
        assert await streamed(client) == ("Yes.", "Hm.", "Yes.")


class Own:
    """A user's own provider that streams `pieces` and ends with `reply`."""

    spec = ModelSpec("m", "own")

    def __init__(self, pieces, reply):
        self.pieces, self.reply = pieces, reply

    async def complete(self, request):
        return self.reply

    async def stream(self, request):
        for piece in self.pieces:
            yield Delta(StreamingContentType.GENERATING, piece)
        yield self.reply

    async def aclose(self):
        pass


@pytest.mark.parametrize("pieces", [[], ["Hel"], ["Hello ", "world"]])
@pytest.mark.parametrize("text", ["", "Hello", WHOLE])
async def test_a_user_s_own_provider_is_held_to_the_same(pieces, text):
    longest = max("".join(pieces), text, key=len)
    async with aio.client(Own(pieces, Reply(text=text))) as client:
        assert await streamed(client) == (longest, "", longest)
        assert client.messages[-1]["content"] == longest


def test_every_format_is_in_the_table():
    assert {api for api, _ in BODIES.values()} == set(MODELS)
