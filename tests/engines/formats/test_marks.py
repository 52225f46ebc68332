"""Where the marks of a format count: wherever they begin, except in strings and in what is read verbatim."""

import json

from aimu.engines import ChatFormat
from aimu.engines._formats.source import Marks
from tests.engines.formats.test_reading import parse


def test_a_mark_is_found_behind_signs_that_only_seem_to_begin_one():
    marks = Marks(["```json", "<tool call>", "<"])
    for before in ("``", "`````", "x``"):
        assert marks.find(f"{before}```json", 0, True) == (len(before), len(before) + 7, "```json")
        for cut in range(len(before), len(before) + 7):
            assert marks.find(f"{before}```json"[:cut], 0, False) <= len(before)
    assert marks.find("<tool  \n call>", 0, True) == (0, 14, "<tool call>")
    assert marks.find("x<tool ", 0, True) == (1, 2, "<")
    assert marks.find("x<tool ", 0, False) == 1


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


def test_a_mark_is_found_where_another_one_seems_to_begin_a_character_before_it():
    form = ChatFormat.of("", tool_format="minimax-m3")
    text = "<mm:think>See [2]</mm:think>The answer."
    for size in (1, 3, len(text)):
        reader = form.reader()
        for at in range(0, len(text), size):
            reader.feed(text[at : at + size])
        reply = reader.finish()
        assert (reply.thinking, reply.text) == ("See [2]", "The answer.")


def test_an_answer_that_is_read_verbatim_keeps_its_marks():
    form = ChatFormat.of("", tool_format="hermes")
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    answer = '{"a": "<think>x</think><tool_call>{}</tool_call>[TOOL_CALLS]```"}'
    for text in (answer, f"[{answer}]", f"<think>Hm.</think>\n{answer}"):
        for size in (1, 4, len(text)):
            reader = form.reader(tools=tools, verbatim=True)
            for at in range(0, len(text), size):
                reader.feed(text[at : at + size])
            reply = reader.finish()
            assert reply.text == text.rpartition("\n")[2]
            assert (reply.thinking, reply.calls) == ("Hm." if "Hm." in text else "", ())
    reader = form.reader(tools=tools, verbatim=True)
    reader.feed('<tool_call>{"name": "add", "arguments": {}}</tool_call>')
    assert [call.name for call in reader.finish().calls] == ["add"]
