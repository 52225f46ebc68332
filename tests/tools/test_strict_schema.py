"""Schemas that strict services accept: tuples, malformed schemas of servers, and names that look like keywords."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import attrs
import jsonschema
import pytest
from pydantic import BaseModel, Field

from aimu.errors import ToolArgumentsError, ToolSignatureError
from aimu.tools import Tool, as_tool
from aimu.tools._schema import accepted
from aimu.tools._toolbox import content_of
from tests.tools.record import Record
from tests.tools.samples import Point, Tree, parameters

INTEGER, STRING = {"type": "integer"}, {"type": "string"}


class Spot(NamedTuple):
    x: int
    max_size: str = "m"


class Line(NamedTuple):
    start: Spot
    ends: list[Spot]


class Node(NamedTuple):
    n: int
    kids: list[Node] = []  # noqa: RUF012


class Route(NamedTuple):
    tree: Tree
    points: tuple[Point, ...] = ()
    spot: Spot = Spot(1)


@dataclasses.dataclass
class Box:
    corner: tuple[int, str]
    spot: Spot | None = None


def function_of(hint):
    def function(value): ...

    function.__annotations__ = {"value": hint}
    return as_tool(function)


def nodes(schema):
    if isinstance(schema, dict):
        yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from nodes(value)


TUPLES = [
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, int], [1, 2], (1, 2)),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (tuple[()], [], ()),
    (tuple, [1, "a"], (1, "a")),
    (tuple[Any, int], [None, 1], (None, 1)),
    (tuple[tuple[int, str], tuple[()]], [[1, "a"], []], ((1, "a"), ())),
    (list[tuple[int, str]], [[1, "a"]], [(1, "a")]),
    (dict[str, tuple[int, str]], {"title": [1, "a"]}, {"title": (1, "a")}),
    (tuple[int, str] | None, [1, "a"], (1, "a")),
    (str | tuple[int, str], [1, "a"], (1, "a")),
    (Annotated[tuple[int, str], Field(description="Both.")], [1, "a"], (1, "a")),
    (tuple[Point, int], [{"x": 1.0}, 2], (Point(1.0), 2)),
    (Spot, [1, "a"], Spot(1, "a")),
    (Spot, [1], Spot(1)),
    (list[Spot], [[1, "a"], [2]], [Spot(1, "a"), Spot(2)]),
    (Spot | None, [1, "a"], Spot(1, "a")),
    (tuple[Spot, Spot], [[1], [2]], (Spot(1), Spot(2))),
    (Line, [[1], [[2], [3, "a"]]], Line(Spot(1), [Spot(2), Spot(3, "a")])),
    (Node, [1, [[2], [3, [[4]]]]], Node(1, [Node(2), Node(3, [Node(4)])])),
    (Route, [{"name": "a"}], Route(Tree("a"))),
    (list[Route], [[{"name": "a"}, [{"x": 1}], [2]]], [Route(Tree("a"), (Point(1),), Spot(2))]),
    (Box, {"corner": [1, "a"], "spot": [1]}, Box((1, "a"), Spot(1))),
]


@pytest.mark.parametrize(("hint", "arguments", "value"), TUPLES)
def test_a_tuple_has_a_schema_that_services_accept_and_the_function_gets_the_tuple(hint, arguments, value):
    made = function_of(hint)
    for node in nodes(made.parameters):
        assert "prefixItems" not in node
        if node.get("type") == "array":
            assert isinstance(node["items"], dict)
    jsonschema.Draft202012Validator.check_schema(made.parameters)
    jsonschema.validate({"value": arguments}, made.parameters)
    got = made.bind(json.dumps({"value": arguments}))["value"]
    assert (got, type(got)) == (value, type(value))


def nested(wrap, depth=10_000):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = wrap(schema)
    return schema


def endless():
    schema = {"type": "object", "properties": {}}
    schema["properties"]["a"] = schema
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        nested(lambda inner: {"type": "array", "items": inner}),
        nested(lambda inner: {"type": "object", "properties": {"a": inner}}),
        nested(lambda inner: {"anyOf": [inner]}),
        {"$ref": "#/$defs/a", "$defs": {"a": nested(lambda inner: {"type": "object", "properties": {"a": inner}})}},
        endless(),
    ],
    ids=["items", "properties", "alternatives", "a definition", "in itself"],
)
def test_a_schema_that_nests_too_deeply_is_refused_where_the_tool_is_defined(schema):
    with pytest.raises(ToolSignatureError, match="nests too deeply or contains itself"):
        Tool(name="t", function=dict, description="", parameters=schema)


def test_thousands_of_definitions_that_refer_to_each_other_are_accepted():
    defs = {f"D{n}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/D{n + 1}"}}} for n in range(10_000)}
    schema = {"$ref": "#/$defs/D0", "$defs": {**defs, "D10000": {"type": "string"}}}
    tool = Tool(name="t", function=dict, description="", parameters=schema)
    assert tool.parameters["properties"] == defs["D0"]["properties"]
    assert tool.parameters["$defs"]["D10000"] == {"type": "string"}


def test_a_tuple_of_one_and_true_keeps_both():
    """They are equal in Python, and two values in JSON; 1 and 1.0 are one."""
    one = Tool(name="t", function=dict, description="", parameters=places({"const": 1}, {"const": True}))
    assert one.parameters["properties"]["value"]["items"]["anyOf"][1]["const"] is True
    made = Tool(name="t", function=dict, description="", parameters=places({"enum": [1]}, {"enum": [1.0]}))
    assert made.parameters["properties"]["value"]["items"] == {"enum": [1]}
    assert function_of(tuple[Literal[1], Literal[True]]).bind('{"value": [1, true]}') == {"value": (1, True)}


def places(*nodes):
    return {"type": "object", "properties": {"value": {"prefixItems": list(nodes), "items": False}}}


@pytest.mark.parametrize("wrong", [[1], [1, "a", 2], ["a", 1], [], "ab", {"a": 1}])
def test_a_tuple_is_validated_place_by_place(wrong):
    for hint in (tuple[int, str], list[tuple[int, str]], Box):
        value = {list[tuple[int, str]]: [wrong], Box: {"corner": wrong}}.get(hint, wrong)
        with pytest.raises(ToolArgumentsError):
            function_of(hint).bind(json.dumps({"value": value}))


def test_the_schema_of_a_tuple_says_how_many_items_there_are_and_what_they_are():
    def function(pair: tuple[int, int], mixed: tuple[int, str], none: tuple[()], spot: Spot, open: tuple[int, ...]): ...

    schema = parameters(function)
    assert schema["properties"] | schema["$defs"] == {
        "pair": {"type": "array", "minItems": 2, "maxItems": 2, "items": INTEGER},
        "mixed": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"anyOf": [INTEGER, STRING]},
            "description": "The items are, in this order: integer, string.",
        },
        "none": {"type": "array", "minItems": 0, "maxItems": 0, "items": {}},
        "spot": {"$ref": "#/$defs/Spot"},
        "open": {"type": "array", "items": INTEGER},
        "Spot": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {"anyOf": [INTEGER, STRING]},
            "description": "The items are, in this order: X, Max Size.",
        },
    }


WORDS = ("title", "description", "default", "properties", "required", "items", "type", "$defs", "enum")
Keyed = TypedDict("Keyed", dict.fromkeys(WORDS, int))
Recorded = attrs.make_class("Recorded", {word: attrs.field(type=int) for word in WORDS if word != "$defs"})


class Cat(BaseModel):
    kind: Literal["title"]
    title: str = Field(title="Own", json_schema_extra={"x-more": {"title": "kept"}})


class Dog(BaseModel):
    kind: Literal["default"]


def test_names_that_look_like_keywords_are_never_stripped():
    def function(
        title: str,
        description: int,
        default: dict[str, int] = {"title": 1, "required": 2},  # noqa: B006
        properties: Keyed | None = None,
        items: Recorded | None = None,
        required: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None,
    ): ...

    function.__annotations__.update(items=Recorded | None, properties=Keyed | None)
    schema = parameters(function)
    assert list(schema["properties"]) == ["title", "description", "default", "properties", "items", "required"]
    assert schema["required"] == ["title", "description"]
    assert schema["properties"]["default"]["default"] == {"title": 1, "required": 2}
    assert list(schema["$defs"]["Keyed"]["properties"]) == list(WORDS)
    assert sorted(schema["$defs"]["Keyed"]["required"]) == sorted(WORDS)
    assert list(schema["$defs"]["Recorded"]["properties"]) == [word for word in WORDS if word != "$defs"]
    assert '"mapping": {"default": "#/$defs/Dog", "title": "#/$defs/Cat"}' in json.dumps(schema, sort_keys=True)
    assert schema["$defs"]["Cat"]["properties"]["title"] == {"type": "string", "x-more": {"title": "kept"}}


MALFORMED = {
    "required null": {"type": "object", "properties": {"a": INTEGER}, "required": None},
    "required text": {"type": "object", "properties": {"a": INTEGER}, "required": "a"},
    "required true": {"type": "object", "properties": {"a": {**INTEGER, "required": True}}, "required": True},
    "required object": {"type": "object", "properties": {"a": INTEGER}, "required": {}},
    "no type": {"properties": {"a": INTEGER}},
    "type null": {"type": None, "properties": {"a": INTEGER}},
    "nulls": {"type": "object", "properties": {"a": INTEGER}, "$defs": None, "anyOf": None, "description": None},
    "empty lists": {"type": "object", "properties": {"a": INTEGER}, "anyOf": [], "$defs": [], "oneOf": []},
    "null inside": {"type": "object", "properties": {"a": {**INTEGER, "enum": None, "items": None, "title": None}}},
}
EMPTY = [
    {},
    {"type": "object"},
    {"type": "object", "properties": None},
    {"properties": []},
    {"type": None, "required": None},
]


@pytest.mark.parametrize("schema", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_keyword_in_a_given_schema_reads_as_absent(schema):
    before = json.dumps(schema)
    made = Tool(name="t", function=lambda **given: given, description="", parameters=schema)
    assert await Record().run(made, '{"b": 1}') == ["start", '{"b": 1}']
    jsonschema.Draft202012Validator.check_schema(made.parameters)
    assert made.parameters["type"] == "object"
    assert made.parameters["properties"] == {"a": INTEGER}
    assert json.dumps(schema) == before


@pytest.mark.parametrize("schema", EMPTY)
def test_a_schema_without_arguments_is_an_empty_object(schema):
    made = Tool(name="t", function=dict, description="", parameters=schema)
    assert {**made.parameters, "required": []} == {"type": "object", "properties": {}, "required": []}
    assert made.bind("{}") == {}


def test_null_is_kept_where_it_is_a_value():
    values = {"default": None, "enum": [None, 1], "const": None}
    schema = {"type": "object", "properties": {"a": values, "b": {"default": {"required": None}}}}
    assert accepted(schema) == schema


@pytest.mark.parametrize(
    ("array", "items"),
    [
        ({}, {}),
        ({"items": True}, {}),
        ({"items": None}, {}),
        ({"prefixItems": []}, {}),
        ({"prefixItems": [INTEGER, STRING], "items": False}, {"anyOf": [INTEGER, STRING]}),
        ({"prefixItems": [INTEGER, STRING], "items": {"type": "null"}}, {"anyOf": [INTEGER, STRING, {"type": "null"}]}),
        ({"prefixItems": [INTEGER, STRING], "maxItems": 2}, {"anyOf": [INTEGER, STRING]}),
        ({"prefixItems": [INTEGER, STRING]}, {}),
        ({"prefixItems": [INTEGER, True]}, {}),
        ({"items": [INTEGER, STRING], "additionalItems": False}, {"anyOf": [INTEGER, STRING]}),
        ({"items": [INTEGER, INTEGER], "maxItems": 2}, INTEGER),
        ({"type": ["array", "null"]}, {}),
    ],
)
def test_an_array_in_a_given_schema_gets_items(array, items):
    schema = {"properties": {"a": {"type": "array", **array}, "b": {"anyOf": [{"type": "array", **array}]}}}
    made = accepted(schema)["properties"]
    for found in (made["a"], made["b"]["anyOf"][0]):
        assert found["items"] == items
        assert "prefixItems" not in found
    jsonschema.Draft202012Validator.check_schema(made)


HALF = "\ud83d"


@dataclasses.dataclass
class Held:
    name: Any


class Model(BaseModel):
    name: Any


@attrs.define
class Loose:
    name: Any


@pytest.mark.parametrize(
    "value", [HALF, {HALF: 1}, {"a": HALF}, [{HALF: {HALF: (HALF,)}}], Path(HALF), {Path("a" + HALF)}]
)
@pytest.mark.parametrize(
    "wrap", [lambda v: v, lambda v: {1: v}, Held, lambda v: Model(name=v), Loose, lambda v: [Held(v), {2: Loose(v)}]]
)
async def test_half_a_surrogate_in_a_result_is_no_error(value, wrap):
    def give():
        return wrap(value)

    give.__annotations__ = {}
    start, content = await Record().run(give)
    assert start == "start"
    assert HALF in content
    assert not content.startswith("Error")


def test_a_result_with_half_a_surrogate_keeps_all_else():
    value = {HALF: [1, None, 2.5, True, {"b": Held("x")}, {3: 4}, b"bytes"]}
    assert content_of(value) == f'{{"{HALF}": [1, null, 2.5, true, {{"b": {{"name": "x"}}}}, {{"3": 4}}, "bytes"]}}'
