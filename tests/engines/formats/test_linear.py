"""The work of reading grows with the length of the text only, whatever a model repeats."""

import sys

import pytest

from aimu.engines import ChatFormat
from aimu.engines._formats.marks import ANY
from aimu.engines._formats.rows import ROWS
from tests.engines.formats.test_reading import TOOLS

REPEATED = [
    *("<", "{", "[", '"', "\\", " ", "\n", "word ", "```json\n", "<think>", "</think>", '{"name": "', "[add(", "[add"),
    *(
        '\n{"name": "add", ',
        '<tool_call>{"a',
        '<tool_call>{"</tool_call>',
        '<tool_call>{":"</tool_call>',
        '<tool_call>{"',
    ),
    *(
        '<think><tool_call>{"</think>',
        '<think>a<tool_call>{"name": "add"}</tool_call>',
        "<think>a<tool_call>add(</think>",
    ),
    '<tool_call>{"name": "add", "arguments": {"a": "}}</tool_call>',
    "<tool_call><function=add><parameter=a>1</parameter>x",
    "<function=add><parameter=a>1",
    "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value>",
    *("<|start|>assistant<|channel|>", "<|channel|>analysis<|message|>x", ' to=functions.add<|message|>{"a'),
    *('<odd>{"name": "add"', "<odd>add<odd>", '<odd>{"name": "add"}</odd>'),
]


def of_rows():
    for row in ROWS:
        for marks in row.calls:
            before = "".join(mark for mark in marks.opening if mark != ANY) + marks.prefix
            yield row.name, before
            yield row.name, marks.opening[-1]
            yield row.name, before + "add" + marks.naming + marks.key[0] + "a" + marks.key[1] + marks.value[0]
            yield row.name, before + "add" + marks.naming + '{"a": "'
            yield row.name, before + '{"name": "add", "arguments": {"a": "}}' + "".join(marks.closing)


def work(form, text, size):
    """Characters looked at, and calls of Python functions."""
    reader = ChatFormat.of("", tool_format=form).reader(tools=TOOLS)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for at in range(0, len(text), size):
            reader.feed(text[at : at + size])
        reader.end()
    finally:
        sys.setprofile(before)
    return reader.scanned, calls


@pytest.mark.parametrize("size", [7, 1 << 20], ids=["streamed", "whole"])
@pytest.mark.parametrize(("form", "unit"), [*(("json", unit) for unit in REPEATED), *of_rows()])
def test_twice_the_text_is_twice_the_work(form, unit, size):
    length = 4000
    text = unit * (2 * length // len(unit) + 1)
    for once, twice in zip(work(form, text[:length], size), work(form, text[: 2 * length], size), strict=True):
        assert twice < 2.2 * once + 10_000


@pytest.mark.parametrize("unit", ["word ", " ", '<tool_call>{"a": "', "<think>", '{"name": "add", '])
def test_a_megabyte_is_no_more_work_for_each_character(unit):
    reader = ChatFormat.of("", tool_format="hermes").reader(tools=TOOLS)
    text = (unit * (1 << 20))[: 1 << 20]
    for at in range(0, len(text), 64):
        reader.feed(text[at : at + 64])
    reader.end()
    assert reader.scanned < 8 * len(text)
