"""A history is written as each template takes it, and what a template does not show is told."""

import json
import re

import pytest

from aimu.engines import ChatFormat
from aimu.engines._formats.writing import Plan, shaped, write_calls
from aimu.errors import BadRequestError, EngineError, InvalidImageError
from tests.engines.asking import tool
from tests.engines.formats.families import CALLS, CHATML, FAMILIES, chat

TOOLS = [tool("book", city="string", nights="integer"), tool("note", text="string")]


def user(text):
    return {"role": "user", "content": text}


def call(number, name, arguments):
    function = {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
    return {"id": f"call_{number}", "type": "function", "function": function}


def assistant(text=None, *calls, thinking=""):
    message = {"role": "assistant", "content": text}
    message |= {"thinking": thinking} if thinking else {}
    return message | ({"tool_calls": list(calls)} if calls else {})


def result(number, text, name="book"):
    return {"role": "tool", "tool_call_id": f"call_{number}", "name": name, "content": text}


BOOK = call(1, "book", {"city": "Oslo", "nights": 3})
NOTE = call(2, "note", {"text": "Booked."})


def test_messages_are_what_templates_read_and_leave_the_history_alone():
    broken = {"id": "abcDEF123", "type": "function", "function": {"name": "book", "arguments": "{a"}}
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "1 "}, {"type": "text", "text": "and 2"}]},
        {**assistant(None, BOOK, broken, thinking="Hm."), "anthropic": {"x": 1}},
        {**result(1, "3"), "status": "cancelled", "stop_reason": "interrupted"},
        {"role": "tool", "tool_call_id": "abcDEF123", "name": "book", "content": "bad"},
        {"role": "assistant", "content": "It", "interrupted": True, "stop_reason": "interrupted"},
    ]
    before = json.dumps(history)
    system, asked, answered, first, second, last = shaped(history, Plan(thinking="reasoning_content"))
    assert json.dumps(history) == before
    assert system == history[0]
    assert asked == user("1 and 2")
    ids = [call["id"] for call in answered["tool_calls"]]
    assert answered["reasoning_content"] == "Hm."
    assert answered.keys() == {"role", "content", "tool_calls", "reasoning_content"}
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    assert re.fullmatch("[A-Za-z0-9]{9}", ids[0])
    assert ids[1] == "abcDEF123"
    assert first.keys() == {"role", "content", "tool_call_id", "name"}
    assert last == {"role": "assistant", "content": "It"}
    arguments = [call["function"]["arguments"] for call in answered["tool_calls"]]
    assert arguments == [{"city": "Oslo", "nights": 3}, {"arguments": "{a"}]
    as_text = shaped(history, Plan(arguments="text"))[2]["tool_calls"]
    assert [call["function"]["arguments"] for call in as_text] == ['{"city": "Oslo", "nights": 3}', "{a"]


def test_an_image_is_refused():
    image = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    with pytest.raises(InvalidImageError, match="shows no images"):
        ChatFormat.of(FAMILIES["hermes"].template).render([{"role": "user", "content": [image]}])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_turn_with_two_calls_is_shown_by_every_family(family):
    form = ChatFormat.of(family.template)
    history = [
        {"role": "system", "content": "Be brief."},
        user("Two nights in Oslo?"),
        assistant("I book.", BOOK, NOTE, thinking="Oslo it is."),
        result(1, "It is full."),
        result(2, "Noted.", "note"),
    ]
    prompt = form.render(history, tools=TOOLS, variables={"bos_token": "<s>", "eos_token": "</s>"})
    for shown in ("Be brief.", "Two nights", "book", "Oslo", "3", "Booked.", "It is full.", "Noted."):
        assert shown in prompt
    lost = form.lost(history, TOOLS)
    assert ("I book." in prompt) == ("text before a tool call" not in lost)
    assert ("Oslo it is." in prompt) == (not {"thinking", "thinking before a tool call"} & set(lost))
    assert not any("results" in what or "tools" in what for what in lost)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_malformed_call_spoils_no_later_request(family):
    form = ChatFormat.of(family.template)
    history = [user("Go."), assistant("", call(1, "book", '{"city": "Os')), result(1, "These are no arguments.")]
    prompt = form.render(history, tools=TOOLS)
    assert "no arguments" in prompt
    assert "Os" in prompt


def test_arguments_are_text_where_the_template_adds_them_to_text():
    prompt = ChatFormat.of(FAMILIES["deepseek-r1"].template).render([user("Go."), assistant("", BOOK), result(1, "ok")])
    assert '<｜tool▁sep｜>{"city": "Oslo", "nights": 3}<｜tool▁call▁end｜>' in prompt


def test_calls_stand_alone_where_the_template_takes_one_at_a_time():
    prompt = ChatFormat.of(FAMILIES["json"].template).render(
        [user("Go."), assistant("", BOOK, NOTE), result(1, "full"), result(2, "noted", "note"), assistant("Done.")]
    )
    order = [prompt.index(text) for text in ("Oslo", "full", "Booked.", "noted", "Done.")]
    assert order == sorted(order)


def test_the_system_message_goes_into_the_first_of_the_user_and_neighbours_are_one_where_it_must_be():
    strict = (
        "{% for m in messages %}{% if m.role == 'system' or (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('user, assistant, user') }}{% endif %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>"
        "{% endfor %}"
    )
    form = ChatFormat.of(strict)
    prompt = form.render([{"role": "system", "content": "Be brief."}, user("One."), user("Two."), assistant("Three.")])
    assert prompt == "<user>Be brief.\n\nOne.\n\nTwo.</user><assistant>Three.</assistant>"
    history = [user("Go."), assistant("", BOOK), result(1, "It is full.")]
    prompt = form.render(history, tools=TOOLS)
    assert '<tool_call>\n{"name": "book", "arguments": {"city": "Oslo", "nights": 3}}\n</tool_call>' in prompt
    assert prompt.endswith("<user><tool_response>\nIt is full.\n</tool_response></user>")
    assert form.lost(history, TOOLS) == ["tools"]


def test_calls_that_a_template_does_not_show_are_written_as_the_model_writes_them():
    silent = chat(*CHATML, "", first="{# <|tool_list_start|> #}")
    prompt = ChatFormat.of(silent).render([user("Go."), assistant("Yes.", BOOK, NOTE), result(1, "full")])
    calls = "<|tool_call_start|>[book(city='Oslo', nights=3), note(text='Booked.')]<|tool_call_end|>"
    assert f"assistant\nYes.\n{calls}<|im_end|>" in prompt


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thinking_goes_under_the_key_that_the_template_reads(key):
    form = ChatFormat.of(FAMILIES["hermes"].template.replace("reasoning_content", key))
    assert "<think>\nHm.\n</think>" in form.render([user("Go."), assistant("Yes.", thinking="Hm.")])
    assert not form.lost([assistant("Yes.", thinking="Hm.")], [])


def test_thinking_stands_in_the_content_where_the_template_has_no_key_but_knows_the_marks():
    form = ChatFormat.of(chat(*CHATML, "", first="{# <think> </think> #}"))
    assert "<think>\nHm.\n</think>\n\nYes." in form.render([user("Go."), assistant("Yes.", thinking="Hm.")])


def test_what_is_not_shown_is_named():
    deaf = ChatFormat.of("{% for m in messages %}<m>{{ m.content }}</m>{% endfor %}")
    history = [user("Go."), assistant("Yes.", thinking="Hm.")]
    assert deaf.name == "unknown"
    assert deaf.lost(history, TOOLS) == ["thinking", "tools"]
    assert deaf.lost([user("Go.")], []) == []
    assert deaf.unheard(None) == []
    assert "no switch" in deaf.unheard(True)[0]


def test_a_system_message_that_is_not_shown_behind_results_of_tools_is_named():
    late = (
        "{% for m in messages %}{% if m.role == 'user' and loop.last and messages[0].role == 'system' %}"
        "<system>{{ messages[0].content }}{% endif %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}{% endif %}{% endfor %}"
        "{{ tools | tojson if tools }}"
    )
    form = ChatFormat.of(late)
    system = {"role": "system", "content": "Be brief."}
    round_of_tools = [user("Go."), assistant(None, BOOK), result(1, "3")]
    assert "the system message behind the results of tools" in form.lost([system, *round_of_tools], TOOLS)
    assert not any("system" in what for what in form.lost(round_of_tools, TOOLS))
    assert not any("system" in what for what in form.lost([system, user("Go.")], TOOLS))


@pytest.mark.parametrize(
    ("switch", "on", "off"),
    [
        ("{{ '<think>' if enable_thinking is not defined or enable_thinking else '</think>' }}", "<think>", "</think>"),
        ("{{ '<think>' if thinking else '</think>' }}", "<think>", "</think>"),
        ("{{ '</think>' if reasoning_effort == 'none' else '<think>' }}", "<think>", "</think>"),
        ("{{ '</think>' if thinking_mode == 'disabled' else '<think>' }}", "<think>", "</think>"),
        ("{{ '</think>' if thinking_budget == 0 else '<think>' }}", "<think>", "</think>"),
        ("{{ '</think>' if '/no_think' in messages[0].content else '<think>' }}", "<think>", "</think>"),
    ],
)
def test_thinking_is_switched_by_whatever_switch_the_template_has(switch, on, off):
    body = chat(*CHATML, "")
    form = ChatFormat.of(body.removesuffix("{% endif %}") + switch + "{% endif %}")
    assert form.render([user("Go.")], thinking=True).endswith(on)
    assert form.render([user("Go.")], thinking=False).endswith(off)
    assert form.unheard(True) == form.unheard(False) == []


def test_a_switch_that_only_turns_thinking_down_is_used_and_told():
    form = ChatFormat.of(chat(*CHATML, "", first="Effort: {{ reasoning_effort or 'medium' }}. "))
    assert "Effort: low." in form.render([user("Go.")], thinking=False)
    assert "Effort: high." in form.render([user("Go.")], thinking=True)
    assert form.unheard(True) == []
    assert "only down" in form.unheard(False)[0]


def test_tools_go_where_the_template_looks_for_them():
    bare = chat(*CHATML, "").replace("tools", "functions").replace("| tojson", "")
    assert '"name": "book"' in ChatFormat.of(bare).render([user("Go.")], tools=TOOLS)


def test_a_way_of_tools_that_is_too_much_work_is_not_tried_behind_one_that_shows_them():
    loops = "{% for tool in tools %}{% for other in tools %}{{ '' }}{% endfor %}{{ tool | tojson }}{% endfor %}"
    form = ChatFormat.of(loops + FAMILIES["hermes"].template)
    history = [user("Go."), assistant(None, BOOK), result(1, "Booked.")]
    assert form.lost(history, TOOLS) == []
    assert form.name == "hermes"
    assert all(word in form.render(history, tools=TOOLS) for word in ("nights", "Oslo", "Booked."))


def test_a_template_that_refuses_or_is_none_is_a_bad_request():
    with pytest.raises(BadRequestError, match=r"refuses this conversation: Only cats\."):
        ChatFormat.of("{{ raise_exception('Only cats.') }}").render([user("Go.")])
    with pytest.raises(BadRequestError, match="base model"):
        ChatFormat.of("").render([user("Go.")])
    with pytest.raises(EngineError, match="cannot be read"):
        ChatFormat.of("{% for %}").render([user("Go.")])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_written_calls_are_read_again(family):
    form = ChatFormat.of(family.template)
    calls = [("book", '{"city": "Zürich", "nights": 3}'), ("note", '{"text": "say \\"x\\""}')]
    marks = next((marks for row in form.rows for marks in row.calls if marks.opening), None)
    if marks is None:
        return
    read = form.read(write_calls(marks, calls), tools=TOOLS).calls
    assert [(call.name, json.loads(call.arguments)) for call in read] == [(n, json.loads(a)) for n, a in calls]


def test_a_format_is_found_once():
    assert ChatFormat.of(FAMILIES["xml"].template) is ChatFormat.of(FAMILIES["xml"].template)
    assert ChatFormat.of(CALLS) is not ChatFormat.of(CALLS, tool_format="json")
    assert ChatFormat.of(FAMILIES["xml"].template, tool_format="mistral").name == "mistral"


PARTS = (
    "{% for m in messages %}{% for p in m['content'] %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}|{% endif %}{% endfor %}{% endfor %}"
)
WITH_IMAGES = PARTS.replace("{% endif %}", "{% elif p['type'] == 'image' %}<image>|{% endif %}")


def pictured(*parts):
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return {"role": "user", "content": [url if part is None else {"type": "text", "text": part} for part in parts]}


def test_a_template_that_reads_parts_only_gets_parts():
    form = ChatFormat.of(PARTS)
    assert form.render([{"role": "system", "content": "Be brief."}, user("Hi")]) == "Be brief.|Hi|"
    with pytest.raises(InvalidImageError, match="shows no images"):
        form.render([pictured("What", None)])


def test_images_stand_where_they_were_given():
    form = ChatFormat.of(WITH_IMAGES)
    assert form.render([pictured(None, "one", None, "two")]) == "<image>|one|<image>|two|"


def test_the_images_of_tools_stand_behind_all_their_results():
    history = [
        pictured("a"),
        {**pictured("b", None), "role": "tool"},
        {**pictured(None, "c"), "role": "tool"},
        user("d"),
    ]
    messages = shaped(history, Plan(images=True, parts=True))
    assert [message["role"] for message in messages] == ["user", "tool", "tool", "user", "user"]
    assert messages[3]["content"] == [{"type": "image"}, {"type": "image"}]


def test_a_template_that_prints_its_parts_as_python_does_shows_no_images():
    form = ChatFormat.of("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(InvalidImageError, match="shows no images"):
        form.render([pictured("What", None)])


def test_a_content_part_of_another_kind_is_refused():
    with pytest.raises(InvalidImageError, match="'input_audio'"):
        ChatFormat.of(WITH_IMAGES).render([{"role": "user", "content": [{"type": "input_audio"}]}])
