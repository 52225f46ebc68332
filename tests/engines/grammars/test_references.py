"""References in a schema, of any draft, are held in answers and in calls; one without an end never hangs anything."""

import json
import random
from functools import cache

import jsonschema
import pytest
from referencing.exceptions import Unresolvable

from aimu._core.json_check import best_error
from aimu.engines import ChatFormat
from aimu.engines._formats.marks import is_strong
from aimu.engines._formats.table import table_of
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.constraint import Compiler, is_readable
from aimu.engines._grammars.grammars import Grammars
from aimu.engines._grammars.schemas import Rewriting, are_apart
from aimu.errors import InvalidOptionError
from aimu.tools import Tool
from tests.engines.asking import ask, streamed
from tests.engines.formats.families import FAMILIES
from tests.engines.grammars.following import followed, vocabulary
from tests.test_linear_readers import FACTOR, growth_to_the_largest

WORDS = vocabulary()
COMPILER = Compiler(WORDS)
COLOR = {"enum": ["red", "green"]}
SIZE = {"type": "integer", "minimum": 1, "maximum": 3}
NODE = {
    "type": "object",
    "properties": {"size": SIZE, "parts": {"type": "array", "maxItems": 2, "items": {"$ref": "#/definitions/Node"}}},
    "required": ["size"],
    "additionalProperties": False,
}


def arguments(a, b=SIZE, **beside):
    """The schema of two arguments, both needed."""
    return {"type": "object", "properties": {"a": a, "b": b}, "required": ["a", "b"], **beside}


DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}
FOUND = {
    "definitions": arguments({"$ref": "#/definitions/C"}, definitions={"C": COLOR}, **DRAFT_7),
    "definitions of definitions": arguments(
        {"$ref": "#/definitions/L"},
        definitions={
            "L": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"$ref": "#/definitions/C"}},
            "C": COLOR,
        },
    ),
    "a part named C beside $defs": arguments(
        {"$ref": "#/definitions/C"}, {"$ref": "#/$defs/C"}, definitions={"C": COLOR}, **{"$defs": {"C": SIZE}}
    ),
    "another argument": arguments({"$ref": "#/properties/b"}),
    "items of another argument": arguments(
        {"$ref": "#/properties/b/items"}, {"type": "array", "maxItems": 2, "items": SIZE}
    ),
    "an alternative": arguments({"$ref": "#/properties/b/anyOf/1"}, {"anyOf": [SIZE, COLOR]}),
    "nested definitions": arguments({"$ref": "#/properties/b/$defs/C"}, {**SIZE, "$defs": {"C": COLOR}}),
    "definitions of a part that was put in": arguments({"$ref": "#/$defs/C", "$defs": {"C": COLOR}}),
    "a place of any name": arguments({"$ref": "#/components/schemas/C"}, components={"schemas": {"C": COLOR}}),
    "an escaped name": arguments({"$ref": "#/$defs/x~1y~0%20z"}, **{"$defs": {"x/y~ z": COLOR}}),
    "an anchor": arguments({"$ref": "#color"}, **{"$defs": {"C": {"$anchor": "color", **COLOR}}}),
    "an identity": arguments(
        {"$ref": "color.json"},
        **{"$id": "https://example.com/tool.json", "$defs": {"C": {"$id": "color.json", **COLOR}}},
    ),
    "a pointer in an identity": arguments(
        {"$ref": "color.json#/$defs/D"},
        **{"$id": "https://example.com/tool.json", "$defs": {"C": {"$id": "color.json", "$defs": {"D": COLOR}}}},
    ),
    "the whole": {"$ref": "#/definitions/Args", "definitions": {"Args": arguments(COLOR)}, **DRAFT_7},
    "a tree": arguments({"$ref": "#/definitions/Node"}, definitions={"Node": NODE}),
    "a list in itself": arguments({"type": "array", "maxItems": 2, "items": {"$ref": "#/properties/a"}}),
    "two in turn": arguments(
        {"$ref": "#/definitions/A"},
        definitions={
            "A": {"type": "object", "properties": {"b": {"$ref": "#/definitions/B"}}, "additionalProperties": False},
            "B": {"type": "array", "maxItems": 2, "items": {"$ref": "#/definitions/A"}},
        },
    ),
    "the whole in itself": {
        "type": "object",
        "properties": {"a": COLOR, "b": {"type": "array", "maxItems": 1, "items": {"$ref": "#"}}},
        "required": ["a"],
        "additionalProperties": False,
    },
    "an allOf of one": arguments({"allOf": [{"$ref": "#/definitions/Node"}]}, definitions={"Node": NODE}),
    "limits beside": arguments(
        {"$ref": "#/$defs/S", "maxLength": 3, "description": "short"},
        **{"$defs": {"S": {"type": "string", "minLength": 2}}},
    ),
    "itself or a text": arguments({"$ref": "#/$defs/A"}, **{"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, COLOR]}}}),
    "what is never true": arguments(
        COLOR, **{"properties": {"a": COLOR, "b": SIZE, "c": {"$ref": "#/$defs/N"}}, "$defs": {"N": False}}
    ),
    "data that looks like a reference": arguments({"const": {"$ref": "#/definitions/X"}}),
    "an argument named $ref": {"type": "object", "properties": {"$ref": COLOR}, "required": ["$ref"]},
}


def texts(schema, count):
    """Random texts that a schema allows, those that came to their end, and what is lost."""
    made, rewriting = Rewriting.of(schema, is_readable)
    grammar, rng = json.dumps({"grammars": [{"json_schema": made}]}), random.Random(5)
    found = [followed(COMPILER.constraint(grammar), WORDS, rng) for _ in range(count)]
    return [text for text, ended in found if ended], rewriting.lost


@cache
def grammars_of(name):
    form = ChatFormat.of(FAMILIES[name].template)
    words = vocabulary(*sorted(filter(is_strong, table_of(form.rows).all_marks)))
    warnings = []
    return form, words, Grammars(lambda shown: words, lambda about, text: warnings.append(text)), warnings


def replies(name, tools, count):
    """Replies of random weights with calls, those that came to their end, read with the chat format."""
    form, words, grammars, warnings = grammars_of(name)
    warnings.clear()
    rng, asked = random.Random(3), Asked(tools=tools, forced=True, several=False)
    for _ in range(count):
        constraint = grammars.constraint(asked, form, begun=False, thinking=False)
        assert constraint is not None, warnings
        assert warnings == []
        text, ended = followed(constraint, words, rng, 1200)
        if ended:
            yield form.read(text, tools=tools, prompt_end="<|start|>assistant" if name == "harmony" else "")


def check(schema, value):
    """Validate a value. jsonschema finds no definitions of a part that was put in, and follows itself for ever."""
    try:
        assert best_error(jsonschema.Draft202012Validator(schema), value) is None
    except (Unresolvable, RecursionError):
        assert value["a"] in COLOR["enum"]


@pytest.mark.parametrize("name", FOUND)
def test_a_reference_is_held(name):
    found, lost = texts(FOUND[name], 12)
    assert lost == []
    assert len(found) > 5
    for text in found:
        check(FOUND[name], json.loads(text))


@pytest.mark.parametrize("format_name", ["xml", "glm", "lfm2", "hermes", "harmony"])
@pytest.mark.parametrize("name", FOUND)
def test_a_reference_is_held_in_a_call(name, format_name):
    """Between marks, where a text has no quotes, the reader follows references too."""
    schema = FOUND[name]
    tool = Tool(name="paint", function=dict, description="Paint.", parameters=schema)
    calls = [call for reply in replies(format_name, [tool.schema], 6) for call in reply.calls]
    assert len(calls) > 2
    for call in calls:
        check(schema, json.loads(call.arguments))


E = {"$ref": "#/definitions/E"}
NEEDED = {"type": "object", "properties": {"e": E}, "required": ["e"]}
LONG = {f"D{i}": {"type": "array", "items": {"$ref": f"#/definitions/D{i + 1}"}} for i in range(3000)}
CROWD = {
    f"D{i}": {
        "type": "object",
        "properties": {f"p{j}": {"allOf": [{"$ref": f"#/definitions/D{j}"}, {"minProperties": 0}]} for j in range(12)},
    }
    for i in range(12)
}
REFUSED = {
    "an object in itself": (NEEDED, "no value fits it that has an end"),
    "a list in itself": ({"type": "array", "minItems": 1, "items": E}, "no value fits it that has an end"),
    "an alternative of itself": ({"anyOf": [E]}, "no value fits it that has an end"),
    "parts of itself": ({"type": "object", "allOf": [E, {"minProperties": 0}]}, "no value fits it that has an end"),
    "more limits inside": (
        {"type": "object", "properties": {"e": {**E, "minProperties": 1}}},
        "circular references with sibling keys are not supported",
    ),
    "many within each other": ({"$ref": "#/definitions/D0"}, "it nests too deeply"),
    "many combined": ({"$ref": "#/definitions/F0"}, "it combines too many schemas by 'allOf'"),
}
BESIDE = {**LONG, **{f"F{key[1:]}": json.loads(json.dumps(node).replace("/D", "/F")) for key, node in CROWD.items()}}


@pytest.mark.parametrize("format_name", ["xml", "hermes"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_without_an_end_is_left_to_validation(name, format_name):
    node, reason = REFUSED[name]
    schema = arguments(E, definitions={"E": node, **BESIDE})
    form, _, grammars, warnings = grammars_of(format_name)
    warnings.clear()
    tool = Tool(name="paint", function=dict, description="Paint.", parameters=schema)
    asked = Asked(tools=[tool.schema], forced=True)
    assert grammars.constraint(asked, form, begun=False, thinking=False) is None
    assert len(warnings) == 1
    assert reason in warnings[0]
    with pytest.raises(InvalidOptionError, match=reason):
        own = Asked(kind="json_schema", value=schema, own=True)
        grammars.constraint(own, form, begun=False, thinking=False)


LEFT_OUT = {
    "an argument": ({"type": "object", "properties": {"a": COLOR, "c": E}, "required": ["a"]}, {"a"}),
    "an argument with it inside": (
        {
            "type": "object",
            "properties": {"a": COLOR, "c": {"type": "array", "minItems": 1, "items": E}},
            "required": ["a"],
        },
        {"a"},
    ),
    "an alternative": (arguments({"anyOf": [E, COLOR]}), {"a", "b"}),
    "an alternative with it inside": (arguments({"anyOf": [NEEDED, COLOR]}), {"a", "b"}),
    "items": (arguments({"type": "array", "items": E}), {"a", "b"}),
    "more properties": ({**arguments(COLOR), "additionalProperties": E}, {"a", "b"}),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_part_without_an_end_is_never_begun(name):
    schema, names = LEFT_OUT[name]
    schema = {**schema, "definitions": {"E": NEEDED}}
    found, lost = texts(schema, 12)
    assert lost == []
    assert len(found) == 12
    for text in found:
        assert json.loads(text).keys() == names
        check(schema, json.loads(text))
    if name == "more properties":
        return  # which no call in marks has
    tool = Tool(name="paint", function=dict, description="Paint.", parameters=schema)
    calls = [call for reply in replies("xml", [tool.schema], 4) for call in reply.calls]
    assert [json.loads(call.arguments).keys() for call in calls] == [names] * 4


@pytest.mark.parametrize(
    ("node", "reference"),
    [
        (E, "'#/$defs/E' to itself"),
        ({"$ref": "#/definitions/F"}, "'#/$defs/E' to itself"),
        ({"$ref": "#/definitions/nothing"}, "'#/definitions/nothing'"),
        ({"$ref": "https://example.com/schema.json"}, "'https://example.com/schema.json'"),
        ({"$ref": "http://[", "title": "no URL"}, "'http://['"),
    ],
)
def test_a_reference_to_nothing_is_left_to_validation_and_the_rest_is_held(node, reference):
    schema = arguments(node, definitions={"E": dict(E), "F": dict(E)})
    found, lost = texts(schema, 12)
    assert lost == [f"the reference {reference}"]
    assert len(found) > 5
    for text in found:
        check(SIZE, json.loads(text)["b"])


@pytest.mark.parametrize("ref", ["#", "#/definitions/E", "#/definitions/nothing"])
def test_a_schema_that_is_a_reference_to_nothing_is_left_to_validation(ref):
    form, _, grammars, warnings = grammars_of("hermes")
    warnings.clear()
    tool = Tool(name="paint", function=dict, description="", parameters={"$ref": ref, "definitions": {"E": dict(E)}})
    asked = Asked(tools=[tool.schema], forced=True)
    assert grammars.constraint(asked, form, begun=False, thinking=False) is None
    assert len(warnings) == 1
    assert "which leads nowhere" in warnings[0]


@pytest.mark.usefixtures("uncollected")
def test_a_schema_of_many_definitions_is_rewritten_in_linear_time():
    """One that needs them all, of which the last is first known to end."""

    def read(text):
        count = len(text) // 60
        names = {f"p{i}": {"$ref": f"#/$defs/D{i}"} for i in range(count)}
        defs = {f"D{i}": {"type": "null"} for i in reversed(range(count))}
        schema = {"type": "object", "properties": names, "required": list(names), "$defs": defs}
        made, _ = Rewriting.of(schema, is_readable)
        assert made["$defs"].keys() == defs.keys()

    assert growth_to_the_largest(read, ("x", "", "")) <= FACTOR


def test_alternatives_that_refer_to_each_other_are_compared_once():
    pair = {
        name: {
            "type": "object",
            "properties": {"a": {"anyOf": [{"$ref": f"#/$defs/{name}"}, COLOR]}},
            "required": ["a"],
        }
        for name in "AB"
    }
    schema = {"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": pair}
    _, rewriting = Rewriting.of(schema, is_readable, strict=True)
    assert rewriting.lost == ["the keyword 'oneOf' of alternatives that overlap"]


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (1, 1.0, False),
        (0, False, True),
        (1, True, True),
        ([1], [1.0], False),
        ([True], [1], True),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}, False),
        ({"a": 1}, {"a": "1"}, True),
        (None, False, True),
        (10**400, 1e300, True),
    ],
)
def test_values_are_compared_as_json_schema_does(one, other, apart):
    for schemas in ([{"const": one}, {"const": other}], [{"enum": [one]}, {"enum": ["x", other]}]):
        assert are_apart(schemas, {}) == apart
    validator = jsonschema.Draft202012Validator({"const": one})
    assert validator.is_valid(other) != apart


PAINT = {
    "$ref": "#/definitions/Args",
    "definitions": {"Args": arguments({"$ref": "#/definitions/Color"}, {"$ref": "#/definitions/Args/properties/a"}),
                    "Color": COLOR},
    **DRAFT_7,
}  # fmt: skip
CALL = {"tool_choice": "paint", "parallel_tool_calls": False, "thinking": False, "max_tokens": 120, "temperature": 2.0}


def painter(called):
    def paint(a, b):
        called.append((a, b))
        return "done"

    return Tool(name="paint", function=paint, description="Paint.", parameters=PAINT)


async def test_an_engine_calls_a_tool_of_draft_7_with_valid_arguments(engine):
    tool = painter([])
    for seed in range(3):
        request = ask("Paint it.", tools=[tool.schema], seed=seed, **CALL)
        replies = [await engine.complete(request), (await streamed(engine, request))[1]]
        for call in [call for reply in replies for call in reply.calls]:
            assert set(tool.bind(call.arguments).values()) <= set(COLOR["enum"])
        assert [len(reply.calls) for reply in replies] == [1, 1]


def test_so_does_the_sync_surface(weights):
    called = []
    client = weights.fork(keep_history=False)
    client.tools = [painter(called)]
    client.chat("Paint it.", {**CALL, "seed": 1})
    assert called
    assert all({a, b} <= set(COLOR["enum"]) for a, b in called)
