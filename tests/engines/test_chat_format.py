"""Text of local models: thinking, answer, calls and stop strings, the same at any cut."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu._core.reply import StopReason, Usage
from aimu.engines._call_text import UNKNOWN_NAME, CallFormat, call_format
from aimu.engines._chat_format import ReplyParser, template_messages
from aimu.errors import InvalidImageError

HERMES, MISTRAL, JSON = CallFormat


def tool(name, **properties):
    return {"type": "function", "function": {"name": name, "parameters": {"properties": properties}}}


TOOLS = [tool("add", a={"type": "integer"}, b={"type": "integer"}), tool("note", text={"type": "string"})]
CALL = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
LLAMA = '{"name": "add", "parameters": {"a": 1, "b": 2}}'


def parse(pieces, form=HERMES, tools=TOOLS, **kwargs):
    """`(thinking, text, calls)`; asserts that deltas and reply agree and that ids are as they should be."""
    parser = ReplyParser(form=form, tools=tools, **kwargs)
    deltas = []
    for piece in pieces:
        deltas += parser.feed(piece)
    deltas += parser.finish()
    reply = parser.reply(StopReason.END, Usage(), "m")
    assert "".join(d.text for d in deltas if d.phase == "thinking") == reply.thinking
    assert "".join(d.text for d in deltas if d.phase == "generating") == reply.text
    assert all(d.text for d in deltas)
    assert len({call.id for call in reply.calls}) == len(reply.calls)
    assert all(re.fullmatch("[A-Za-z0-9]{9}", call.id) for call in reply.calls)
    assert (reply.stop_reason is StopReason.TOOL_CALLS) == bool(reply.calls)
    return reply.thinking, reply.text, [(call.name, call.arguments) for call in reply.calls]


ADDED = ("add", '{"a": 1, "b": 2}')


@pytest.mark.parametrize(
    ("form", "text", "said", "calls"),
    [
        (HERMES, "Just text. ", "Just text. ", []),
        (HERMES, f"<tool_call>\n{CALL}\n</tool_call>", "", [ADDED]),
        (
            HERMES,
            f"Let me see.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>\n",
            "Let me see.",
            [ADDED] * 2,
        ),
        (HERMES, f"<tool_call>{CALL}", "", [ADDED]),
        (HERMES, "a < b, and <tool is no tag", "a < b, and <tool is no tag", []),
        (
            HERMES,
            "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2\n</parameter>\n</function>\n"
            "</tool_call>",
            "",
            [ADDED],
        ),
        (
            HERMES,
            "<tool_call><function=note><parameter=text>\n42\n</parameter></function></tool_call>",
            "",
            [("note", '{"text": "42"}')],
        ),
        (
            HERMES,
            '<tool_call>{"name": "note", "arguments": {"text": "</tool_call> \\" <function=x>"}}</tool_call>ok',
            "ok",
            [("note", '{"text": "</tool_call> \\" <function=x>"}')],
        ),
        (
            HERMES,
            '<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>',
            "",
            [("add", '{"name": "add", "arguments": {"a": 1,}}')],
        ),
        (
            HERMES,
            f'<tool_call>{{"name": "note, "x"}}</tool_call>\n<tool_call>{CALL}</tool_call>',
            "",
            [(UNKNOWN_NAME, '{"name": "note, "x"}'), ADDED],
        ),
        (HERMES, "<tool_call>add 1 and 2</tool_call>", "", [(UNKNOWN_NAME, "add 1 and 2")]),
        (HERMES, '<tool_call>{"name": "add"}</tool_call>', "", [("add", "{}")]),
        (
            HERMES,
            '<tool_call>{"name": "note", "arguments": "{\\"text\\": \\"é\\"}"}</tool_call>',
            "",
            [("note", '{"text": "é"}')],
        ),
        (MISTRAL, f"[TOOL_CALLS][{CALL}, {CALL}]", "", [ADDED] * 2),
        (
            MISTRAL,
            'Well. [TOOL_CALLS]add[ARGS]{"a": 1, "b": 2}[TOOL_CALLS]note[CALL_ID]x1[ARGS]{"text": "y"}',
            "Well.",
            [ADDED, ("note", '{"text": "y"}')],
        ),
        (MISTRAL, '[TOOL_CALLS][{"name": "add", "arg', "", [("add", '[{"name": "add", "arg')]),
        (MISTRAL, "an [array] and [TOOL", "an [array] and [TOOL", []),
        (JSON, LLAMA, "", [ADDED]),
        (JSON, f"<|python_tag|>{LLAMA}; {LLAMA}", "", [ADDED] * 2),
        (JSON, f" [{LLAMA}, {CALL}]\n", "", [ADDED] * 2),
        (JSON, '{"type": "function", "function": {"name": "add", "parameters": {"a": 1, "b": 2}}}', "", [ADDED]),
        (JSON, '{"type": "function", "name": "add", "parameters": {"a": 1, "b": 2}}', "", [ADDED]),
        (JSON, '{"name": "Ada", "age": 36}', '{"name": "Ada", "age": 36}', []),
        (JSON, '[{"name": "Ada"}]', '[{"name": "Ada"}]', []),
        (JSON, '{"type": "lamp", "id": 3}', '{"type": "lamp", "id": 3}', []),
        (JSON, '{"age": 36, "name": "add"}', '{"age": 36, "name": "add"}', []),
        (JSON, f"{LLAMA}\nThat is all.", "That is all.", [ADDED]),
        (JSON, '{"name": "add", "parameters": {"a": 1', "", [("add", '{"name": "add", "parameters": {"a": 1')]),
        (JSON, "<|python_tag|>[]", "", [(UNKNOWN_NAME, "[]")]),
        (JSON, "  ", "  ", []),
    ],
)
def test_calls_are_taken_out_of_the_answer_however_it_is_cut(form, text, said, calls):
    for pieces in ([text], list(text), [text[:-1], text[-1:]]):
        assert parse(pieces, form) == ("", said, calls)


BITS = st.sampled_from(
    [
        *(
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "[TOOL_CALLS]",
            "[ARGS]",
            "<|python_tag|>",
            CALL,
            LLAMA,
        ),
        *('{"name": "', '"', "{", "}", "[", "]", " ", "\n", "\\", "a", "add", "stop", "st", "op now", ";", ","),
        "<function=add>",
    ]
)


@given(
    text=st.lists(BITS, max_size=14).map("".join),
    cuts=st.lists(st.integers(0, 200), max_size=12),
    form=st.sampled_from(CallFormat),
    stop=st.lists(st.sampled_from(["stop", "op", "top now", "</tool"]), max_size=2),
    tools=st.sampled_from([TOOLS, []]),
    prompt=st.sampled_from(["", "assistant\n<think>\n"]),
)
def test_any_cut_of_any_text_gives_the_same_reply(text, cuts, form, stop, tools, prompt):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    whole = parse([text], form, tools, stop=stop, prompt=prompt)
    assert parse(pieces, form, tools, stop=stop, prompt=prompt) == whole
    assert parse(text, form, tools, stop=stop, prompt=prompt) == whole


@given(a=st.integers(), b=st.text(), form=st.sampled_from(CallFormat))
def test_no_call_and_no_text_beside_it_is_lost(a, b, form):
    arguments = json.dumps({"a": a, "text": b}, ensure_ascii=False)
    call = f'{{"name": "note", "arguments": {arguments}}}'
    text = {HERMES: f"<tool_call>\n{call}\n</tool_call>", MISTRAL: f"[TOOL_CALLS][{call}]", JSON: call}[form]
    assert parse(text, form) == ("", "", [("note", arguments)])


@pytest.mark.parametrize("form", CallFormat)
def test_without_offered_tools_everything_is_answer(form):
    text = f"<tool_call>{CALL}</tool_call>[TOOL_CALLS]{LLAMA}"
    assert parse([text], form, tools=[]) == ("", text, [])
    assert parse([LLAMA], form, tools=[]) == ("", LLAMA, [])


def test_thinking_comes_before_calls():
    text = f"<think>\nTwo numbers.\n</think>\n\n<tool_call>{CALL}</tool_call>"
    assert parse(text) == ("Two numbers.", "", [ADDED])
    assert parse(text.removeprefix("<think>\n"), prompt="assistant\n<think>\n") == ("Two numbers.", "", [ADDED])


def test_an_answer_that_is_no_call_is_not_held_back():
    parser = ReplyParser(form=JSON, tools=TOOLS)
    assert parser.feed('{"name": "Ad') == []
    assert [d.text for d in parser.feed('a", ')] == ['{"name": "Ada", ']
    assert [d.text for d in parser.feed('"age"')] == ['"age"']


def test_the_text_ends_before_a_stop_string_and_a_cut_reply_says_so():
    parser = ReplyParser(form=HERMES, stop=["END", "\n\n"])
    assert [d.text for d in parser.feed("one E")] == ["one "]
    assert not parser.stopped
    assert [d.text for d in parser.feed("N, two\n\nthree")] == ["EN, two"]
    assert parser.stopped
    assert parser.feed("four") == parser.finish() == []
    assert parser.reply(StopReason.STOP_SEQUENCE, Usage(), "m").text == "one EN, two"


def test_a_reply_cut_inside_a_call_says_that_it_was_cut():
    parser = ReplyParser(form=HERMES, tools=TOOLS)
    assert parser.feed('<tool_call>{"name": "add", "argu') == parser.finish() == []
    reply = parser.reply(StopReason.MAX_TOKENS, Usage(), "m")
    assert reply.stop_reason is StopReason.MAX_TOKENS
    assert [call.name for call in reply.calls] == ["add"]


@pytest.mark.parametrize(
    ("template", "form"),
    [("..<tool_call>..", HERMES), ("[AVAILABLE_TOOLS] [TOOL_CALLS]", MISTRAL), ("<|python_tag|> ipython", JSON)],
)
def test_the_chat_template_tells_the_format(template, form):
    assert call_format(template) is form


def test_template_messages_are_what_templates_read_and_leave_the_history_alone():
    call = {"id": "toolu_01A", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    broken = {"id": "abcDEF123", "type": "function", "function": {"name": "add", "arguments": "{a"}}
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "1 "}, {"type": "text", "text": "and 2"}]},
        {"role": "assistant", "content": None, "thinking": "Hm.", "tool_calls": [call, broken], "anthropic": {"x": 1}},
        {"role": "tool", "tool_call_id": "toolu_01A", "name": "add", "content": "3", "status": "cancelled"},
        {"role": "tool", "tool_call_id": "abcDEF123", "name": "add", "content": "bad"},
        {"role": "assistant", "content": "It", "interrupted": True},
    ]
    before = json.dumps(history)
    system, user, asked, first, second, last = template_messages(history)
    assert json.dumps(history) == before
    assert system == history[0]
    assert user == {"role": "user", "content": "1 and 2"}
    ids = [call["id"] for call in asked.pop("tool_calls")]
    assert asked == {"role": "assistant", "content": "", "reasoning_content": "Hm."}
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    assert re.fullmatch("[A-Za-z0-9]{9}", ids[0])
    assert ids[1] == "abcDEF123"
    assert first.keys() == {"role", "content", "tool_call_id", "name"}
    assert last == {"role": "assistant", "content": "It"}
    arguments = [call["function"]["arguments"] for call in template_messages(history)[2]["tool_calls"]]
    assert arguments == [{"a": 1}, "{a"]


def test_an_image_is_refused():
    image = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    with pytest.raises(InvalidImageError, match="text models"):
        template_messages([{"role": "user", "content": [image]}])


@pytest.mark.parametrize("form", [HERMES, MISTRAL, JSON])
@pytest.mark.parametrize("nesting", ["[", '{"a":'])
def test_a_model_that_nests_without_an_end_has_made_a_malformed_call(form, nesting):
    start = {HERMES: "<tool_call>", MISTRAL: "[TOOL_CALLS]add[ARGS]", JSON: '{"name": "add", "parameters": '}[form]
    _, text, [(_, arguments)] = parse([start, nesting * 100_000], form)
    assert text == ""
    assert arguments.endswith(nesting * 100_000)
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": arguments}}
    assert template_messages([{"role": "assistant", "content": None, "tool_calls": [call]}])


def test_xml_arguments_are_text_where_the_schema_takes_text():
    maybe = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    odd = {"type": "function", "function": {"name": "bare", "parameters": None}}
    tools = [
        tool("send", to=maybe, cc=maybe, code={"type": ["string", "integer"]}, n={"type": "integer"}, any=True),
        odd,
    ]
    values = {"to": "12345", "cc": "null", "code": "7", "n": "7", "any": "7", "more": "7"}
    body = "".join(f"<parameter={name}>\n{value}\n</parameter>" for name, value in values.items())
    calls = (
        f"<tool_call><function=send>{body}</function>\n<function=bare><parameter=x>1</parameter></function></tool_call>"
    )
    _, _, [(_, sent), (name, bare)] = parse([calls], tools=tools)
    assert json.loads(sent) == {"to": "12345", "cc": None, "code": "7", "n": 7, "any": 7, "more": 7}
    assert (name, json.loads(bare)) == ("bare", {"x": 1})


def test_a_mark_inside_a_string_is_a_part_of_the_string():
    note = {"text": 'use [TOOL_CALLS] and "[ARGS]" here'}
    for text in (
        f"[TOOL_CALLS]note[ARGS]{json.dumps(note)}[TOOL_CALLS]add[ARGS]",
        f"[TOOL_CALLS]{json.dumps([{'name': 'note', 'arguments': note}])}[TOOL_CALLS]add[ARGS]{{}}",
    ):
        _, _, [(_, noted), added] = parse([text], MISTRAL)
        assert json.loads(noted) == note
        assert added == ("add", "{}")
    _, _, calls = parse(['[TOOL_CALLS]note[ARGS]{"text": "lost[TOOL_CALLS]add[ARGS]{}'], MISTRAL)
    assert calls == [("note", '{"text": "lost'), ("add", "{}")]
