"""Calls that follow the grammar of a chat format are read by it, with arguments that fit the tools' schemas."""

import json
import random
import re
from datetime import date
from functools import cache

import jsonschema
import pytest

from aimu.engines import ChatFormat
from aimu.engines._formats.marks import is_strong
from aimu.engines._formats.table import table_of
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.grammars import Grammars
from tests.engines.formats.families import FAMILIES
from tests.engines.grammars.following import followed, spell, vocabulary


def tool(name, needed=(), **properties):
    parameters = {"type": "object", "properties": properties, "required": list(needed)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    tool("get_time"),
    tool("add", "ab", a={"type": "integer"}, b={"type": "number", "maximum": 99}),
    tool(
        "find",
        ["text"],
        text={"type": "string"},
        kind={"enum": ["x", "y z"]},
        more={"type": "array", "items": {"type": "string", "maxLength": 4}},
        quiet={"type": "boolean"},
        place={"anyOf": [{"type": "string", "maxLength": 9999}, {"type": "null"}]},
        mode={"const": "a b"},
        level={"enum": [1, "two"]},
    ),
]
WITHOUT = {"gemma4", "muse"}
"""Formats whose strings have quotes of their own, or that name a call in a header and once more behind it."""
HEADERS = {"harmony", "muse"}
START = "<|start|>assistant"


@cache
def grammars_of(name, special):
    form = ChatFormat.of(FAMILIES[name].template)
    words = vocabulary(*(sorted(filter(is_strong, table_of(form.rows).all_marks)) if special else ()))
    warnings = []
    return form, words, Grammars(lambda shown: words, lambda about, text: warnings.append(text)), warnings


def replies(name, asked, special, count, seed=3):
    """Replies of random weights, those that came to their end, read with the chat format."""
    form, words, grammars, warnings = grammars_of(name, special)
    rng = random.Random(seed)
    for _ in range(count):
        constraint = grammars.constraint(asked, form, begun=False, thinking=True)
        assert constraint is not None, warnings
        text, ended = followed(constraint, words, rng, 1200)
        if ended:
            yield text, form.read(text, tools=asked.tools or TOOLS, prompt_end=START if name in HEADERS else "")


@pytest.mark.parametrize(
    ("name", "special"),
    [
        (name, special)
        for name in FAMILIES
        if name not in WITHOUT
        for special in ([True] if name in HEADERS else [True, False])
    ],
)
def test_forced_calls_are_calls_with_valid_arguments(name, special):
    schemas = {each["function"]["name"]: each["function"]["parameters"] for each in TOOLS}
    found = list(replies(name, Asked(tools=TOOLS, forced=True), special, 4))
    assert found or not special  # chance does not spell the mark behind a text
    for text, reply in found:
        assert reply.calls, text
        assert not reply.text.strip(), text
        for call in reply.calls:
            jsonschema.validate(json.loads(call.arguments), schemas[call.name])


LIMITED = tool(
    "note",
    ["day", "code", "text"],
    day={"type": "string", "format": "date"},
    code={"type": "string", "pattern": "^[a-z]/[0-9]"},
    text={"type": "string", "minLength": 2, "maxLength": 4},
    short={"type": "string", "maxLength": 1},
    word={"type": "string", "pattern": r"^\p{Lu}x?$"},
)


@pytest.mark.parametrize(
    ("name", "special"),
    [
        (name, special)
        for name in FAMILIES
        if name not in WITHOUT
        for special in ([True] if name in HEADERS else [True, False])
    ],
)
def test_texts_keep_to_the_limits_of_their_schema(name, special):
    asked = Asked(tools=[LIMITED], forced=True, several=False)
    found = list(replies(name, asked, special, 4, seed=5))
    assert found or not special
    for text, reply in found:
        for call in reply.calls:
            given = json.loads(call.arguments)
            date.fromisoformat(given["day"])
            assert re.match("[a-z]/[0-9]", given["code"]), text
            assert 2 <= len(given["text"]) <= 4, text
            assert len(given.get("short", "")) <= 1, text
            assert re.fullmatch("[^a-z]x?", given.get("word", "X")), text


UNIONS = {
    "$defs": {
        "Size": {"enum": ["12", "dark blue"], "type": "string"},
        "Point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    },
    "type": "object",
    "properties": {
        "size": {"$ref": "#/$defs/Size"},
        "some": {"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}], "default": None},
        "one": {"anyOf": [{"enum": ["a", "b"], "type": "string"}, {"const": 3}, {"type": "boolean"}]},
        "short": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
        "day": {"type": ["string", "null"], "pattern": "^[a-f]{3}$"},
        "either": {"anyOf": [{"type": "string", "maxLength": 2}, {"const": "a b c"}, {"type": "number"}]},
        "two": {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "string", "minLength": 20, "maxLength": 22}]},
        "place": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "string"}]},
        "same": {"allOf": [{"$ref": "#/$defs/Size"}], "title": "Same"},
    },
}
UNIONS["required"] = [*UNIONS["properties"]]


@pytest.mark.parametrize("special", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("name", ["xml", "glm", "dsml", "minimax", "seed", "lfm2", "hermes"])
def test_alternatives_of_a_text_are_held_to_their_limits(name, special):
    tools = [{"type": "function", "function": {"name": "note", "parameters": UNIONS}}]
    found = list(replies(name, Asked(tools=tools, forced=True, several=False), special, 4, seed=2))
    assert found or not special
    for text, reply in found:
        for call in reply.calls:
            jsonschema.validate(json.loads(call.arguments), UNIONS)
            assert '"12"' not in text or name in ("lfm2", "hermes")
    assert grammars_of(name, special)[3] == []


def test_a_limited_text_beside_a_list_or_an_object_is_left_to_validation_and_logged():
    form, _, grammars, warnings = grammars_of("xml", True)
    text = {"anyOf": [{"type": "string", "maxLength": 2, "pattern": "^a"}, {"type": "array", "items": {}}]}
    warnings.clear()
    asked = Asked(tools=[tool("note", ["text"], text=text)], forced=True)
    assert grammars.constraint(asked, form, begun=False, thinking=True) is not None
    assert [warning.partition(", but ")[2] for warning in warnings] == [
        "the keyword 'pattern' of a union is only validated",
        "the keyword 'maxLength' of a union is only validated",
    ]
    warnings.clear()


@pytest.mark.parametrize("special", [True, False], ids=["tokens", "text"])
def test_a_great_length_is_left_to_validation_and_logged(special):
    tools = [tool("note", ["text"], text={"type": "string", "minLength": 3000, "maxLength": 10**6})]
    failed, _ = tagged_reply(special, "a" * 500, tools=tools)
    assert not failed
    assert grammars_of("xml", special)[3].pop().endswith("the keyword 'minLength' is only validated")


@pytest.mark.parametrize(("name", "key"), [("xml", "a>b"), ("dsml", 'a"b'), ("lfm2", "a b"), ("glm", " a")])
def test_an_argument_whose_name_a_format_cannot_write_is_left_to_validation(name, key):
    form, _, grammars, warnings = grammars_of(name, True)
    asked = Asked(tools=[TOOLS[0], tool("act", [key], **{key: {"type": "string"}})], forced=True)
    assert grammars.constraint(asked, form, begun=False, thinking=True) is None
    assert warnings[-1].endswith(f"cannot have arguments with the names {key!r}")
    form, _, grammars, _ = grammars_of("hermes", True)
    assert grammars.constraint(asked, form, begun=False, thinking=True) is not None


def tagged_reply(special, value, tools=TOOLS[2:]):
    """A call in Qwen's XML with a text as its argument, as far as the grammar allows it, and what is read."""
    form, words, grammars, _ = grammars_of("xml", special)
    asked = Asked(tools=tools, forced=True, several=False)
    constraint = grammars.constraint(asked, form, begun=False, thinking=False)
    argument = f"<parameter=text>\n{value}\n</parameter>"
    text = f"<tool_call>\n<function={tools[0]['function']['name']}>\n{argument}\n</function>\n</tool_call>"
    pieces = re.split(f"({'|'.join(map(re.escape, words.special.values()))})", text) if special else [text]
    for piece in pieces:
        token = next((token for token, mark in words.special.items() if mark == piece), None)
        if token is None:
            spell(constraint, words, piece)
        else:
            constraint.accept(token)
    return constraint.failed, form.read(text, tools=tools)


@pytest.mark.parametrize("special", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("value", ["<div>[1] </p>\n</div>", "", 'say "hi"', "</param", "\n\n"])
def test_a_text_between_marks_may_be_any_that_does_not_end_it(special, value):
    failed, reply = tagged_reply(special, value)
    assert not failed
    assert json.loads(reply.calls[0].arguments) == {"text": value}
    assert tagged_reply(False, "a<parameter=kind>b")[0]


@pytest.mark.parametrize("special", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize(
    ("schema", "fits", "not_"),
    [
        ({"format": "date"}, ["2024-02-29"], ["2023-02-29", "2024-02-29 "]),
        ({"pattern": "/"}, ["/", "a/b", "a\n/\nb"], ["a"]),
        ({"pattern": r"^\d+$", "maxLength": 3}, ["123"], ["1234", "a"]),
        ({"maxLength": 5}, ["", "a", "a\nb c", "</p>x"], ["abcdef"]),
        ({"minLength": 2}, ["ab", "a\n\nb"], ["a", ""]),
        ({"minLength": 30}, ["a" * 30], ["a", f"a</parameter>{'b' * 40}"]),
        ({"pattern": "^a|b$"}, ["ax", "xb"], ["x"]),
        ({"pattern": "^[^/]*$"}, ["ab"], ["a/b"]),
        ({"pattern": "[/]"}, ["a/b"], ["ab"]),
        ({"pattern": r"^x\\$"}, ["x\\"], ["x"]),
        ({"pattern": "(?i)^ab$"}, ["aB"], ["b"]),
        ({"minLength": 1, "maxLength": 1}, ["é"], ["", "ab"]),
    ],
)
def test_a_limited_text_stands_on_lines_of_its_own(special, schema, fits, not_):
    tools = [tool("note", ["text"], text={"type": "string", **schema})]
    for value in fits:
        failed, reply = tagged_reply(special, value, tools=tools)
        assert not failed, value
        assert json.loads(reply.calls[0].arguments) == {"text": value}
    for value in not_:
        assert tagged_reply(special, value, tools=tools)[0], value


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in WITHOUT])
def test_one_call_of_one_tool(name):
    asked = Asked(tools=TOOLS[1:2], forced=True, several=False)
    found = list(replies(name, asked, True, 5))
    assert found
    for text, reply in found:
        assert [call.name for call in reply.calls] == ["add"], text


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_a_format_without_a_grammar_is_left_to_validation(name):
    form, _, grammars, warnings = grammars_of(name, True)
    assert grammars.constraint(Asked(tools=TOOLS, forced=True), form, begun=False, thinking=True) is None
    assert "only validated" in warnings[-1]
    assert "format" in warnings[-1]


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_a_message_with_a_header(name):
    schema = {"type": "object", "properties": {"a": {"enum": ["<|start|>", "<|end|>"]}}, "required": ["a"]}
    form, words, grammars, _ = grammars_of(name, True)
    asked, rng, seen = Asked(kind="json_schema", value=schema), random.Random(6), set()
    for _ in range(12):
        text, ended = followed(grammars.constraint(asked, form, begun=False, thinking=True), words, rng)
        if ended:
            reader = form.reader(tools=TOOLS, prompt_end=START, verbatim=True)
            reader.feed(text)
            reply = reader.finish()
            assert json.loads(reply.text)["a"] in ("<|start|>", "<|end|>"), text
            seen.add(bool(reply.thinking))
    assert True in seen
    form, _, grammars, warnings = grammars_of(name, False)
    assert grammars.constraint(asked, form, begun=False, thinking=True) is None
    assert "are no tokens" in warnings[-1]


@pytest.mark.parametrize("name", ["hermes", "mistral", "glm"])
def test_an_answer_beside_tools_is_json_or_calls(name):
    schema = {"type": "object", "properties": {"response": {"enum": ["<tool_call>", "{}"]}}, "required": ["response"]}
    seen = set()
    form, words, grammars, _ = grammars_of(name, True)
    rng = random.Random(1)
    for _ in range(25):
        asked = Asked(kind="json_schema", value=schema, tools=TOOLS[:1])
        text, ended = followed(grammars.constraint(asked, form, begun=False, thinking=True), words, rng)
        if ended:
            reader = form.reader(tools=TOOLS, verbatim=True)
            reader.feed(text)
            reply = reader.finish()
            assert bool(reply.calls) != bool(reply.text.strip()), text
            if reply.text:
                assert json.loads(reply.text)["response"] in ("<tool_call>", "{}")
            seen.add(bool(reply.calls))
    assert seen == {True, False}


def test_bare_calls_do_not_stand_beside_an_answer():
    form, _, grammars, warnings = grammars_of("json", True)
    asked = Asked(kind="json_schema", value={"type": "object"}, tools=TOOLS)
    assert grammars.constraint(asked, form, begun=False, thinking=True) is None
    assert "may begin like an answer" in warnings[-1]


THINKING = [name for name in FAMILIES if FAMILIES[name].thinks and name not in HEADERS]
DATE = Asked(kind="regex", value="[0-9]{2}-[0-9]{2}")


def test_thinking_ends_before_the_answer():
    thoughts = set()
    for name in THINKING:
        form, words, grammars, _ = grammars_of(name, True)
        rng = random.Random(2)
        for prompt in {"", FAMILIES[name].opens}:
            for _ in range(8):
                reader = form.reader(tools=TOOLS, prompt_end=prompt, verbatim=True)
                constraint = grammars.constraint(DATE, form, begun=reader.thinking, thinking=True)
                text, ended = followed(constraint, words, rng)
                if ended:
                    reader.feed(text)
                    reply = reader.finish()
                    assert re.fullmatch("[0-9]{2}-[0-9]{2}", reply.text), (name, text)
                    if reply.thinking:
                        thoughts.add(name)
    assert len(thoughts) > len(THINKING) // 2


@pytest.mark.parametrize("name", THINKING)
def test_marks_that_are_no_tokens_are_spelled(name):
    form, words, grammars, _ = grammars_of(name, False)
    reader = form.reader(tools=TOOLS, prompt_end=FAMILIES[name].opens, verbatim=True)
    constraint = grammars.constraint(DATE, form, begun=reader.thinking, thinking=True)
    thought = FAMILIES[name].think("a <b> or 1 [2]").removeprefix(FAMILIES[name].opens)
    spell(constraint, words, thought)
    assert not constraint.failed
    answer, ended = followed(constraint, words, random.Random(2))
    reader.feed(thought + answer)
    reply = reader.finish()
    assert ended
    assert re.fullmatch("[0-9]{2}-[0-9]{2}", reply.text), answer
    assert "a <b> or 1 [2]" in reply.thinking


def test_without_thinking_the_answer_comes_first():
    form, words, grammars, _ = grammars_of("hermes", True)
    asked = Asked(kind="regex", value="[0-9]{2}")
    for _ in range(10):
        constraint = grammars.constraint(asked, form, begun=False, thinking=False)
        text, ended = followed(constraint, words, random.Random(4))
        assert ended
        assert text.isdecimal()
