"""Responses: commentary and answer, what goes back; in every wire format a later zero keeps the figure before it."""

import pytest

from aimu import aio
from tests.served import asking, chat_stream, lines, sse, streamed
from tests.test_streamed_and_kept import add, block, completed, done, message, text_delta

NOTE = {"type": "url_citation", "url": "https://box.test", "start_index": 0, "end_index": 2, "title": "Box"}


def cited(text, **more):
    return {**message(text, **more), "content": [{"type": "output_text", "text": text, "annotations": [NOTE]}]}


COMMENTARY = message("Let me look that up.", phase="commentary", id="msg_1")
ANSWER = message("It is 4.", phase="final_answer", id="msg_2")


def added(item, index):
    return {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}


STREAMS = {
    "whole": sse(completed(COMMENTARY, ANSWER)),
    "deltas": sse(
        added(COMMENTARY, 0),
        text_delta("Let me look "),
        text_delta("that up."),
        done(COMMENTARY),
        added(ANSWER, 1),
        text_delta("It is 4.", 1),
        done(ANSWER, 1),
        completed(COMMENTARY, ANSWER),
    ),
    "deltas, no output": sse(
        added(COMMENTARY, 0),
        text_delta("Let me look that up."),
        added(ANSWER, 1),
        text_delta("It is 4.", 1),
        completed(),
    ),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_commentary_is_apart_from_the_answer_and_goes_back_with_its_phase(name):
    plain = {"status": "completed", "output": [COMMENTARY, ANSWER]}
    async with asking("responses", plain, STREAMS[name]) as (client, service):
        assert await client.chat("Go.") == "It is 4."
        assert await streamed(client) == ("It is 4.", "Let me look that up.", "It is 4.")
        assert [m["content"] for m in client.messages if m["role"] == "assistant"] == ["It is 4."] * 2
        await streamed(client)
        sent = [
            (item.get("phase"), item["content"][0]["text"]) for item in service.requests[-1]["input"] if "phase" in item
        ]
        assert sent == [("commentary", "Let me look that up."), ("final_answer", "It is 4.")] * 2


async def test_a_phase_that_is_told_late_still_keeps_the_two_apart():
    body = sse(text_delta("Let me look that up."), text_delta("It is 4.", 1), completed(COMMENTARY, ANSWER))
    async with asking("responses", body) as (client, _):
        assert await streamed(client) == ("Let me look that up.It is 4.", "", "It is 4.")
        assert client.messages[-1]["content"] == "It is 4."
        assert client.last_thinking == "Let me look that up."


async def test_commentary_before_a_call_is_not_the_answer():
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a": 1, "b": 3}'}
    first = {"status": "completed", "output": [COMMENTARY, call]}
    second = {"status": "completed", "output": [ANSWER]}
    async with asking("responses", first, second) as (client, service):
        agent = aio.Agent(client, name="a", tools=[add])
        assert await agent.run("Go.") == "It is 4."
        assert [item.get("phase") for item in service.requests[1]["input"]] == [None, "commentary", None, None]


async def test_commentary_alone_is_the_answer_rather_than_nothing():
    async with asking("responses", {"status": "completed", "output": [COMMENTARY]}) as (client, _):
        assert await client.chat("Go.") == "Let me look that up."


@pytest.mark.parametrize("way", ["plain", "streamed"])
async def test_annotations_go_back_with_their_text_unless_the_user_edited_it(way):
    item = cited("It is 4.", id="msg_1")
    body = {"status": "completed", "output": [item]} if way == "plain" else sse(text_delta("It is 4."), completed(item))
    async with asking("responses", body) as (client, service):
        for _ in range(2):
            await client.chat("Go.") if way == "plain" else await streamed(client)
        assert service.requests[-1]["input"][1] == item
        client.messages = [{**m, "content": "It is 5."} if m["role"] == "assistant" else m for m in client.messages]
        await client.chat("Go.") if way == "plain" else await streamed(client)
        assert service.requests[-1]["input"][1] == {"role": "assistant", "content": "It is 5."}


def figures(**more):
    return {"input_tokens": 0, "output_tokens": 0, **more}


ZEROS = {
    "responses": sse(
        {"type": "response.in_progress", "response": {"usage": figures(input_tokens=7, output_tokens=3)}},
        text_delta("Hi"),
        completed(usage=figures(input_tokens_details={"cached_tokens": 0})),
    ),
    "chat": sse(
        {"choices": [{"delta": {"content": "Hi"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        done=True,
    ),
    "anthropic": sse(
        {"type": "message_start", "message": {"content": [], "usage": figures(input_tokens=7, output_tokens=1)}},
        *block("text", {"text": "Hi"}),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": figures(output_tokens=3)},
        {"type": "message_delta", "delta": {}, "usage": figures()},
        {"type": "message_stop"},
    ),
    "ollama": lines(
        {"message": {"content": "Hi"}, "prompt_eval_count": 7, "eval_count": 3},
        {"message": {}, "prompt_eval_count": 0, "eval_count": 0, "done": True},
    ),
}


@pytest.mark.parametrize("api", ZEROS)
async def test_a_later_zero_does_not_overwrite_a_figure(api):
    async with asking(api, ZEROS[api]) as (client, _):
        await streamed(client)
        assert (client.last_usage.input, client.last_usage.output) == (7, 3)


async def test_figures_that_are_only_zero_are_zero_and_later_ones_hold():
    body = chat_stream("Hi", usage={"prompt_tokens": 0, "completion_tokens": 0})
    async with asking("chat", body) as (client, _):
        await streamed(client)
        assert (client.last_usage.input, client.last_usage.output) == (0, 0)
    grown = [{"choices": [{"delta": {"content": "x"}}], "usage": {"completion_tokens": n}} for n in (1, 2, 3)]
    body = sse(*grown, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, done=True)
    async with asking("chat", body) as (client, _):
        await streamed(client)
        assert client.last_usage.output == 3
