"""Why an answer ended: words of services, refusals, paused answers and their limit, over a real socket."""

import json
import logging
from itertools import starmap

import pytest

import aimu
from aimu import aio
from aimu._core.messages import check_history
from aimu.errors import IterationLimitError, MalformedResponseError, OverloadedError, ProviderError, RefusedError
from aimu.providers._finish import stop_reason
from aimu.types import StopReason
from tests.served import asking, chat_stream, chat_whole, lines, options, served, sse, streamed

ENDS = {
    "stop": "end",
    "STOP": "end",
    "FinishReason.STOP": "end",
    "end_turn": "end",
    "endTurn": "end",
    "eos_token": "end",
    "COMPLETE": "end",
    None: "end",
    "": "end",
    "null": "end",
    "length": "max_tokens",
    "MAX_TOKENS": "max_tokens",
    "maxTokens": "max_tokens",
    "max-tokens": "max_tokens",
    "FINISH_REASON_MAX_TOKENS": "max_tokens",
    "model_length": "max_tokens",
    "Stop_Sequence": "stop_sequence",
    "SAFETY": "refused",
    "content_filter: SAFETY": "refused",
    "CONTENT_FILTER": "refused",
    "RECITATION": "refused",
    "guardrail_intervened": "refused",
    "pause_turn": "paused",
    "function_call_filter: MALFORMED_FUNCTION_CALL": "other",
    "MALFORMED_FUNCTION_CALL": "other",
    "UNEXPECTED_TOOL_CALL": "other",
    "load": "other",
    "unload": "other",
    "something new": "other",
    7: "other",
    "x" * 100_000: "other",
}


@pytest.mark.parametrize(("word", "means"), ENDS.items(), ids=[str(word)[:40] for word in ENDS])
def test_a_word_means_the_same_in_every_case_and_wrapping(word, means):
    assert stop_reason("p", word) == means


@pytest.mark.parametrize("word", ["error", "ERROR", "network_error", "insufficient_system_resource", "abort"])
def test_a_word_for_a_failure_is_an_error_that_names_it(word):
    with pytest.raises(OverloadedError, match=word) as caught:
        stop_reason("p", word, partial="Some")
    assert caught.value.partial == "Some"


def answers(api, word, text):
    """The same answer, whole and streamed."""
    if api == "chat":
        return chat_whole(text, word), chat_stream(*([text] if text else []), finish=word)
    if api == "ollama":
        last = {"message": {"content": ""}, "done": True, "done_reason": word}
        return {**last, "message": {"content": text}}, lines({"message": {"content": text}}, last)
    if api == "responses":
        parts = [{"type": "output_text", "text": text}] if text else []
        response = {
            "status": "incomplete",
            "incomplete_details": {"reason": word},
            "output": [{"type": "message", "content": parts}],
        }
        return response, sse({"type": "response.incomplete", "response": response})
    content = [{"type": "text", "text": text}] if text else []
    return {"content": content, "stop_reason": word}, sse(
        {"type": "message_start", "message": {"content": content}},
        {"type": "message_delta", "delta": {"stop_reason": word}},
        {"type": "message_stop"},
    )


FORMATS = ["chat", "ollama", "responses", "anthropic"]


async def said(client, way):
    return await client.chat("Go.") if way == "plain" else (await streamed(client))[2]


@pytest.mark.parametrize("way", ["plain", "streamed"])
@pytest.mark.parametrize("api", FORMATS)
async def test_an_unknown_end_with_text_is_other_and_is_logged(api, way, caplog):
    whole, stream = answers(api, "quite_new", "Some text")
    async with asking(api, whole if way == "plain" else stream) as (client, service):
        with caplog.at_level(logging.WARNING, "aimu"):
            assert await said(client, way) == "Some text"
        assert client.last_stop_reason is StopReason.OTHER
        assert "quite_new" in caplog.text
        assert len(service.requests) == 1


@pytest.mark.parametrize("way", ["plain", "streamed"])
@pytest.mark.parametrize("api", FORMATS)
@pytest.mark.parametrize("word", ["quite_new", "function_call_filter: MALFORMED_FUNCTION_CALL", "load"])
async def test_an_unknown_end_without_text_is_an_error_that_names_it(api, way, word):
    whole, stream = answers(api, word, "")
    async with asking(api, whole if way == "plain" else stream) as (client, service):
        agent = aio.Agent(client, name="a")
        for _ in range(2):
            with pytest.raises(MalformedResponseError, match=word):
                await (agent.run("Go.") if way == "plain" else streamed(agent))
        assert len(service.requests) == 2
        assert agent.model_client.messages == []


def test_the_sync_twin_raises_it_too():
    whole, _ = answers("chat", "MALFORMED_FUNCTION_CALL", "")
    with served(whole) as (_, url):
        model, given = options("chat", url)
        with aimu.client(model, **given) as client, pytest.raises(MalformedResponseError, match="MALFORMED"):
            client.chat("Go.")


@pytest.mark.parametrize("way", ["plain", "streamed"])
async def test_an_end_with_calls_without_a_call_is_an_error_or_is_logged(way, caplog):
    whole, stream = answers("chat", "tool_calls", "")
    async with asking("chat", whole if way == "plain" else stream) as (client, _):
        with pytest.raises(MalformedResponseError, match="tool_calls"):
            await said(client, way)
    whole, stream = answers("chat", "tool_calls", "Text.")
    async with asking("chat", whole if way == "plain" else stream) as (client, _):
        assert await said(client, way) == "Text."
        assert client.last_stop_reason is StopReason.OTHER


async def test_a_failure_in_the_middle_is_an_error_that_keeps_the_text():
    async with asking("chat", chat_stream("Some", finish="ERROR")) as (client, _):
        with pytest.raises(ProviderError, match="ERROR") as caught:
            await streamed(client)
        assert caught.value.partial == "Some"


WORDS = "I cannot help with that."


def refusals():
    item = {"type": "message", "content": [{"type": "refusal", "refusal": WORDS}]}
    stream = [{"type": "response.refusal.delta", "output_index": 0, "delta": piece} for piece in (WORDS[:9], WORDS[9:])]
    response = {"status": "completed", "output": [item]}
    yield "responses", response, sse({"type": "response.completed", "response": response})
    yield "responses", response, sse(*stream, {"type": "response.completed", "response": {**response, "output": []}})
    yield "chat", chat_whole(refusal=WORDS), chat_stream({"refusal": WORDS[:5]}, {"refusal": WORDS[5:]})
    details = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "x", "explanation": WORDS}}
    stream = sse(
        {"type": "message_start", "message": {"content": []}},
        {"type": "message_delta", "delta": details},
        {"type": "message_stop"},
    )
    yield "anthropic", {"content": [], **details}, stream


@pytest.mark.parametrize(("api", "whole", "stream"), list(refusals()))
async def test_the_words_of_a_refusal_are_in_the_error_and_its_partial(api, whole, stream):
    for way, body in (("plain", whole), ("streamed", stream)):
        async with asking(api, body) as (client, _):
            with pytest.raises(RefusedError, match="cannot help") as caught:
                await said(client, way)
            assert caught.value.partial == WORDS
            assert client.messages == []


@pytest.mark.parametrize("way", ["plain", "streamed"])
async def test_a_refusal_keeps_the_text_before_it_and_names_its_reason(way):
    whole, stream = answers("chat", "SAFETY", "It begins")
    async with asking("chat", whole if way == "plain" else stream) as (client, _):
        with pytest.raises(RefusedError) as caught:
            await said(client, way)
        assert caught.value.partial == "It begins"
    whole, stream = answers("chat", "SAFETY", "")
    async with asking("chat", whole if way == "plain" else stream) as (client, _):
        with pytest.raises(RefusedError, match="SAFETY"):
            await said(client, way)


def claude(*content, stop="end_turn"):
    return {"content": list(content), "stop_reason": stop, "usage": {"input_tokens": 2, "output_tokens": 3}}


def claude_stream(*content, stop="end_turn"):
    return sse(
        {"type": "message_start", "message": {"content": []}},
        *starmap(
            lambda index, block: {"type": "content_block_start", "index": index, "content_block": block},
            enumerate(content),
        ),
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"input_tokens": 2, "output_tokens": 3}},
        {"type": "message_stop"},
    )


def text(text):
    return {"type": "text", "text": text}


SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
MAKE = {"plain": claude, "streamed": claude_stream}


def own_calls(messages):
    """The calls of the service's own tools without a result, in messages as they were sent or as they are kept."""
    for message in messages:
        blocks = (message.get("anthropic") or message)["content"]
        blocks = blocks if isinstance(blocks, list) else []
        results = {block.get("tool_use_id") for block in blocks}
        yield from (b for b in blocks if b["type"] == "server_tool_use" and b["id"] not in results)


@pytest.mark.parametrize("way", ["plain", "streamed"])
@pytest.mark.parametrize("last", [[FOUND, text("It is 4.")], [text("It is 4.")]], ids=["with the result", "text alone"])
async def test_the_parts_of_a_paused_answer_add_up(way, last):
    make = MAKE[way]
    parts = [make(text("I look. "), SEARCH, stop="pause_turn"), make(FOUND, text("More. "), stop="pause_turn")]
    async with asking("anthropic", *parts, make(*last), make(text("Bye."))) as (client, service):
        agent = aio.Agent(client, name="a")
        result = await agent.run("Go.") if way == "plain" else (await streamed(agent))[0]
        assert result == "I look. More. It is 4."
        history = agent.model_client.messages
        assert [message["content"] for message in history[1:]] == [result]
        assert not list(own_calls(history))
        assert agent.model_client.last_usage.output == 9
        assert agent.model_client.last_stop_reason is StopReason.END
        sent = service.requests[2]["messages"]
        assert [block["type"] for block in sent[-1]["content"]][:3] == ["text", "server_tool_use", FOUND["type"]]
        check_history(json.loads(json.dumps(history)))
        await agent.run("On.") if way == "plain" else await streamed(agent)
        assert not list(own_calls(service.requests[-1]["messages"]))
        shown = "".join(b.get("text", "") for b in service.requests[-1]["messages"][1]["content"])
        assert shown == result


@pytest.mark.parametrize("way", ["plain", "streamed"])
async def test_an_answer_that_is_paused_at_the_limit_says_so(way, caplog):
    part = MAKE[way](text("So far. "), SEARCH, stop="pause_turn")
    async with asking("anthropic", part) as (client, service):
        client.max_tool_rounds = 2
        with caplog.at_level(logging.WARNING, "aimu"):
            assert await said(client, way) == "So far. " * 3
        assert client.last_stop_reason is StopReason.ITERATION_LIMIT
        assert "max_tool_rounds" in caplog.text
        assert not list(own_calls(client.messages))
        await said(client, way)
        assert not list(own_calls(service.requests[3]["messages"][:-1]))
    async with asking("anthropic", MAKE[way](SEARCH, stop="pause_turn")) as (client, service):
        client.max_tool_rounds = 2
        with pytest.raises(IterationLimitError, match="2 iterations"):
            await said(client, way)
        assert client.messages == []
        assert len(service.requests) == 3


@pytest.mark.parametrize("way", ["plain", "streamed"])
async def test_a_failure_inside_a_paused_answer_keeps_its_text_without_the_call(way):
    make = MAKE[way]
    part = make(text("I look. "), SEARCH, stop="pause_turn")
    async with asking("anthropic", part, make(stop="refusal"), make(text("Bye."))) as (client, service):
        with pytest.raises(RefusedError) as caught:
            await said(client, way)
        assert caught.value.partial == "I look. "
        cut = {"role": "assistant", "content": "I look. ", "interrupted": True, "stop_reason": "refused"}
        assert client.messages[-1] == cut
        assert await said(client, way) == "Bye."
        assert not list(own_calls(service.requests[-1]["messages"]))


@pytest.mark.parametrize("way", ["plain", "streamed"])
async def test_a_call_of_the_service_that_max_tokens_cut_off_is_not_kept(way):
    make = MAKE[way]
    cut = make(text("I look."), SEARCH, stop="max_tokens")
    async with asking("anthropic", cut, make(text("Bye."))) as (client, service):
        assert await said(client, way) == "I look."
        assert client.last_stop_reason is StopReason.MAX_TOKENS
        assert not list(own_calls(client.messages))
        await said(client, way)
        assert not list(own_calls(service.requests[-1]["messages"]))


async def test_a_loaded_history_with_such_a_call_is_sent_without_it():
    old = {"role": "assistant", "content": "I look.", "anthropic": {"content": [text("I look."), SEARCH]}}
    async with asking("anthropic", claude(text("Bye."))) as (client, service):
        client.messages = [{"role": "user", "content": "Go."}, old]
        assert await client.chat("On.") == "Bye."
        assert not list(own_calls(service.requests[-1]["messages"]))
