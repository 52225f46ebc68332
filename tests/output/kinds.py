"""Types that people ask answers to have: for each, texts that a model may write, and the value that each stands for."""

import dataclasses
from collections import deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Optional, TypedDict, TypeVar, Union
from uuid import UUID

import attrs
from pydantic import BaseModel, ConfigDict, Field, RootModel

V = TypeVar("V")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    label: str


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Owner(BaseModel):
    """Somebody with a pet."""

    pet: Cat | Dog = Field(discriminator="kind")
    name: str = Field(description="The full name", min_length=1, max_length=80)


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Expression(BaseModel):
    operator: Literal["+", "*"]
    left: Union["Expression", float]
    right: Union["Expression", float]


class Box(BaseModel, Generic[V]):
    value: V


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    schema_: str = Field(alias="schema")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: date
    count: int


class Sizes(RootModel[list[int]]):
    pass


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclasses.dataclass
class Line:
    text: str
    amount: Annotated[Decimal, Field(gt=0, description="in dollars")]
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Invoice:
    """An invoice as it was sent.

    Attributes:
        lines: What was sold.
        due: When it has to be paid.
    """

    lines: list[Line]
    due: date
    note: str | None = None


@attrs.frozen
class Port:
    host: str
    number: int = attrs.field(default=80, validator=attrs.validators.in_(range(1, 65536)))


@attrs.define
class Network:
    ports: list[Port]
    parent: Optional["Network"] = None


UTC = timezone.utc  # noqa: UP017 - the value that pydantic makes is compared by repr

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "int": (int, {'{"response": 4}': 4, "4": 4}),
    "float": (float, {'{"response": 0.5}': 0.5}),
    "bool": (bool, {'{"response": true}': True}),
    "str": (str, {'{"response": "a {b}"}': "a {b}"}),
    "list": (list[int], {'{"response": [1, 2]}': [1, 2], "[1, 2]": [1, 2], "```json\n[1]\n```": [1]}),
    "set": (set[int], {'{"response": [1, 2, 1]}': {1, 2}}),
    "deque": (deque[str], {'{"response": ["a"]}': deque(["a"])}),
    "tuple": (tuple[int, str], {'{"response": [1, "a"]}': (1, "a")}),
    "open tuple": (tuple[int, ...], {'{"response": [1, 2, 3]}': (1, 2, 3)}),
    "named tuple": (Point, {'{"response": [1, "a"]}': Point(1, "a")}),
    "optional": (int | None, {'{"response": null}': None, '{"response": 3}': 3}),
    "union": (Cat | Dog, {'{"response": {"kind": "dog", "good": true}}': Dog(kind="dog", good=True)}),
    "literal": (Literal["yes", "no"], {'{"response": "yes"}': "yes", '"no"': "no"}),
    "mixed literal": (Literal[1, "one", None], {'{"response": 1}': 1, '{"response": null}': None}),
    "enum": (Color, {'{"response": "red"}': Color.RED}),
    "int enum": (Level, {'{"response": 2}': Level.HIGH}),
    "constrained": (Annotated[int, Field(ge=1, le=5)], {'{"response": 5}': 5}),
    "datetime": (datetime, {'{"response": "2026-11-25T10:00:00Z"}': datetime(2026, 11, 25, 10, tzinfo=UTC)}),
    "date": (date, {'{"response": "2026-11-25"}': date(2026, 11, 25)}),
    "time": (time, {'{"response": "10:30:00"}': time(10, 30)}),
    "timedelta": (timedelta, {'{"response": "PT90S"}': timedelta(seconds=90)}),
    "decimal": (Decimal, {'{"response": "1.10"}': Decimal("1.10"), '{"response": 2}': Decimal(2)}),
    "uuid": (UUID, {f'{{"response": "{UUID(int=7)}"}}': UUID(int=7)}),
    "path": (Path, {'{"response": "a/b"}': Path("a/b")}),
    "bytes": (bytes, {'{"response": "ab"}': b"ab"}),
    "any": (Any, {'{"response": {"a": [1]}}': {"a": [1]}}),
    "dict": (dict[str, int], {'{"a": 1}': {"a": 1}, "{}": {}}),
    "dict of models": (dict[str, Cat], {'{"a": {"kind": "cat"}}': {"a": Cat(kind="cat")}}),
    "list of models": (
        list[Cat],
        {'{"response": [{"kind": "cat", "lives": null}]}': [Cat(kind="cat")], '[{"kind": "cat"}]': [Cat(kind="cat")]},
    ),
    "model": (
        Cat,
        {'{"kind": "cat"}': Cat(kind="cat"), 'Here: {"kind": "cat", "lives": 2} .': Cat(kind="cat", lives=2)},
    ),
    "discriminated": (
        Owner,
        {'{"pet": {"kind": "cat", "lives": null}, "name": "Ana"}': Owner(pet=Cat(kind="cat"), name="Ana")},
    ),
    "recursive": (
        Tree,
        {
            '{"name": "a", "children": [{"name": "b", "children": null}]}': Tree(name="a", children=[Tree(name="b")]),
            '{"name": "a"}': Tree(name="a"),
        },
    ),
    "recursive union": (
        Expression,
        {
            '{"operator": "+", "left": 1, "right": {"operator": "*", "left": 2, "right": 3}}': Expression(
                operator="+", left=1, right=Expression(operator="*", left=2, right=3)
            )
        },
    ),
    "generic": (Box[list[int]], {'{"value": [1]}': Box[list[int]](value=[1])}),
    "alias": (Aliased, {'{"schema": "x"}': Aliased(schema="x")}),
    "strict model": (Strict, {'{"when": "2026-01-02", "count": 1}': Strict(when=date(2026, 1, 2), count=1)}),
    "root model": (Sizes, {'{"response": [1]}': Sizes([1])}),
    "typed dict": (
        Movie,
        {'{"title": "M", "year": null}': {"title": "M"}, '{"title": "M", "year": 1931}': {"title": "M", "year": 1931}},
    ),
    "dataclass": (
        Invoice,
        {
            '{"lines": [{"text": "t", "amount": 2, "tags": null}], "due": "2026-01-02", "note": null}': Invoice(
                [Line("t", Decimal(2))], date(2026, 1, 2)
            )
        },
    ),
    "attrs": (Port, {'{"host": "h"}': Port("h"), '{"host": "h", "number": null}': Port("h")}),
    "recursive attrs": (
        Network,
        {'{"ports": [{"host": "h"}], "parent": {"ports": []}}': Network([Port("h")], Network([]))},
    ),
}
