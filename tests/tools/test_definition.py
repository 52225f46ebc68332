"""What can be a tool: functions, methods and wrappers; and the errors for anything else."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypedDict

import pytest
from pydantic import Field

from aimu._output._type import OutputType
from aimu.errors import InvalidOptionError
from aimu.tools import ToolSignatureError, as_tool, tool
from tests.tools.samples import Point, parameters, place


class Shop:
    @tool
    def price(self, item: str) -> str:
        """The price."""
        return f"{item} at {self!r}"

    @classmethod
    @tool(name="open_shop")
    async def open(cls, at: int) -> str:
        return cls.__name__

    @staticmethod
    @tool
    def close(at: int) -> int:
        return at


def test_the_decorator_returns_the_very_function():
    def add(a: int, b: int) -> int:
        return a + b

    assert tool(add) is add
    assert tool(name="plus", timeout=3, exclusive=True, raises=(OSError,))(add) is add
    assert add(1, 2) == 3
    made = as_tool(add)
    assert (made.name, made.timeout, made.exclusive, made.raises) == ("plus", 3, True, (OSError,))
    assert as_tool(add) is made
    assert as_tool(made) is made


def test_methods_are_tools_once_bound():
    shop = Shop()
    assert list(parameters(shop.price)["properties"]) == ["item"]
    assert as_tool(shop.price).function(item="tea") == f"tea at {shop!r}"
    assert as_tool(Shop.open).name == "open_shop"
    assert as_tool(Shop.open).is_async
    assert as_tool(Shop.close).function(at=1) == 1
    with pytest.raises(ToolSignatureError, match=r"Shop.price is a method.*instance.price"):
        as_tool(Shop.price)


def test_wrappers_and_partials_are_tools_like_the_functions_they_wrap():
    @tool(name="renamed")
    def inner(a: int, b: int = 2) -> int:
        """Doc."""
        return a * b

    @functools.wraps(inner)
    def wrapper(*args, **kwargs):
        return -inner(*args, **kwargs)

    assert as_tool(wrapper).name == "renamed"
    assert as_tool(wrapper).function(**as_tool(wrapper).bind('{"a": 1}')) == -2
    part = as_tool(functools.partial(place, Point(1.0)))
    assert (part.name, list(part.parameters["properties"])) == ("place", ["count", "color"])


def untyped(a, b: int): ...


def many(*values: int): ...


def named(**values: int): ...


def positional(value: int, /): ...


def unresolved(value: Nowhere): ...  # noqa: F821


def callback(value: Any, f: type(len)): ...


def opaque(value: threading.Event): ...


def called(value: Callable[[int], int]): ...


class Unresolved(TypedDict):
    x: Nowhere  # noqa: F821


def nested(value: list[Unresolved]): ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (untyped, r"untyped: parameter 'a' .*annotate it"),
        (many, r"many: parameter .*\*values.* declare one list"),
        (named, r"named: parameter .*\*\*values.* declare each"),
        (positional, r"positional: parameter .*value.* remove the `/`"),
        (
            unresolved,
            r"unresolved: cannot resolve the type 'Nowhere' of parameter 'value' .*Nowhere.* define or import",
        ),
        (callback, r"callback: .*parameter 'f'.* use plain types"),
        (opaque, r"opaque: .*parameter 'value'.* use plain types"),
        (called, r"called: .*parameter 'value'.* use plain types"),
        (nested, r"cannot resolve the field types of .*Unresolved .*Nowhere.* define or import"),
        (lambda: 1, r"<lambda>.*@tool\(name=...\)"),
        (3, "3 is not a tool"),
        (Shop, "Shop.* is not a tool"),
        (len, "len.* is not a tool"),
    ],
)
def test_the_error_for_an_invalid_tool_names_the_remedy(function, said):
    with pytest.raises(ToolSignatureError, match=said) as refused:
        as_tool(function).schema
    assert "\n" not in str(refused.value)


class Hooked:
    def __init_subclass__(cls, error, **options):
        cls.error = error

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        raise cls.error


class Failing(Hooked, error=RuntimeError("it is raining.\nAnd more")): ...


class Deep(Hooked, error=RecursionError()): ...


@pytest.mark.parametrize(
    ("hint", "why"),
    [
        (Literal[()], "cannot be empty"),
        (list[Literal[()] | None], "cannot be empty"),
        (dict[int], "Expected two type arguments"),
        (Literal[object], "Unable to serialize"),
        (Annotated[int, Field(gt="x")], "'gt' must be"),
        (Annotated[str, Field(pattern="(")], "unclosed group"),
        (ClassVar[int], r"ClassVar\[int\] is not the type of a value"),
        (3, r"('int' object|Unable to generate pydantic-core schema for 3; use)"),  # by Python 3.11, and by newer ones
        (Failing, "it is raining.; use"),
        (list[Deep], "RecursionError; use"),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"other": int}, {"other": threading.Event}])
def test_whatever_a_type_raises_the_error_names_the_parameter_and_the_remedy(hint, why, beside):
    def function(value, other=None): ...

    function.__annotations__ = {"value": hint, "other": Any} | beside
    with pytest.raises(ToolSignatureError, match=rf"function: cannot make a JSON Schema of parameter 'value': .*{why}"):
        as_tool(function).schema
    with pytest.raises(InvalidOptionError, match="has no JSON Schema: .*; use plain|must be a type, got int 3"):
        OutputType.of(hint)


def test_the_decorator_refuses_at_once_what_it_can_see():
    for function in (untyped, many, named, positional):
        with pytest.raises(ToolSignatureError):
            tool(function)
    with pytest.raises(ToolSignatureError, match="below @staticmethod"):
        tool(staticmethod(place))
    assert tool(unresolved) is unresolved


def test_importing_and_decorating_load_no_pydantic():
    program = (
        "import sys; from aimu.tools import tool, Toolbox\n"
        "@tool\ndef f(a: int): ...\n"
        "Toolbox([f]); assert not {'pydantic', 'pydantic_core'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2], timeout=120)
