"""A text that follows the grammar of a type is valid, whatever the weights; what the grammar leaves out is named."""

import json
import random
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from pydantic import AnyUrl, Field, TypeAdapter

from aimu._output._type import OutputType
from aimu.engines._grammars.constraint import Compiler, is_readable
from aimu.engines._grammars.schemas import Rewriting
from tests.engines.grammars.following import followed, in_rust, vocabulary
from tests.output.kinds import KINDS, Color

WORDS = vocabulary()
COMPILER = Compiler(WORDS)
OWN = "in range(1, 65536)"  # the check of an attrs class, which no schema shows

MORE = {
    "keys int": dict[int, str],
    "keys float": dict[float, int],
    "keys bool": dict[bool, int],
    "keys decimal": dict[Decimal, int],
    "keys date": dict[date, int],
    "keys datetime": dict[datetime, int],
    "keys uuid": dict[UUID, int],
    "keys enum": dict[Color, int],
    "keys literal": dict[Literal["a b", "c.d"], int],
    "keys pattern": dict[Annotated[str, Field(pattern="^a+$")], int],
    "keys mixed": dict[int | str, int],
    "decimal places": Annotated[Decimal, Field(max_digits=6, decimal_places=2)],
    "decimal digits": Annotated[Decimal, Field(max_digits=4)],
    "decimal one digit": Annotated[Decimal, Field(max_digits=1)],
    "decimal only places": Annotated[Decimal, Field(decimal_places=2)],
    "decimal no places": Annotated[Decimal, Field(max_digits=3, decimal_places=0)],
    "decimal all places": Annotated[Decimal, Field(max_digits=2, decimal_places=2)],
    "decimal bounds": Annotated[Decimal, Field(ge=0, lt=Decimal("1.5"))],
    "decimal steps": Annotated[Decimal, Field(multiple_of=Decimal("0.5"))],
    "url": AnyUrl,
    "address": IPv4Address,
    "pattern": Annotated[str, Field(pattern=r"^\d{3}-[A-Z]$")],
    "length": Annotated[str, Field(min_length=2, max_length=4)],
    "items": Annotated[list[int], Field(min_length=2, max_length=4)],
    "float bounds": Annotated[float, Field(ge=-2.5, lt=7)],
    "steps": Annotated[int, Field(multiple_of=7, ge=3)],
    "nested": dict[str, list[tuple[date, time | None, timedelta]]],
    "lines": Literal['a"b', "c\nd", "é\\"],
}
ALL = {name: kind for name, (kind, _) in KINDS.items()} | MORE


def rewritten(schema, **options):
    made, rewriting = Rewriting.of(schema, is_readable, **options)
    return made, rewriting.lost


def texts(schema, count):
    """Random texts that a schema allows, those that came to their end."""
    grammar = json.dumps({"grammars": [{"json_schema": schema}]})
    rng = random.Random(5)
    found = [followed(COMPILER.constraint(grammar), WORDS, rng) for _ in range(count)]
    return [text for text, ended in found if ended]


@pytest.mark.parametrize("name", ALL)
def test_what_ends_is_valid(name):
    kind = OutputType.of(ALL[name])
    schema, lost = rewritten(kind.exact)
    assert lost == []
    ended = texts(schema, 15)
    assert len(ended) > 5
    for text in ended:
        try:
            kind.parse(text)
        except ValueError as exc:
            assert name in ("attrs", "recursive attrs"), text
            assert all(OWN in reason for reason in exc.args)  # noqa: PT017 - not every text fails


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (date, "2024-02-29 2000-02-29 0001-01-01 9999-12-31 1999-04-30", "2023-02-29 1900-02-29 0000-01-01 2024-04-31"),
        (datetime, "2024-02-29T23:59:59Z 2024-01-01T00:00:00.5+05:30", "2024-02-30T00:00:00Z 2024-01-01T24:00:00Z"),
        (time, "23:59:59 00:00:00.123456", "24:00:00 10:61:00"),
        (timedelta, "P1D PT5M -P2DT3H PT1.5S P1DT1S", "P P1DT PT"),
        (UUID, str(UUID(int=5)), "00000000-0000-0000-0000-00000000000"),
    ],
)
def test_forms_of_text_are_those_of_pythons_types(form, good, bad):
    kind = OutputType.of(form)
    grammar = json.dumps({"grammars": [{"json_schema": rewritten(kind.exact)[0]}]})

    def follows(text):
        constraint = COMPILER.constraint(grammar)
        for token in [WORDS.tokens.index(bytes([byte])) for byte in f'{{"response":"{text}"}}'.encode()]:
            if not constraint.allows(token):
                return False
            constraint.accept(token)
        return constraint.ended

    for text in good.split():
        assert follows(text), text
        kind.parse(json.dumps({"response": text}))
    assert not any(map(follows, bad.split()))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "pattern": "(?=a)b"}, "the pattern '(?=a)b'"),
        ({"type": "string", "format": "isbn"}, "the format 'isbn'"),
        ({"not": {"type": "string"}}, "the keyword 'not'"),
        ({"type": "object", "patternProperties": {"(?!a)": {}}}, "a pattern of properties"),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, "the names of properties"),
        ({"type": "number", "maximum": 1e300}, "the keyword 'maximum'"),
        (OutputType.of(Annotated[Decimal, Field(max_digits=3, gt=2)]).exact, "the keyword 'maxDigits'"),
        (OutputType.of(Annotated[Decimal, Field(decimal_places=2, gt=2)]).exact, "the keyword 'maxDecimalPlaces'"),
    ],
)
def test_what_no_grammar_enforces_is_named_and_the_rest_is_enforced(schema, reason):
    made, lost = rewritten(schema)
    assert lost == [reason]
    for text in texts(made, 5):
        json.loads(text)


BASE = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CAT = {"type": "object", "properties": {"kind": {"const": "cat"}, "a": {"$ref": "#/$defs/Name"}}, "required": ["kind"]}
DOG = {"type": "object", "properties": {"kind": {"enum": ["dog", "wolf"]}}, "required": ["kind"]}
DEFS = {"Base": BASE, "Cat": CAT, "Dog": DOG, "Name": {"type": "string", "maxLength": 3}}
MADE_OF = {
    "parts": {"allOf": [BASE, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]},
    "a definition": {"allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}]},
    "more beside": {
        "type": "object",
        "properties": {"c": {"const": 1}},
        "required": ["c"],
        "allOf": [{"$ref": "#/$defs/Base"}],
    },
    "one of marked": {"oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
    "one of types": {"oneOf": [{"$ref": "#/$defs/Name"}, {"type": "integer"}, {"type": ["null", "boolean"]}]},
    "one of values": {"oneOf": [{"const": 1}, {"enum": ["1", 2]}]},
    "a date or null": {"type": ["string", "null"], "format": "date"},
    "times": {
        "type": "array",
        "prefixItems": [{"type": "string", "format": form} for form in ("time", "date-time", "duration", "date")],
        "items": False,
        "minItems": 4,
    },
}
CHECKER = jsonschema.FormatChecker(["date"])  # its "time" has no zone, unlike that of JSON Schema
RFC_3339 = r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"


@pytest.mark.parametrize("name", MADE_OF)
def test_a_schema_of_the_user_is_held_to_all_that_json_schema_says(name):
    schema = {**MADE_OF[name], "$defs": DEFS}
    made, lost = rewritten(schema, strict=True)
    assert lost == []
    ended = texts(made, 20)
    assert len(ended) > 5
    for text in ended:
        value = json.loads(text)
        jsonschema.Draft202012Validator(schema, format_checker=CHECKER).validate(value)
        if name == "times":
            assert re.fullmatch(RFC_3339, value[0])
            assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT{RFC_3339}", value[1])
            assert re.fullmatch("P.+", value[2])


@pytest.mark.parametrize(
    ("schema", "lost"),
    [
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "the keyword 'oneOf' of alternatives that overlap"),
        ({"oneOf": [CAT, BASE]}, "the keyword 'oneOf' of alternatives that overlap"),
        ({"oneOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, "the keyword 'oneOf' of alternatives that overlap"),
        ({"anyOf": [{"const": 1}], "oneOf": [{"const": 1}]}, "the keyword 'oneOf' beside another"),
        ({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True}, "the keyword 'uniqueItems'"),
        ({"type": "string", "format": "date", "pattern": "^2"}, "the format 'date'"),
        ({"type": ["string", "null"], "format": "email"}, "the format 'email'"),
    ],
)
def test_what_a_schema_of_the_user_says_is_never_left_out_in_silence(schema, lost):
    assert rewritten({**schema, "$defs": DEFS}, strict=True)[1] == [lost]


PATTERNS = [
    *('^[^"]*$', r"^[^\\]+$", r'^[^"\n]{2}$', r"^[\x00-!]+$", r"^\W{1,3}$", r"^[^\w]+$", r"^\D+$", r"^[\W_]{2}$"),
    *(r"^\S+ \S+$", "^a$|^b$", "(^a$)|(^b$)", r"^[^<>\"']{3}", r"^[^\d,]$", r"^\w+[^\s\w]$", "^.$", "[^a]$"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_that_follows_a_pattern_fits_it(pattern):
    """Also with letters of other scripts, quotes and control characters."""
    adapter = TypeAdapter(Annotated[str, Field(pattern=pattern)])
    names = {"type": "object", "patternProperties": {pattern: {"const": 1}}, "additionalProperties": False}
    for schema, texts_in in (({"type": "string", "pattern": pattern}, lambda value: [value]), (names, list)):
        made, lost = rewritten(schema)
        assert lost == []
        ended = texts(made, 25)
        assert len(ended) > 5
        for text in ended:
            for value in texts_in(json.loads(text)):
                assert re.search(pattern, in_rust(value)), text
                adapter.validate_python(value)


def test_an_alternative_that_cannot_be_enforced_is_left_out_if_another_can():
    union = {"anyOf": [{"type": "string", "pattern": "(?=a)b"}, {"type": "integer"}]}
    assert rewritten(union) == ({"anyOf": [{"type": "integer"}]}, [])
    only = {"anyOf": [{"type": "string", "pattern": "(?=a)b"}]}
    assert rewritten(only) == ({"anyOf": [{"type": "string"}]}, ["the pattern '(?=a)b'"])


def test_a_property_may_be_called_like_a_keyword():
    node: dict[str, Any] = {"type": "object", "properties": {"propertyNames": {"type": "integer"}, "not": {"const": 1}}}
    made, lost = rewritten(node | {"required": ["propertyNames", "not"]})
    assert lost == []
    for text in texts(made, 5):
        assert json.loads(text).keys() == {"propertyNames", "not"}


def test_the_exact_schema_says_what_the_shown_one_does_not():
    exact = OutputType.of(tuple[int, str]).exact["properties"]["response"]
    assert exact["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert "prefixItems" not in OutputType.of(tuple[int, str]).schema["properties"]["response"]
    assert OutputType.of(dict[str, int]).exact == {"type": "object", "additionalProperties": {"type": "integer"}}
