"""Arguments that a model writes: bound to the types of the function, or refused with the reason."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu.errors import ToolArgumentsError
from aimu.tools import Tool, as_tool
from tests.tools.samples import floats, place


@given(
    text=st.text()
    | st.from_type(dict).map(repr)
    | st.recursive(
        st.none() | st.booleans() | floats | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner),
    ).map(json.dumps)
)
def test_any_arguments_are_bound_or_refused_with_a_reason(text):
    def function(a: int, b: str = ""): ...

    bind = as_tool(function).bind
    try:
        bound = bind(text)
    except ToolArgumentsError:
        with pytest.raises(
            ToolArgumentsError, match=r"function was not executed because its arguments are invalid:\n- \w"
        ):
            bind(text)
    else:
        assert isinstance(bound["a"], int)
        assert bound.keys() <= {"a", "b"}


@pytest.mark.parametrize("empty", ["", "  ", "{}"])
def test_empty_arguments_mean_an_empty_object(empty):
    def function(a: int = 1): ...

    assert as_tool(function).bind(empty) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"point": ', ["valid JSON"]),
        ("[1]", ["JSON object", "[1]"]),
        ('{"count": 1}', ["- point: required"]),
        ('{"count": ' + "[" * 100_000, ["valid JSON"]),
        ('{"count": ' + "[" * 500 + "]" * 500 + "}", ["valid JSON", "nested deeper than 100 levels"]),
        ('{"point": {"x": 1}, "count": "many"}', ["- count: ", "valid integer", "'many'"]),
        ('{"point": {"x": "?"}, "count": 1}', ["- point.x: ", "valid number"]),
        ('{"point": {"x": 1}, "count": 1, "colour": 1}', ["- colour: no such argument", "point, count, color"]),
        ('{"point": {"x": 1, "y": 1}, "count": 1}', ["- point.y: no such argument"]),
        ('{"point": {"x": 1}, "count": 1, "color": "green"}', ["- color: ", "'red' or 'blue'", "'green'"]),
        ('{"point": {"x": 1, "tree": {"name": "", "depth": -1}}, "count": 1}', ["- point.tree: ", "must be >= 0"]),
        ("{}", ["- point: required", "- count: required"]),
    ],
)
def test_the_error_names_each_wrong_argument_with_its_value_and_the_expectation(arguments, said):
    with pytest.raises(ToolArgumentsError) as caught:
        as_tool(place).bind(arguments)
    for words in said:
        assert words in str(caught.value)


@dataclasses.dataclass
class Where:
    city: str = None


def test_a_default_of_none_may_be_passed_even_if_the_type_does_not_allow_it():
    def weather(where: Where, days: Annotated[int, "How many.", pydantic.Field(ge=1)] = None):  # noqa: RUF013
        return where, days

    made = as_tool(weather)
    days = made.parameters["properties"]["days"]
    assert days["description"] == "How many."
    assert {"type": "null"} in days["anyOf"]
    assert made.bind('{"where": {"city": null}, "days": null}') == {"where": Where(None), "days": None}
    with pytest.raises(ToolArgumentsError, match="greater than or equal to 1"):
        made.bind('{"where": {}, "days": 0}')


def test_an_exception_in_a_users_validator_refuses_the_arguments():
    def explode(value: int) -> int:
        raise LookupError("no such row")

    def function(a: int): ...

    function.__annotations__["a"] = Annotated[int, pydantic.AfterValidator(explode)]
    with pytest.raises(ToolArgumentsError, match="LookupError: no such row"):
        as_tool(function).bind('{"a": 1}')


def test_a_tool_with_a_given_schema_gets_unvalidated_arguments():
    async def function(**arguments): ...

    made = Tool(
        name="far.away",
        description="Far.",
        parameters={"type": "object", "properties": {"n-1": {"type": "integer"}}, "required": ["n-1"]},
        function=function,
        origin="MCP server 'x'",
    )
    assert made.is_async
    assert made.schema["function"]["parameters"]["required"] == ["n-1"]
    assert made.bind('{"n-1": "1", "more": null}') == {"n-1": "1", "more": None}
    for wrong in ("{", "3", "{}"):
        with pytest.raises(ToolArgumentsError):
            made.bind(wrong)
