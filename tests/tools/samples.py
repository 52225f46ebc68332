"""Types and functions from which the tests make tools."""

from __future__ import annotations

import dataclasses
import enum
import threading
from typing import Annotated, Any, NotRequired, TypedDict

import attrs
import pydantic
from hypothesis import strategies as st

from aimu.tools import as_tool


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Tree:
    """A tree.

    Attributes:
        name: What it is called.
    """

    name: str
    children: list[Tree] = attrs.field(factory=list)
    _depth: int = attrs.field(default=0, validator=attrs.validators.ge(0))


@dataclasses.dataclass
class Point:
    x: Annotated[float, "To the right."]
    tree: Tree | None = None
    tags: list[str] = dataclasses.field(default_factory=list)


class Options(TypedDict):
    size: int
    at: NotRequired[Annotated[Point, "Where."]]


class Item(pydantic.BaseModel):
    sku: str
    amount: int = pydantic.Field(default=1, ge=1)


def parameters(function):
    return as_tool(function).parameters


def describe(
    a: int,
    b: Annotated[str, "Own words."],
    *,
    schema: Color = Color.RED,
    options: dict[str, Any] | None = None,
    lock: Any = threading.Lock,
):
    """Describe a thing.

    At length.

    Args:
        a: The first,
            on two lines.
        b: Other words.

    Returns:
        Nothing.
    """


def place(point: Point, count: int, color: Color = Color.RED): ...


floats = st.floats(allow_nan=False, allow_infinity=False)
