"""Defaults that describe a field: pydantic's `Field(...)`, dataclasses' `field(...)`, and the factories of attrs."""

# ruff: noqa: B008, RUF009, RUF013 - such defaults are what is tested

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any, TypedDict

import attrs
import pytest
from pydantic import BaseModel, Field

from aimu.errors import ToolArgumentsError
from aimu.tools import as_tool
from tests.tools.record import Record


def numbers():
    return [1]


@dataclasses.dataclass
class Plain:
    city: str = Field(description="Where.", min_length=2)
    days: int = Field(default=3, ge=1)
    tags: list[str] = dataclasses.field(default_factory=list)
    more: list[int] = Field(default_factory=numbers, max_length=2)


@attrs.define
class Attrs:
    city: str = Field(description="Where.", min_length=2)
    days: int = Field(default=3, ge=1)
    tags: list[str] = attrs.Factory(list)
    more: list[int] = Field(default_factory=numbers, max_length=2)
    own: list[int] = attrs.field(default=attrs.Factory(lambda self: [self.days], takes_self=True))


class Pydantic(BaseModel):
    city: str = Field(description="Where.", min_length=2)
    days: int = Field(default=3, ge=1)
    tags: list[str] = Field(default_factory=list)
    more: list[int] = Field(default_factory=numbers, max_length=2)


def by_default(
    city: str = Field(description="Where.", min_length=2),
    days: int = Field(default=3, ge=1),
    tags: list[str] = dataclasses.field(default_factory=list),
    more: list[int] = Field(default_factory=numbers, max_length=2),
) -> dict[str, Any]:
    return {"city": city, "days": days, "tags": tags, "more": more}


def in_the_type(
    city: Annotated[str, Field(description="Where.", min_length=2)],
    days: Annotated[int, Field(ge=1)] = 3,
    tags: Annotated[list[str], Field(default_factory=list)] = attrs.Factory(list),
    more: Annotated[list[int], Field(default_factory=numbers, max_length=2)] = None,
) -> dict[str, Any]:
    return {"city": city, "days": days, "tags": tags, "more": more or [1]}


def with_ellipsis(
    city: Annotated[str, Field(description="Where.", min_length=2)] = ...,
    days: Annotated[int, Field(default=3, ge=1)] = Field(),
    tags: Annotated[list[str], Field(default_factory=list)] = dataclasses.field(),
    more: list[int] = Field(default=[1], max_length=2),
) -> dict[str, Any]:
    return {"city": city, "days": days, "tags": tags, "more": more}


def of_type(kind):
    def function(value):
        return {name: getattr(value, name) for name in ("city", "days", "tags", "more")}

    function.__annotations__ = {"value": kind}
    return function


FUNCTIONS = {
    "default": by_default,
    "type": in_the_type,
    "ellipsis": with_ellipsis,
    "dataclass": of_type(Plain),
    "attrs": of_type(Attrs),
    "pydantic": of_type(Pydantic),
}
every_form = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


def parts(function, **arguments):
    made = as_tool(function)
    schema = made.parameters
    if "$defs" in schema:
        (schema,) = schema["$defs"].values()
        arguments = {"value": arguments}
    return made, schema, json.dumps(arguments)


@every_form
def test_the_schema_keeps_description_constraints_and_what_is_required(function):
    _, schema, _ = parts(function)
    assert schema["required"] == ["city"]
    assert schema["properties"]["city"] == {"type": "string", "description": "Where.", "minLength": 2}
    assert schema["properties"]["days"] == {"type": "integer", "default": 3, "minimum": 1}
    assert "maxItems" in json.dumps(schema["properties"]["more"])
    assert "default" not in schema["properties"]["tags"]


@every_form
async def test_the_function_gets_real_values(function):
    made, _, arguments = parts(function, city="Ulm")
    real = '{"city": "Ulm", "days": 3, "tags": [], "more": [1]}'
    assert await Record().run(made, arguments) == ["start", real]
    made, _, arguments = parts(function, city="Ulm", days=4, tags=["a"], more=[])
    assert (await Record().run(made, arguments))[1].startswith('{"city": "Ulm", "days": 4, "tags": ["a"]')


@every_form
@pytest.mark.parametrize("wrong", [{}, {"city": "U"}, {"city": "Ulm", "days": 0}, {"city": "Ulm", "more": [1, 2, 3]}])
def test_the_constraints_are_checked(function, wrong):
    made, _, arguments = parts(function, **wrong)
    with pytest.raises(ToolArgumentsError):
        made.bind(arguments)


@every_form
def test_a_mutable_default_is_fresh_for_each_call(function):
    made, _, arguments = parts(function, city="Ulm")
    first = made.function(**made.bind(arguments))
    for key in ("tags", "more"):
        first[key].append(9)
    assert made.function(**made.bind(arguments)) == {"city": "Ulm", "days": 3, "tags": [], "more": [1]}


def test_an_attrs_factory_that_takes_the_object_is_left_to_the_class():
    made, _, arguments = parts(of_type(Attrs), city="Ulm", days=5)
    assert made.bind(arguments)["value"].own == [5]


class Typed(TypedDict):
    city: Annotated[str, Field(description="Where.")]


def test_a_default_of_none_in_a_field_and_a_factory_that_uses_other_arguments():
    def function(
        unit: str | None = Field(None, description="Unit."),
        word: str = Field(None),
        count: int = Field("4", validate_default=True),
        twice: int = Field(default_factory=lambda given: 2 * given["count"]),
        where: Typed = Field(default_factory=lambda: {"city": "Ulm"}),
        title: str = Field("t", alias="other", validation_alias="third", title="T"),
    ): ...

    made = as_tool(function)
    assert list(made.parameters["properties"]) == ["unit", "word", "count", "twice", "where", "title"]
    assert "required" not in made.parameters
    assert made.parameters["properties"]["unit"]["description"] == "Unit."
    where = {"where": {"city": "Ulm"}}
    defaults = {"unit": None, "word": None, "count": 4, "title": "t", **where}
    assert made.bind('{"title": "u", "word": null, "twice": 1}') == {**defaults, "twice": 1, "title": "u"}


def test_a_field_description_wins_over_the_docstring():
    def function(a: int = Field(description="Own words."), b: int = Field(1)):
        """Do.

        Args:
            a: Words.
            b: More words.
        """

    a, b = as_tool(function).parameters["properties"].values()
    assert (a["description"], b["description"], b["default"]) == ("Own words.", "More words.", 1)
