"""Reasoning that a server left in the text is kept apart from the answer; a tag in a real answer stays there."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aimu
from aimu import aio
from aimu._core.chunks import StreamingContentType
from aimu._core.thinking import TAGS, ThinkSplitter, separate, split_thinking
from tests.served import asking, chat_stream, chat_whole, lines, options, served, sse, streamed
from tests.test_ends import claude, claude_stream, text

APART = {
    "think": "<think>Two and two.</think>It is 4.",
    "think with blanks": "\n <think>\nTwo and two.\n</think>\n\nIt is 4.",
    "thinking": "<thinking>Two and two.</thinking>\nIt is 4.",
    "thought": "<thought>Two and two.</thought>It is 4.",
    "Magistral": "[THINK]Two and two.[/THINK]It is 4.",
    "Seed": "<seed:think>Two and two.</seed:think>It is 4.",
    "Kimi": "◁think▷Two and two.◁/think▷It is 4.",
}
UNOPENED = {
    "its own line": "Two and two.\n</think>\n\nIt is 4.",
    "after a sentence": "Two and two.</think>\n\nIt is 4.",
    "in one line": "Two and two.</think>It is 4.",
    "with a blank": "Two and two.</think> It is 4.",
    "with blanks": "Two and two. </think> It is 4.",
    "begins a line": "Two and two.\n</think>It is 4.",
    "Magistral": "Two and two.[/THINK]It is 4.",
    "thinking": "Two and two.\n</thinking>\nIt is 4.",
    "Kimi": "Two and two.◁/think▷It is 4.",
}
STRAY = [
    "The tag <think> opens it.",
    "The tag </think> closes it.",
    "It ends with </think>.",
    "Between <think> and </think> a model reasons.",
    "Write `</think>` at the end.",
    "Write `<think>x</think>` there.",
    'It prints "</think>" and stops.',
    "It prints '</think>' and stops.",
    "Close it (</think>) first.",
    "```xml\n<think>\nhm\n</think>\n```\nThat is all.",
    "See:\n\n```\nhm\n</think>\n\nYes.\n```",
    "A template:\n~~~\n",
    "The closing tag is </think>",
    "| tag | use |\n|</think>| closes |",
    "Models write\n</b> and [/b] tags.",
    "Put <think>one</think> and <think>two</think> there.",
    "The end of the prompt is [/THINK], not </think>, here.",
    "<reasoning>asked for</reasoning><answer>4</answer>",
    "a < b and b > c; <thin is no tag",
    "Say </think>\nto end it.",
]


def stream_of(pieces, api):
    if api == "ollama":
        return lines(*({"message": {"content": p}} for p in pieces), {"message": {}, "done": True})
    if api == "responses":
        deltas = [{"type": "response.output_text.delta", "output_index": 0, "delta": p} for p in pieces]
        return sse(*deltas, {"type": "response.completed", "response": whole_of("".join(pieces), api)})
    if api == "anthropic":
        first, *rest = pieces
        deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}} for p in rest]
        head, _, tail = claude_stream(text(first)).partition('data: {"type": "message_delta"')
        return head + sse(*deltas) + 'data: {"type": "message_delta"' + tail
    return chat_stream(*pieces)


def whole_of(said, api):
    if api == "ollama":
        return {"message": {"content": said}, "done": True}
    if api == "responses":
        item = {"type": "message", "content": [{"type": "output_text", "text": said}]}
        return {"status": "completed", "output": [item]}
    return claude(text(said)) if api == "anthropic" else chat_whole(said)


def cuts(said):
    """The text in one piece, in letters, and cut in two at each place near a tag."""
    yield [said]
    yield list(said)
    for at in range(1, len(said), 5):
        yield [said[:at], said[at:]]


APIS = ["chat", "openai", "ollama", "responses", "anthropic"]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("said", APART.values(), ids=APART)
async def test_a_block_of_thinking_is_apart_however_it_is_cut(api, said):
    bodies = [whole_of(said, api), *(stream_of(pieces, api) for pieces in cuts(said))]
    async with asking(api, *bodies, whole_of(said, api)) as (client, service):
        agent = aio.Agent(client, name="a", reset_messages_on_run=True)
        assert await agent.run("Go.") == "It is 4."
        for _ in bodies[1:]:
            assert await streamed(agent) == ("It is 4.", "Two and two.", "It is 4.")
            last = agent.model_client.messages[-1]
            assert (last["content"], last["thinking"]) == ("It is 4.", "Two and two.")
            assert agent.model_client.last_thinking == "Two and two."
        await client.chat("Go.")
        await client.chat("On.")
        request = service.requests[-1]
        (sent,) = (m for m in request.get("messages") or request["input"] if m["role"] == "assistant")
        assert "think" not in json.dumps(sent["content"]).lower()


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("said", UNOPENED.values(), ids=UNOPENED)
async def test_reasoning_without_an_opening_tag_is_apart_and_a_stream_warns(api, said, caplog):
    bodies = [whole_of(said, api), *(stream_of(pieces, api) for pieces in cuts(said))]
    async with asking(api, *bodies) as (client, _):
        for index in range(len(bodies)):
            caplog.clear()
            with caplog.at_level(logging.WARNING, "aimu"):
                if index:
                    assert await streamed(client) == (said, "", "It is 4.")
                else:
                    assert await client.chat("Go.") == "It is 4."
            assert "--reasoning-parser" in caplog.text
            last = client.messages[-1]
            assert (last["content"], last["thinking"]) == ("It is 4.", "Two and two.")
            assert client.last_thinking == "Two and two."


def test_the_sync_twin_keeps_them_apart_too():
    with served(whole_of(UNOPENED["its own line"], "chat"), stream_of(list(APART["think"]), "chat")) as (_, url):
        model, given = options("chat", url)
        with aimu.client(model, **given) as client:
            assert client.chat("Go.") == "It is 4."
            assert list(client.chat("Go.", stream=True))[-1].content == "It is 4."


@pytest.mark.parametrize("api", ["chat", "openai", "ollama", "responses", "anthropic"])
async def test_a_stray_tag_in_a_real_answer_stays(api, caplog):
    bodies = [whole_of(said, api) for said in STRAY for _ in range(2)]
    async with asking(api, *bodies) as (client, _):
        with caplog.at_level(logging.WARNING, "aimu"):
            for said in STRAY:
                assert await client.generate("Go.") == said
                assert await client.chat("Go.") == said
                client.reset()
        assert caplog.text == ""


@pytest.mark.parametrize("said", STRAY)
async def test_a_stray_tag_stays_in_a_stream(said):
    async with asking("chat", chat_stream(*said)) as (client, _):
        assert await streamed(client) == (said, "", said)


async def test_reasoning_without_an_opening_tag_before_a_call_is_apart():
    called = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
    for said in ("I call it.</think>", "I call it.\n</think>\n\n"):
        whole = chat_whole(said, "tool_calls", tool_calls=called)
        stream = chat_stream(said, {"tool_calls": called}, finish="tool_calls")
        for body, way in ((whole, False), (stream, True)):
            async with asking("chat", body, chat_stream("Done.") if way else chat_whole("Done.")) as (client, _):
                client.tools = [f]
                result = (await streamed(client))[2] if way else await client.chat("Go.")
                assert result == "Done."
                assert (client.messages[1]["content"], client.messages[1]["thinking"]) == ("", "I call it.")


def f() -> str:
    """Do it."""
    return "done"


async def test_a_closing_tag_that_a_parser_of_reasoning_left_behind_is_dropped():
    deltas = [{"reasoning_content": "Two and two."}, {"content": "\n</thi"}, {"content": "nk>\n\nIt is 4."}]
    async with asking("chat", chat_stream(*deltas)) as (client, _):
        assert await streamed(client) == ("It is 4.", "Two and two.", "It is 4.")


TAGGED = st.lists(
    st.sampled_from([*TAGS, *TAGS.values(), " ", "\n", "`", "```", ".", "a", "B", "<", "</th", "ink>", "say "]),
    max_size=14,
)


@given(TAGGED, st.booleans(), st.booleans(), st.data())
def test_whole_and_cut_texts_are_separated_alike(pieces, apart, trim, data):
    said = "".join(pieces)
    found = separate(said, apart=apart, trim=trim)
    splitter, rest = ThinkSplitter(), said
    if apart:
        splitter.skip_block(trim=trim)
    deltas = []
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        deltas += splitter.feed(rest[:size])
        rest = rest[size:]
    deltas += splitter.finish()
    shown = {phase: "".join(d.text for d in deltas if d.phase == phase) for phase in ("thinking", "generating")}
    if found.closing:
        assert shown == {"thinking": "", "generating": said}
        assert found.thinking in said
        assert said.endswith(found.text)
    else:
        assert shown == {"thinking": found.thinking, "generating": found.text}


HOSTILE = {
    "blanks": " ",
    "lines": "\n",
    "closing tags in prose": "the </think> tag ",
    "closing tags at line ends": "say </think>\n",
    "opening tags in prose": "the <think> tag ",
    "quoted tags": "`</think>` ",
    "backticks": "` ",
    "beginnings of a tag": "</thin",
    "tags in a block": "<think>",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("start", ["", "<think>", "x"])
def test_a_long_text_is_separated_alike_in_small_pieces(unit, start):
    """`test_linear_readers` tests that the time is linear."""
    said = start + unit * (40_000 // len(unit))
    splitter = ThinkSplitter()
    deltas = [delta for at in range(0, len(said), 2) for delta in splitter.feed(said[at : at + 2])]
    deltas += splitter.finish()
    shown = [
        "".join(delta.text for delta in deltas if delta.phase is phase)
        for phase in (StreamingContentType.THINKING, StreamingContentType.GENERATING)
    ]
    assert tuple(shown) == split_thinking(said)
    found = separate(said)
    assert len(found.thinking) + len(found.text) + len(found.closing) <= len(said)
