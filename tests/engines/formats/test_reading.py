"""Text of local models: thinking, answer and calls as models write them, broken ones too, the same at any cut."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu._core.reply import UNKNOWN_NAME, StopReason
from aimu.engines import ChatFormat
from aimu.engines._formats.rows import ROWS
from aimu.engines._formats.stops import StopStrings
from aimu.errors import InvalidOptionError


def tool(name, **properties):
    return {"type": "function", "function": {"name": name, "parameters": {"properties": properties}}}


TOOLS = [tool("add", a={"type": "integer"}, b={"type": "integer"}), tool("note", text={"type": "string"})]
CALL = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
LLAMA = '{"name": "add", "parameters": {"a": 1, "b": 2}}'
ADDED = ("add", '{"a": 1, "b": 2}')
THREE = ["hermes", "mistral", "json"]


def parse(pieces, form="hermes", tools=TOOLS, prompt="", stop=()):
    """`(thinking, text, calls)`; asserts that deltas and reply agree and that ids are as they should be."""
    reader = ChatFormat.of("", tool_format=form).reader(tools=tools, prompt_end=prompt)
    stops = StopStrings(stop)
    deltas = []
    for piece in pieces:
        deltas += reader.feed(stops.feed(piece))
    deltas += reader.feed(stops.rest()) + reader.end()
    reply = reader.finish()
    assert "".join(d.text for d in deltas if d.phase == "thinking") == reply.thinking
    assert "".join(d.text for d in deltas if d.phase == "generating") == reply.text
    assert all(d.text for d in deltas)
    assert len({call.id for call in reply.calls}) == len(reply.calls)
    assert all(re.fullmatch("[A-Za-z0-9]{9}", call.id) for call in reply.calls)
    assert (reply.stop_reason is StopReason.TOOL_CALLS) == bool(reply.calls)
    return reply.thinking, reply.text, [(call.name, call.arguments) for call in reply.calls]


XML_CALL = (
    "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2\n</parameter>\n"
    "</function>\n</tool_call>"
)


@pytest.mark.parametrize(
    ("form", "text", "said", "calls"),
    [
        ("hermes", "Just text. ", "Just text. ", []),
        ("hermes", f"<tool_call>\n{CALL}\n</tool_call>", "", [ADDED]),
        (
            "hermes",
            f"Let me see.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>\n",
            "Let me see.",
            [ADDED] * 2,
        ),
        ("hermes", f"<tool_call>{CALL}", "", [ADDED]),
        ("hermes", "a < b, and <tool is no tag", "a < b, and <tool is no tag", []),
        ("hermes", "Put it between <tool_call> tags, then go on.", "Put it between <tool_call> tags, then go on.", []),
        (
            "hermes",
            f"The <tool_call> comes now: <tool_call>{CALL}</tool_call>",
            "The <tool_call> comes now:",
            [ADDED],
        ),
        ("hermes", XML_CALL, "", [ADDED]),
        ("hermes", XML_CALL.removeprefix("<tool_call>\n"), "", [ADDED]),
        ("hermes", XML_CALL.removesuffix("</function>\n</tool_call>"), "", [ADDED]),
        (
            "hermes",
            "<tool_call><function=note><parameter=text>\n42\n</parameter></function></tool_call>",
            "",
            [("note", '{"text": "42"}')],
        ),
        (
            "hermes",
            "<tool_call><function=note><parameter=text>see </parameter> there\n</parameter></function></tool_call>",
            "",
            [("note", '{"text": "see </parameter> there"}')],
        ),
        (
            "hermes",
            '<tool_call>{"name": "note", "arguments": {"text": "</tool_call> \\" <function=x>"}}</tool_call>ok',
            "ok",
            [("note", '{"text": "</tool_call> \\" <function=x>"}')],
        ),
        (
            "hermes",
            '<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>',
            "",
            [("add", '{"name": "add", "arguments": {"a": 1,}}')],
        ),
        ("hermes", '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}}</tool_call>', "", [ADDED]),
        ("hermes", '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}</tool_call>', "", [ADDED]),
        ("hermes", f"<tool_call>\n```json\n{CALL}\n```\n</tool_call> ok", "ok", [ADDED]),
        (
            "hermes",
            f'<tool_call>{{"name": "note, "x"}}</tool_call>\n<tool_call>{CALL}</tool_call>',
            "",
            [(UNKNOWN_NAME, '{"name": "note, "x"}'), ADDED],
        ),
        ("hermes", "<tool_call>add 1 and 2</tool_call>", "", [(UNKNOWN_NAME, "add 1 and 2")]),
        ("hermes", "<tool_call><function=add>1 and 2</function></tool_call>", "", [("add", "1 and 2")]),
        ("hermes", '<tool_call>{"name": "add"}</tool_call>', "", [("add", "{}")]),
        ("hermes", f"```json\n{CALL}\n```", "", [ADDED]),
        ("hermes", CALL, "", [ADDED]),
        ("hermes", '{"name": "Ada", "arguments": 3}', '{"name": "Ada", "arguments": 3}', []),
        (
            "hermes",
            '<tool_call>{"name": "note", "arguments": "{\\"text\\": \\"é\\"}"}</tool_call>',
            "",
            [("note", '{"text": "é"}')],
        ),
        ("mistral", f"[TOOL_CALLS][{CALL}, {CALL}]", "", [ADDED] * 2),
        (
            "mistral",
            'Well. [TOOL_CALLS]add[ARGS]{"a": 1, "b": 2}[TOOL_CALLS]note[CALL_ID]x1[ARGS]{"text": "y"}',
            "Well.",
            [ADDED, ("note", '{"text": "y"}')],
        ),
        ("mistral", '[TOOL_CALLS]add{"a": 1, "b": 2}', "", [ADDED]),
        ("mistral", f"[TOOL_CALLS] [TOOL_CALLS] [{CALL}] and more", "and more", [ADDED]),
        ("mistral", '[TOOL_CALLS][ARGS]{"a": 1}', "", [(UNKNOWN_NAME, '{"a": 1}')]),
        ("mistral", '[TOOL_CALLS][{"name": "add", "arg', "", [("add", '[{"name": "add", "arg')]),
        ("mistral", "an [array] and [TOOL", "an [array] and [TOOL", []),
        ("json", LLAMA, "", [ADDED]),
        ("json", f"<|python_tag|>{LLAMA}; {LLAMA}", "", [ADDED] * 2),
        ("json", f" [{LLAMA}, {CALL}]\n", "", [ADDED] * 2),
        ("json", '{"type": "function", "function": {"name": "add", "parameters": {"a": 1, "b": 2}}}', "", [ADDED]),
        ("json", '{"type": "function", "name": "add", "parameters": {"a": 1, "b": 2}}', "", [ADDED]),
        ("json", '{"name": "Ada", "age": 36}', '{"name": "Ada", "age": 36}', []),
        ("json", '[{"name": "Ada"}]', '[{"name": "Ada"}]', []),
        ("json", '{"type": "lamp", "id": 3}', '{"type": "lamp", "id": 3}', []),
        ("json", '{"age": 36, "name": "add"}', '{"age": 36, "name": "add"}', []),
        ("json", f"{LLAMA}\nThat is all.", "That is all.", [ADDED]),
        ("json", f"I add them:\n{LLAMA}", "I add them:", [ADDED]),
        ("json", f"{LLAMA}}}", "", [ADDED]),
        ("json", '{"name": "add", "parameters": {"a": 1', "", [("add", '{"name": "add", "parameters": {"a": 1')]),
        ("json", "<|python_tag|>[]", "", [(UNKNOWN_NAME, "[]")]),
        ("json", "<|python_tag|>add.call(a=1, b=2)", "", [ADDED]),
        ("json", "[add(a=1, b=2), note('x')]", "", [ADDED, ("note", '{"text": "x"}')]),
        ("json", "[other(a=1)]", "[other(a=1)]", []),
        ("json", f"So: {LLAMA} and so on.", "So: and so on.", [ADDED]),
        ("json", 'So: {"name": "add"} and so on.', 'So: {"name": "add"} and so on.', []),
        ("hermes", "<tool_call>{'name': 'add', 'arguments': {'a': 1, 'b': 2}}</tool_call>", "", [ADDED]),
        (
            "hermes",
            "<tool_call><function=add><parameter=a>\n1\n<parameter=b>\n2\n</parameter></function></tool_call>",
            "",
            [ADDED],
        ),
        ("json", "  ", "  ", []),
        ("json", f"<odd_call>{CALL}</odd_call>", "", [ADDED]),
        ("json", '<|do_call|>add<|with|>{"a": 1, "b": 2}<|call_end|> ok', "ok", [ADDED]),
        ("json", "if a <b> or {c}", "if a <b> or {c}", []),
    ],
)
def test_calls_are_taken_out_of_the_answer_however_it_is_cut(form, text, said, calls):
    for pieces in ([text], list(text), [text[:-1], text[-1:]]):
        assert parse(pieces, form) == ("", said, calls)


@pytest.mark.parametrize(
    ("form", "text", "thinking", "said"),
    [
        ("hermes", "<think>\nHm.\n</think>\n\nYes.", "Hm.", "Yes."),
        ("hermes", "<think>Hm.</think><think>Or so.</think>Yes.", "Hm.\nOr so.", "Yes."),
        ("hermes", "</think>Yes.", "", "Yes."),
        ("hermes", "It says <think> and </think>.", "", "It says <think> and </think>."),
        ("mistral", "First. [THINK]Hm.[/THINK] Yes.", "Hm.", "First.  Yes."),
        ("gemma4", "<|channel>thought\nHm.<channel|>Yes.<channel|>", "Hm.", "Yes."),
        ("gemma4", "<|channel>thoughtful words<channel|>Yes.", "thoughtful words", "Yes."),
        ("command-r", "<|START_THINKING|>Hm.<|START_RESPONSE|>Yes.<|END_RESPONSE|>", "Hm.", "Yes."),
        (
            "harmony",
            "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>Yes.",
            "Hm.",
            "Yes.",
        ),
        ("harmony", "Yes.", "", "Yes."),
        ("json", "<think>Hm.</think>\n<answer>\nYes.\n</answer>", "Hm.", "Yes.\n"),
    ],
)
def test_thinking_stands_apart_from_the_answer_however_it_is_cut(form, text, thinking, said):
    for pieces in ([text], list(text), [text[:-1], text[-1:]]):
        assert parse(pieces, form)[:2] == (thinking, said)


def test_a_call_inside_thinking_counts_unless_the_thinking_is_closed_behind_it():
    call = f"<tool_call>{CALL}</tool_call>"
    for form, prompt in (("hermes", "assistant\n<think>\n"), ("hermes", "x</think> <think>")):
        for text in (f"I add. {call}", f"I add. {call}\n"):
            assert parse(text, form, prompt=prompt) == ("I add.", "", [ADDED])
        assert parse(f"Like {call} or so.</think>No.", form, prompt=prompt) == (f"Like {call} or so.", "No.", [])
        assert parse(f"Like <tool_call> tags.</think>{call}", form, prompt=prompt) == (
            "Like <tool_call> tags.",
            "",
            [ADDED],
        )
        broken = '<tool_call>{"name": "add", "arguments": {"a": "'
        assert parse(f"Like {broken}</think>No.", form, prompt=prompt) == (f"Like {broken}", "No.", [])


def test_a_message_to_a_tool_is_no_answer():
    text = '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1, "b": 2}<|call|>'
    assert parse(text, "harmony", prompt="<|start|>assistant") == ("", "", [ADDED])
    assert parse(text, "harmony", tools=[], prompt="<|start|>assistant") == ("", "", [])
    code = ' to=python<|channel|>commentary<|message|>print("x")'
    assert parse(code, "harmony", prompt="<|start|>assistant") == ("", "", [("python", 'print("x")')])


def test_code_goes_to_the_tool_that_runs_it():
    tools = [*TOOLS, tool("python", code={"type": "string"})]
    code = "# Add.\nprint(1 + 2)"
    ran = ("python", json.dumps({"code": code}))
    for form, text, prompt in (
        ("json", f"<|python_tag|>{code}", ""),
        ("functionary-recipient", f"python\n{code}", ">>>"),
        ("harmony", f" to=python<|channel|>commentary<|message|>{code}", "<|start|>assistant"),
    ):
        assert parse([text], form, tools, prompt)[2] == [ran]
        assert parse(text, form, tools, prompt)[2] == [ran]


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
        *(
            '{"name": "',
            '"',
            "{",
            "}",
            "[",
            "]",
            " ",
            "\n",
            "\\",
            "a",
            "add",
            "stop",
            "st",
            "op now",
            ";",
            ",",
            "```json\n",
        ),
        *("<function=add>", "<parameter=a>", "</parameter>", "add(a=1)", "(", "<", ">", "|", "'", "é"),
        *{
            mark
            for row in ROWS
            for marks in row.calls
            for mark in (*marks.opening, *marks.closing, *marks.key, *marks.value)
        },
        *{mark for row in ROWS for block in row.thinking for mark in (block.opening, block.closing)},
        *("<|start|>", "<|channel|>", "<|message|>", "analysis", " to=functions.add", "assistant", "<|end|>"),
    ]
)
FORMS = st.sampled_from([None, *(row.name for row in ROWS)])


@given(
    text=st.lists(BITS | st.text(max_size=3), max_size=14).map("".join),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    form=FORMS,
    stop=st.lists(st.sampled_from(["stop", "op", "top now", "</tool"]), max_size=2),
    tools=st.sampled_from([TOOLS, []]),
    prompt=st.sampled_from(["", "assistant\n<think>\n", "<|start|>assistant", ">>>"]),
)
def test_any_cut_of_any_text_gives_the_same_reply(text, cuts, form, stop, tools, prompt):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    whole = parse([text], form, tools, stop=stop, prompt=prompt)
    assert parse(pieces, form, tools, stop=stop, prompt=prompt) == whole
    assert parse(text, form, tools, stop=stop, prompt=prompt) == whole


@given(a=st.integers(), b=st.text(), form=st.sampled_from(THREE))
def test_no_call_and_no_text_beside_it_is_lost(a, b, form):
    arguments = json.dumps({"a": a, "text": b}, ensure_ascii=False)
    call = f'{{"name": "note", "arguments": {arguments}}}'
    text = {"hermes": f"<tool_call>\n{call}\n</tool_call>", "mistral": f"[TOOL_CALLS][{call}]", "json": call}[form]
    assert parse(text, form) == ("", "", [("note", arguments)])


@pytest.mark.parametrize("form", [row.name for row in ROWS])
def test_without_offered_tools_everything_is_answer(form):
    text = f"<tool_call>{CALL}</tool_call>[TOOL_CALLS]{LLAMA}"
    assert parse([text], form, tools=[]) == ("", text, [])
    assert parse([LLAMA], form, tools=[]) == ("", LLAMA, [])


def test_an_answer_that_is_no_call_is_not_held_back():
    reader = ChatFormat.of("", tool_format="json").reader(tools=TOOLS)
    assert reader.feed('{"name": "Ad') == []
    assert [d.text for d in reader.feed('a", ')] == ['{"name": "Ada",']
    assert [d.text for d in reader.feed('"age"')] == [' "age"']
    assert [d.text for d in reader.feed(" <b")] == []
    assert [d.text for d in reader.feed(">old")] == [" <b>old"]


def test_a_reply_cut_inside_a_call_says_that_it_was_cut():
    reader = ChatFormat.of("", tool_format="hermes").reader(tools=TOOLS)
    assert reader.feed('<tool_call>{"name": "add", "argu') == reader.end() == []
    reply = reader.reply(StopReason.MAX_TOKENS)
    assert reply.stop_reason is StopReason.MAX_TOKENS
    assert [call.name for call in reply.calls] == ["add"]


def test_the_text_ends_before_a_stop_string():
    stops = StopStrings(["END", "\n\n"])
    assert stops.feed("one E") == "one "
    assert not stops.stopped
    assert stops.feed("N, two\n\nthree") == "EN, two"
    assert stops.stopped
    assert stops.feed("four") == stops.rest() == ""


def test_a_name_that_no_format_has_is_told():
    with pytest.raises(InvalidOptionError, match=r"tool_format='odd'; there are: .*hermes.*json.*mistral"):
        ChatFormat.of("", tool_format="odd")


@pytest.mark.parametrize("form", THREE)
@pytest.mark.parametrize("nesting", ["[", '{"a":'])
def test_a_model_that_nests_without_an_end_has_made_a_malformed_call(form, nesting):
    start = {"hermes": "<tool_call>", "mistral": "[TOOL_CALLS]add[ARGS]", "json": '{"name": "add", "parameters": '}[
        form
    ]
    if form == "mistral":
        nesting = '{"a":'
    _, text, [(_, arguments)] = parse([start, nesting * 100_000], form)
    assert text == ""
    assert arguments.endswith(nesting * 100_000)


def test_values_without_a_type_of_their_own_are_what_the_schema_takes():
    maybe = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    odd = {"type": "function", "function": {"name": "bare", "parameters": None}}
    kinds = {
        "to": maybe,
        "cc": maybe,
        "code": {"type": ["string", "integer"]},
        "zip": {"type": ["string", "integer"]},
        "n": {"type": "integer"},
        "any": True,
        "unit": {"enum": ["7", "8"]},
        "yes": {"type": "boolean"},
        "list": {"type": "array"},
    }
    values = {
        "to": ("12345", "12345"),
        "cc": ("null", None),
        "code": ("7", 7),
        "zip": ("007", "007"),
        "n": ("7", 7),
        "any": ("7", 7),
        "unit": ("7", "7"),
        "yes": ("True", True),
        "list": ("['a', 1]", ["a", 1]),
        "more": ("7", 7),
    }
    body = "".join(f"<parameter={name}>\n{value}\n</parameter>" for name, (value, _) in values.items())
    calls = (
        f"<tool_call><function=send>{body}</function>\n<function=bare><parameter=x>1</parameter></function></tool_call>"
    )
    _, _, [(_, sent), (name, bare)] = parse([calls], tools=[tool("send", **kinds), odd])
    assert json.loads(sent) == {name: value for name, (_, value) in values.items()}
    assert (name, json.loads(bare)) == ("bare", {"x": 1})


def test_values_in_tags_of_their_own_name_are_objects_and_lists():
    sign = "]<]minimax[>["
    body = f"{sign}<at>{sign}<x>1{sign}</x>{sign}<y>b{sign}</y>{sign}</at>"
    body += f"{sign}<all>{sign}<item>1{sign}</item>{sign}</all>"
    text = f'{sign}<tool_call>{sign}<invoke name="put">{body}{sign}</invoke>{sign}</tool_call>'
    _, _, [(_, put)] = parse([text], "minimax-m3", tools=[tool("put", at={"type": "object"}, all={"type": "array"})])
    assert json.loads(put) == {"at": {"x": 1, "y": "b"}, "all": [1]}


def test_a_mark_inside_a_string_is_a_part_of_the_string():
    note = {"text": 'use [TOOL_CALLS] and "[ARGS]" here'}
    for text in (
        f"[TOOL_CALLS]note[ARGS]{json.dumps(note)}[TOOL_CALLS]add[ARGS]",
        f"[TOOL_CALLS]{json.dumps([{'name': 'note', 'arguments': note}])}[TOOL_CALLS]add[ARGS]{{}}",
    ):
        _, _, [(_, noted), added] = parse([text], "mistral")
        noted = json.loads(noted)
        assert noted == note
        assert added == ("add", "{}")
    _, _, calls = parse(['[TOOL_CALLS]note[ARGS]{"text": "lost[TOOL_CALLS]add[ARGS]{}'], "mistral")
    assert calls == [("note", '{"text": "lost'), ("add", "{}")]
