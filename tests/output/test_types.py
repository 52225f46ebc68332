"""The schema of a type, and the value that a model's text stands for."""

import enum
from typing import Annotated, ClassVar, Literal, Union, get_args

import attrs
import jsonschema
import pytest
from pydantic import BaseModel, Field, field_validator

import aimu
from aimu._output._strict import ANTHROPIC, OPENAI, PLAIN, NotStrictError, strict
from aimu._output._type import OutputType, partial
from tests.output.kinds import KINDS, Cat, Invoice, Owner, Port, Tree
from tests.output.rules import check_anthropic, check_openai, check_plain

DIALECTS = {"OPENAI": (OPENAI, check_openai), "ANTHROPIC": (ANTHROPIC, check_anthropic), "PLAIN": (PLAIN, check_plain)}
WITHOUT_STRICT_FORM = {
    "OPENAI": {"any", "dict", "dict of models"},
    "ANTHROPIC": {"any", "dict", "dict of models", "recursive", "recursive union", "recursive attrs"},
    "PLAIN": {"any", "dict", "dict of models", "recursive", "recursive union", "recursive attrs"},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_value_of_each_text(name):
    kind, texts = KINDS[name]
    output = OutputType.of(kind)
    jsonschema.Draft202012Validator.check_schema(output.schema)
    assert output.schema["type"] == "object"
    for text, value in texts.items():
        parsed = output.parse(text)
        assert parsed == value
        assert type(parsed) is type(value)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", KINDS)
def test_the_strict_form_follows_the_rules_of_its_service(name, dialect):
    output = OutputType.of(KINDS[name][0])
    rules, check = DIALECTS[dialect]
    try:
        schema = strict(output.schema, rules)
    except NotStrictError:
        assert name in WITHOUT_STRICT_FORM[dialect]
        return
    assert name not in WITHOUT_STRICT_FORM[dialect]
    check(schema)
    whole = [text for text in KINDS[name][1] if text.startswith('{"') and "null" in text]
    for text in whole:  # what the strict schema makes a model write, null for "not given", is read
        output.parse(text)


def test_what_a_service_does_not_enforce_is_said_in_words():
    schema = strict(OutputType.of(Owner).schema, OPENAI)
    assert schema["properties"]["name"] == {
        "type": "string",
        "description": "The full name (maxLength: 80; minLength: 1)",
    }
    schema = strict(OutputType.of(Invoice).schema, ANTHROPIC)
    amount = schema["$defs"]["Line"]["properties"]["amount"]
    assert amount["description"] == "in dollars"
    assert amount["anyOf"][0] == {"type": "number", "description": "(exclusiveMinimum: 0.0)"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"not": {}}, "'not'"),
        ({"properties": {"a": {"allOf": [{"type": "string"}, {"pattern": "a"}]}}}, "'allOf'"),
        ({"properties": {"a": {"type": "array"}}}, "array of any values"),
        ({"properties": {"a": {"enum": [{}]}}}, "enum of objects"),
        ({"properties": {str(n): {"type": "null"} for n in range(5001)}}, "5001 properties"),
        ({"properties": {"a": {"enum": list(range(1001))}}}, "1002 values of enums"),
        ({"patternProperties": {"^a": {}}}, "'patternProperties'"),
    ],
)
def test_a_schema_whose_meaning_would_change_has_no_strict_form(change, why):
    with pytest.raises(NotStrictError, match=why):
        strict({"type": "object", "properties": {}, **change}, OPENAI)


def test_a_service_without_lists_of_types_gets_choices():
    kinds = ["string", "integer", "object", "array", "null"]
    given = {
        "type": "object",
        "$defs": {"A": {"type": ["string", "null"]}},
        "properties": {
            "some": {"type": kinds, "properties": {"a": {"$ref": "#/$defs/A"}}, "items": {"type": "string"}},
            "one": {"enum": ["a", 1, None], "description": "it"},
            "free": {"type": "string", "minLength": 2},
        },
        "required": ["some", "one"],
    }
    text = {"type": "string"}
    made = strict(given, PLAIN)
    assert made["$defs"] == {"A": {"anyOf": [text, {"type": "null"}]}}
    a = {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}
    some = {"type": "object", "properties": {"a": a}, "required": ["a"], "additionalProperties": False}
    items = {"type": "array", "items": text}
    assert made["properties"] == {
        "some": {"anyOf": [text, {"type": "integer"}, some, items, {"type": "null"}]},
        "one": {
            "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}, {"type": "null"}],
            "description": "it",
        },
        "free": {"anyOf": [text, {"type": "null"}], "description": "(minLength: 2)"},
    }
    given["required"] = ["some", "one", "free"]
    given["properties"]["some"]["type"] = [*kinds, "boolean"]
    with pytest.raises(NotStrictError, match="property 'some' has 6 choices, and at most 5"):
        strict(given, PLAIN)


def test_objects_that_nest_too_deep_have_no_strict_form():
    schema = {"type": "string"}
    for _ in range(11):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    with pytest.raises(NotStrictError, match="it has 11 levels of objects, and at most 10"):
        strict(schema, OPENAI)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, PLAIN])
def test_a_chain_of_thousands_of_definitions_has_no_strict_form(dialect):
    chain = {f"D{n}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/D{n + 1}"}}} for n in range(3000)}
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/D0"}},
        "$defs": {**chain, "D3000": {"type": "null"}},
    }
    with pytest.raises(NotStrictError):
        strict(schema, dialect)


def test_nesting_counts_through_references_and_ends_in_circles():
    defs = {f"D{n}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/D{n + 1}"}}} for n in range(10)}
    defs["D10"] = {"type": "object", "properties": {"a": {"$ref": "#/$defs/D10"}, "b": {"$ref": "#/$defs/D10"}}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": defs}
    with pytest.raises(NotStrictError, match="it has 12 levels of objects, and at most 10"):
        strict(schema, OPENAI)
    assert strict({**schema, "properties": {"a": {"$ref": "#/$defs/D4"}}}, OPENAI)


def test_long_names_and_values_have_no_strict_form():
    names = {"n" * 600 + str(n): {"type": "null"} for n in range(200)}
    with pytest.raises(NotStrictError, match="characters of names and values, and at most 120000"):
        strict({"type": "object", "properties": names}, OPENAI)
    values = ["v" * 60 + str(n) for n in range(251)]
    schema = {"type": "object", "properties": {"a": {"enum": values}}, "required": ["a"]}
    with pytest.raises(NotStrictError, match="an enum of over 250 values has more than 15000 characters"):
        strict(schema, OPENAI)
    assert strict({**schema, "properties": {"a": {"enum": values[:250]}}}, OPENAI)


def test_a_described_reference_counts_as_a_union():
    pet = {"$ref": "#/$defs/Pet", "description": "a pet"}
    schema = {
        "type": "object",
        "properties": dict.fromkeys(map(str, range(17)), pet),
        "$defs": {"Pet": {"type": "null"}},
    }
    schema["required"] = list(schema["properties"])
    with pytest.raises(NotStrictError, match="17 unions, and at most 16"):
        strict(schema, ANTHROPIC)


def test_many_optional_properties_have_no_strict_form_where_a_service_limits_them():
    properties = {f"p{n}": {"type": "string"} for n in range(25)}
    with pytest.raises(NotStrictError, match="25 optional properties, and at most 24"):
        strict({"type": "object", "properties": properties}, ANTHROPIC)
    assert strict({"type": "object", "properties": properties, "required": ["p0"]}, ANTHROPIC)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["the answer is empty"]),
        ("Sorry, no.", ["the answer is not JSON: it begins with 'Sorry, no.'"]),
        (
            "I am sorry, I cannot read this text.",
            ["the answer is not JSON: it begins with 'I am sorry, I cannot read this text.'"],
        ),
        ("Sorry, {", ["the answer is not JSON: expected value at line 1 column 1"]),
        ('{"kind": "cat", "lives": "many"}', ["lives: Input should be a valid integer"]),
        ('{"lives": 3}', ["kind: required, but missing"]),
        ('{"kind": "cat", "lives": 1}, {"kind": "cat"}', ["the answer is not JSON"]),
        ('{"kind": "cat"', ["the answer is not JSON"]),
        ("[1]", ["the answer: "]),
    ],
)
def test_what_does_not_fit_is_named_place_by_place(text, problems):
    with pytest.raises(ValueError, match=".") as caught:
        OutputType.of(Cat).parse(text)
    assert len(caught.value.args) == len(problems)
    for said, problem in zip(caught.value.args, problems, strict=True):
        assert said.startswith(problem)


def test_every_problem_is_told_at_once():
    with pytest.raises(ValueError, match=".") as caught:
        OutputType.of(Invoice).parse('{"lines": [{"text": 1, "amount": -2, "x": 0}], "due": "soon"}')
    said = "\n".join(caught.value.args)
    for part in ("lines.0.text: ", "lines.0.amount: ", "lines.0.x: no such field", "due: "):
        assert part in said


def test_an_unknown_field_names_those_there_are():
    with pytest.raises(ValueError, match="colour: no such field; known fields: host, number"):
        OutputType.of(Port).parse('{"host": "h", "colour": 1}')


def test_a_validator_of_the_users_gives_the_reason():
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n: int) -> int:
            if n % 2:
                raise ValueError("must be even")
            return n

    with pytest.raises(ValueError, match="must be even"):
        OutputType.of(Even).parse('{"n": 3}')
    with pytest.raises(ValueError, match="number"):
        OutputType.of(Port).parse('{"host": "h", "number": 0}')


def test_a_null_that_the_type_allows_stays():
    class Choice(BaseModel):
        value: int | None = 5
        mode: Annotated[str | None, Field(description="the mode")] = "fast"

    assert OutputType.of(Choice).parse('{"value": null, "mode": null}') == Choice(value=None, mode=None)
    assert OutputType.of(Choice).parse("{}") == Choice()


class Left(BaseModel):
    side: Literal["left"]
    child: Annotated["Left | Right", Field(discriminator="side")] | None = None


class Right(BaseModel):
    side: Literal["right"]
    child: Annotated["Left | Right", Field(discriminator="side")] | None = None
    note: str = ""


@pytest.mark.parametrize("deep", [5, 60])
def test_a_recursive_union_is_read_at_any_depth(deep):
    text = "null"
    for _ in range(deep):
        text = f'{{"side": "left", "child": {{"side": "right", "child": {text}, "note": null}}}}'
    value = OutputType.of(Left).parse(text)
    for _ in range(deep):
        assert value.child.note == ""
        value = value.child.child
    assert value is None


def test_a_null_for_a_required_field_is_a_problem():
    with pytest.raises(ValueError, match="name: "):
        OutputType.of(Tree).parse('{"name": null}')


def test_the_first_json_of_several_readings_counts():
    cat = OutputType.of(Cat)
    assert cat.parse('Thinking {about it}:\n```\n{"kind": "cat"}\n```\nDone.') == Cat(kind="cat")
    assert cat.parse('```json\n{"kind": "dog"}\n```\nNo:\n```json\n{"kind": "cat"}\n```') == Cat(kind="cat")
    assert cat.parse('\ufeff \n{"kind": "cat"}\n') == Cat(kind="cat")
    assert cat.parse('Thinking {about it}: {\n "kind": "cat"}') == Cat(kind="cat")
    assert OutputType.of(dict[str, int]).parse("Nothing {at all}: { }.") == {}


def test_a_text_cannot_close_the_object_that_it_is_put_into():
    with pytest.raises(ValueError, match="not JSON"):
        OutputType.of(Cat).parse('{"kind": "dog"}, "response": {"kind": "cat"}')


def test_partial_data_grows_with_the_text():
    whole = '{"name": "ab", "children": [{"name": "c"}]}'
    seen = [partial(whole[:n]) for n in range(len(whole) + 1)]
    assert seen[0] is None
    assert {"name": "a"} in seen
    assert seen[-1] == {"name": "ab", "children": [{"name": "c"}]}
    assert partial("Sure: ```json\n" + whole[:20]) == {"name": "ab"}
    assert partial("For {you}: " + whole[:20]) == {"name": "ab"}
    assert partial("For {you}: {\n") == {}


class Unfit:
    pass


@pytest.mark.parametrize(
    "kind", [Unfit, list[Unfit], "Invoice", {"type": "object"}, 5, [Invoice], (), print, len, ClassVar[int]]
)
def test_a_type_without_a_schema_is_refused(kind):
    with pytest.raises(aimu.errors.InvalidOptionError, match="output_type"):
        OutputType.of(kind)


def test_names_are_fit_for_a_service():
    assert OutputType.of(Invoice).name == "Invoice"
    assert OutputType.of(list[int]).name == "list"
    assert {OutputType.of(kind).name for kind in (int | str, Union[int, str])} == {"output"}  # noqa: UP007
    long = attrs.make_class("A" * 80, {"a": attrs.field(type=int)})
    assert OutputType.of(long).name == "A" * 64
    assert OutputType.of(enum.Enum("Größe", ["a"])).name == "Gr_e"


def test_the_same_type_is_read_once():
    assert OutputType.of(Invoice) is OutputType.of(Invoice)


class North(BaseModel):
    far: int


class South(BaseModel):
    far: int


def test_the_order_of_a_union_counts():
    for kind in (North | South, South | North):
        assert type(OutputType.of(kind).parse('{"response": {"far": 1}}')) is get_args(kind)[0]
