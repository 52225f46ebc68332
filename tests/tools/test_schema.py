"""The schema that a model sees of a function, and the round trip of values through JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, Union
from uuid import UUID

import attrs
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_jsonable_python

from aimu.tools import as_tool
from aimu.tools._models import Models, schema_of
from aimu.tools._plain import plain_schema
from aimu.tools._signature import REQUIRED, Argument
from tests.tools.samples import Color, Item, Options, Point, Tree, describe, floats, parameters

# A type, and a strategy for its values in JSON.
numbers = st.integers(-(2**53), 2**53)


trees = st.recursive(
    st.builds(Tree, st.text()), lambda kids: st.builds(Tree, st.text(), st.lists(kids, max_size=3), depth=st.just(2))
)


points = st.builds(Point, floats, st.none() | trees, st.lists(st.text(), max_size=2))


SCALARS = [
    (str, st.text()),
    (int, numbers),
    (float, floats),
    (bool, st.booleans()),
    (None, st.none()),
    (Literal["a", 2], st.sampled_from(["a", 2])),
    (Color, st.sampled_from(Color)),
    (dt.date, st.dates()),
    (Path, st.just(Path("a/b"))),
    (Tree, trees),
    (Point, points),
    (Options, st.fixed_dictionaries({"size": numbers}, optional={"at": points})),
    (Item, st.builds(Item, sku=st.text(), amount=st.integers(1, 9))),
]


def containers(pair):
    hint, values = pair
    return st.sampled_from(
        [
            (list[hint], st.lists(values, max_size=3)),
            (tuple[hint, ...], st.lists(values, max_size=3).map(tuple)),
            (dict[str, hint], st.dictionaries(st.text(), values, max_size=3)),
            (hint | None if hint else hint, values | st.none()),
            (Annotated[hint, "A note."], values),
        ]
    )


def jsonable(value):
    return to_jsonable_python(
        value, fallback=lambda v: {k.lstrip("_"): x for k, x in attrs.asdict(v, recurse=False).items()}
    )


@given(
    pair=st.recursive(st.sampled_from(SCALARS), lambda inner: inner.flatmap(containers), max_leaves=3), more=st.data()
)
def test_a_value_survives_the_round_trip_through_json_and_fits_the_schema(pair, more):
    hint, values = pair

    def function(value):
        """Take it."""

    function.__annotations__ = {"value": hint}
    made = as_tool(function)
    value = more.draw(values)
    arguments = {"value": jsonable(value)}
    jsonschema.validate(arguments, made.parameters)
    assert made.bind(json.dumps(arguments)) == {"value": value}
    assert '"title"' not in json.dumps(made.parameters)


def test_a_schema_has_types_descriptions_and_defaults_but_no_titles():
    assert as_tool(describe).schema == {
        "type": "function",
        "function": {
            "name": "describe",
            "description": "Describe a thing.\n\nAt length.\n\nReturns: Nothing.",
            "parameters": {
                "$defs": {"Color": {"enum": ["red", "blue"], "type": "string"}},
                "type": "object",
                "additionalProperties": False,
                "required": ["a", "b"],
                "properties": {
                    "a": {"type": "integer", "description": "The first, on two lines."},
                    "b": {"type": "string", "description": "Own words."},
                    "schema": {"$ref": "#/$defs/Color", "default": "red"},
                    "options": {
                        "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}],
                        "default": None,
                    },
                    "lock": {},
                },
            },
        },
    }


def test_classes_in_a_schema_keep_their_own_descriptions_and_a_recursive_one_refers_to_itself():
    def function(options: Options): ...

    definitions = parameters(function)["$defs"]
    assert definitions["Tree"] == {
        "type": "object",
        "additionalProperties": False,
        "description": "A tree.",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "What it is called."},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            "depth": {"type": "integer", "default": 0},
        },
    }
    assert definitions["Point"]["properties"]["x"] == {"type": "number", "description": "To the right."}
    assert definitions["Options"]["required"] == ["size"]


PLAIN = [*(str, int, float, bool, None, list, dict, Any, Literal["a", 2], Literal[True, 1], Literal[1, True])]
PLAIN += [dt.date, dt.datetime, dt.time, dt.timedelta, UUID]


def plain_containers(hints):
    return st.one_of(
        hints.map(lambda hint: list[hint]),
        hints.map(lambda hint: dict[str, hint]),
        hints.map(lambda hint: dict[int, hint]),
        st.tuples(hints, hints).map(lambda pair: Union[pair]),  # noqa: UP007 - two None have no `|`
    )


@given(
    hint=st.recursive(st.sampled_from(PLAIN), plain_containers, max_leaves=3),
    default=st.sampled_from([REQUIRED, None, 1, True, "x", 1.5]),
    notes=st.sampled_from([{}, {"value": "A note."}]),
)
def test_plain_types_have_the_schema_that_a_model_would_give_them(hint, default, notes):
    arguments = [Argument("value", type(None) if hint is None else hint, default), Argument("schema", str)]
    made = plain_schema(arguments, notes)
    assert json.dumps(made) == json.dumps(schema_of(Models({}).complete("f", arguments, notes)))


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (Color, REQUIRED),
        (list[Tree], REQUIRED),
        (Annotated[int, 1], REQUIRED),
        (str, Color.RED),
        (float, float("inf")),
        (dict, {}),
        (Literal[Color.RED], REQUIRED),
        (tuple[int, str], REQUIRED),
    ],
)
def test_what_is_not_plain_is_left_to_a_model(hint, default):
    assert plain_schema([Argument("value", hint, default)], {}) is None


def test_a_tool_with_plain_types_gets_its_model_when_it_is_first_called(monkeypatch):
    def add(a: int, b: list[int] | None = None) -> int: ...

    built = []
    complete = Models.complete
    monkeypatch.setattr(Models, "complete", lambda *given: built.append(given) or complete(*given))
    made = as_tool(add)
    assert set(made.parameters["properties"]) == {"a", "b"}
    assert not built
    for _ in range(2):
        assert made.bind('{"a": "1"}') == {"a": 1}
    assert len(built) == 1


@pytest.mark.parametrize(
    "docstring",
    [
        "Add.\n\nArgs:\n    a: The one.\n    b (int): The other.\n\n"
        "Returns:\n    The sum,\n      of both.\n\nRaises:\n    X: No.",
        "Add.\n\nParameters\n----------\na : int\n    The one.\nb : int\n    The other.\n\n"
        "Returns\n-------\nint\n    The sum,\n    of both.\n\nRaises\n------\nX\n    No.",
        "Add.\n\n:param a: The one.\n:param int b: The other.\n"
        ":returns: The sum,\n    of both.\n:rtype: int\n:raises X: No.",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_a_docstring_of_any_style_describes_the_parameters_and_the_result(docstring):
    def add(a: int, b: int): ...

    add.__doc__ = docstring
    assert as_tool(add).description == "Add.\n\nReturns: The sum, of both."
    assert [p["description"] for p in parameters(add)["properties"].values()] == ["The one.", "The other."]


@pytest.mark.parametrize(
    ("docstring", "description"),
    [
        ("Lines.\n\nYields:\n    Each line.\n\n    Then the end.", "Lines.\n\nYields: Each line. Then the end."),
        ("Lines.\n\nReturns\n-------\nlist of str\n", "Lines.\n\nReturns: list of str"),
        ("Returns:\n    Only this.", "Returns: Only this."),
        ("Add.\n\nReturns:\n", "Add."),
        ("Add.\n\n:return:", "Add."),
        ("Add.\n\nReturns: the sum", "Add.\n\nReturns: the sum"),
        ("Add.\n\nReturn:\n    int: The sum.\n\nExample:\n    x", "Add.\n\nReturns: int: The sum."),
    ],
)
def test_the_description_ends_with_what_is_returned(docstring, description):
    def add(a: int): ...

    add.__doc__ = docstring
    assert as_tool(add).description == description


def test_arguments_named_like_pydantic_internals_or_the_word_title_are_kept():
    def function(title: str, model_config: int, json: int, _x: int = 1, copy: int = 2): ...

    assert list(parameters(function)["properties"]) == ["title", "model_config", "json", "_x", "copy"]
    assert as_tool(function).bind('{"title": "t", "model_config": 1, "json": "2"}') == {
        "title": "t",
        "model_config": 1,
        "json": 2,
    }


def test_names_of_an_enclosing_function_are_resolved_if_the_function_closes_over_them():
    class Local(TypedDict):
        n: int

    def function(x: Local) -> Undefined:  # noqa: F821
        return Local(**x)

    assert as_tool(function).bind('{"x": {"n": "1"}}') == {"x": {"n": 1}}


def test_a_local_class_that_refers_to_itself_needs_no_module_level_name():
    @dataclasses.dataclass
    class Chain:
        n: int
        rest: Chain | None = None

    def function(x): ...

    function.__annotations__["x"] = Chain
    assert as_tool(function).bind('{"x": {"n": 1, "rest": {"n": 2}}}') == {"x": Chain(1, Chain(2))}


def test_an_attrs_field_without_a_type_accepts_any_value():
    Loose = attrs.make_class("Loose", ["value"])  # noqa: N806

    def function(x): ...

    function.__annotations__["x"] = Loose
    assert as_tool(function).bind('{"x": {"value": [1]}}') == {"x": Loose([1])}
