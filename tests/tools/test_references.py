"""A schema whose references point anywhere becomes one whose references all point to its `$defs`."""

import json

import jsonschema
import pytest

from aimu.tools import Tool
from aimu.tools._refs import gathered
from tests.tools.record import Record

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("ref", "beside", "meant"),
    [
        ("#/definitions/X", {"definitions": {"X": TEXT}}, TEXT),
        ("#/$defs/X", {"$defs": {"X": TEXT}, "definitions": {"X": {"type": "null"}}}, TEXT),
        ("#/definitions/x~1y~0%20z", {"definitions": {"x/y~ z": TEXT}}, TEXT),
        ("#/properties/b/items/0", {"properties": {"b": {"items": [TEXT]}}}, TEXT),
        ("#/definitions/yes", {"definitions": {"yes": True}}, True),
        ("#name", {"$defs": {"X": {"$anchor": "name", **TEXT}}}, TEXT),
        ("#name", {"definitions": {"X": {"$id": "#name", **TEXT}}}, TEXT),
        ("x.json", {"$id": "http://a.b/t.json", "$defs": {"X": {"$id": "x.json", **TEXT}}}, TEXT),
        ("http://a.b/t.json#/$defs/X", {"$id": "http://a.b/t.json", "$defs": {"X": TEXT}}, TEXT),
        ("#/components/X", {"components": {"X": TEXT}}, TEXT),
    ],
)
def test_a_reference_finds_its_schema(ref, beside, meant):
    schema = {**beside, "properties": {"a": {"$ref": ref}, **beside.get("properties", {})}}
    before = json.dumps(schema)
    made = gathered(schema)
    name = made["properties"]["a"]["$ref"].removeprefix("#/$defs/")
    assert made["$defs"] == {name: meant}
    assert made.keys() == {"properties", "$defs"}
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    "ref",
    [
        "#/definitions/none",
        "#none",
        "other.json",
        "http://[",
        "#/properties/a/x",
        "#/enum/9",
        "#/enum/" + "9" * 5000,
        7,
    ],
)
def test_a_reference_to_nothing_stays(ref):
    schema = {"properties": {"a": {"$ref": ref}}, "enum": [{}]}
    assert gathered(schema) == schema


def test_the_nearest_definitions_count_where_a_schema_was_put_into_another():
    kind = {"$defs": {"X": TEXT}, "$ref": "#/$defs/X"}
    number = {"items": {"$ref": "#/$defs/X"}, "$defs": {"X": {"type": "integer"}}}
    made = gathered({"properties": {"a": kind, "b": number}})
    names = made["properties"]["a"]["$ref"], made["properties"]["b"]["items"]["$ref"]
    assert [made["$defs"][name.removeprefix("#/$defs/")] for name in names] == [TEXT, {"type": "integer"}]


def test_one_object_in_two_places_may_mean_two_things():
    """A schema made in Python can hold the same dict twice."""
    shared = {"$ref": "#/$defs/X"}
    parts = [{"items": shared, "$defs": {"X": kind}} for kind in (TEXT, {"type": "integer"})]
    made = gathered({"prefixItems": parts})
    names = [part["items"]["$ref"].removeprefix("#/$defs/") for part in made["prefixItems"]]
    assert [made["$defs"][name] for name in names] == [TEXT, {"type": "integer"}]


def test_an_argument_named_as_a_keyword_holds_no_definitions():
    named = {"definitions": {"X": TEXT}, "$defs": TEXT}
    made = gathered(
        {"properties": {**named, "a": {"items": {"$ref": "#/definitions/X"}}, "b": {"$ref": "#/properties/a"}}}
    )
    assert made["properties"]["a"] == made["properties"]["b"] == {"$ref": "#/$defs/a"}
    assert made["$defs"] == {"a": {"items": {"$ref": "#/definitions/X"}}}


@pytest.mark.parametrize("name", [{"$id": "#"}, {"$id": ""}, {"$anchor": ""}])
def test_an_empty_name_takes_nothing_from_the_whole(name):
    made = gathered({"properties": {"a": {**name, **TEXT}, "b": {"$ref": "#"}}})
    assert made["$defs"] == {"root": {"properties": {"a": TEXT, "b": {"$ref": "#/$defs/root"}}}}


def test_data_that_looks_like_a_reference_stays():
    schema = {"properties": {"$ref": TEXT}, "const": {"$ref": "#/definitions/X"}, "definitions": {"X": TEXT}}
    assert gathered(schema) == {"properties": {"$ref": TEXT}, "const": {"$ref": "#/definitions/X"}}


def test_a_schema_in_itself_is_written_twice_at_most():
    inner = {"type": "array", "items": {"$ref": "#"}}
    made = gathered({"type": "object", "properties": {"a": inner}})
    assert made["properties"]["a"]["items"] == {"$ref": "#/$defs/root"}
    assert made["$defs"]["root"] == {"type": "object", "properties": made["properties"]}


def test_a_schema_of_parts_that_all_are_referred_to_does_not_grow():
    node, refs = TEXT, {}
    for depth in range(200):
        node = {"properties": {"p": node}}
        refs[f"r{depth}"] = {"$ref": "#/properties/top" + "/properties/p" * depth}
    schema = {"properties": {"top": node, **refs}}
    assert len(json.dumps(gathered(schema))) < 2 * len(json.dumps(schema))


@pytest.mark.parametrize("more", [{}, {"additionalProperties": False}])
async def test_a_tool_whose_schema_is_a_reference_has_the_arguments_that_it_means(more):
    """As converters of other languages write it: each type is a definition."""
    whole = {"type": "object", "properties": {"a": {"$ref": "#/definitions/X"}}, "required": ["a"], **more}
    schema = {"$ref": "#/definitions/Args", "definitions": {"Args": whole, "X": TEXT}}
    tool = Tool(name="t", function=lambda **given: given, description="", parameters=schema)
    assert tool.parameters == {**whole, "properties": {"a": {"$ref": "#/$defs/X"}}, "$defs": {"X": TEXT}}
    jsonschema.Draft202012Validator(tool.parameters).validate({"a": "b"})
    assert await Record().run(tool, '{"a": "b"}') == ["start", '{"a": "b"}']
    assert "a: required, but missing" in (await Record().run(tool, "{}"))[-1]


@pytest.mark.parametrize("ref", ["#", "#/definitions/A", "https://example.com/schema.json"])
async def test_a_tool_whose_schema_refers_to_itself_or_nothing_takes_any_arguments(ref):
    schema = {"$ref": ref, "definitions": {"A": {"$ref": "#/definitions/A"}}}
    tool = Tool(name="t", function=lambda **given: given, description="", parameters=schema)
    assert await Record().run(tool, '{"a": 1}') == ["start", '{"a": 1}']
