"""Generic attrs classes with parameters, nested, recursive and inherited, as types of answers and of arguments."""

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import attrs
import pytest
from pydantic import BaseModel, Field

import aimu
from aimu._output._type import OutputType
from aimu.errors import InvalidOptionError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from tests.output.test_runs import MODES, WAYS, agent_of

T = TypeVar("T")
U = TypeVar("U")


@attrs.define
class Box(Generic[T]):
    item: T
    more: list[T] = attrs.field(factory=list)


@attrs.frozen
class Pair(Generic[T, U]):
    left: T
    right: Annotated[U, "the other"]


@attrs.define
class Node(Generic[T]):
    value: T
    next: "Node[T] | None" = None


@attrs.define
class Swapped(Pair[U, T]):
    note: str = ""


@attrs.define
class Named(Box[int], Generic[T]):
    name: T | None = None


@attrs.define
class Numbers(Box[float]):
    pass


@attrs.define
class Holder:
    box: Box[int]


@attrs.define
class Deep(Generic[T]):
    boxes: dict[str, Box[T]]


@dataclass
class Record(Generic[T]):
    item: T


class Model(BaseModel, Generic[T]):
    item: T


@attrs.define
class Growing(Generic[T]):
    item: T
    next: "Growing[list[T]] | None" = None


FITTING = {
    "plain": (Box[int], '{"item": 1, "more": [2]}', Box(1, [2]), '{"item": "x"}'),
    "default": (Box[int], '{"item": 1}', Box(1), '{"item": 1, "more": ["x"]}'),
    "two": (Pair[int, str], '{"left": 1, "right": "r"}', Pair(1, "r"), '{"left": 1, "right": 2}'),
    "list": (list[Box[int]], '{"response": [{"item": 1}]}', [Box(1)], '{"response": [{"item": "x"}]}'),
    "optional": (Box[int] | None, '{"response": {"item": 1}}', Box(1), '{"response": {"item": "x"}}'),
    "nested": (Box[Box[int]], '{"item": {"item": 1}}', Box(Box(1)), '{"item": {"item": "x"}}'),
    "recursive": (
        Node[int],
        '{"value": 1, "next": {"value": 2}}',
        Node(1, Node(2)),
        '{"value": 1, "next": {"value": ""}}',
    ),
    "swapped": (Swapped[int, str], '{"left": 1, "right": "r"}', Swapped(1, "r"), '{"left": "l", "right": "r"}'),
    "same variable": (Named[str], '{"item": 1, "name": "n"}', Named(1, [], "n"), '{"item": 1, "name": 2}'),
    "subclass": (Numbers, '{"item": 1.5}', Numbers(1.5), '{"item": "x"}'),
    "field": (Holder, '{"box": {"item": 1}}', Holder(Box(1)), '{"box": {"item": "x"}}'),
    "deep": (Deep[int], '{"boxes": {"a": {"item": 1}}}', Deep({"a": Box(1)}), '{"boxes": {"a": {"item": "x"}}}'),
    "constrained": (Box[Annotated[int, Field(gt=0)]], '{"item": 1}', Box(1), '{"item": 0}'),
    "dataclass in it": (Box[Record[int]], '{"item": {"item": 1}}', Box(Record(1)), '{"item": {"item": "x"}}'),
    "model in it": (Box[Model[int]], '{"item": {"item": 1}}', Box(Model[int](item=1)), '{"item": {"item": "x"}}'),
    "without parameters": (Box, '{"item": "any"}', Box("any"), "{}"),
}


@pytest.mark.parametrize("name", FITTING)
def test_a_text_becomes_the_value(name):
    kind, text, value, wrong = FITTING[name]
    found = OutputType.of(kind).parse(text)
    assert (found, type(found)) == (value, type(value))
    with pytest.raises(ValueError, match=r"."):
        OutputType.of(kind).parse(wrong)


def test_different_parameters_are_different_types():
    kind = OutputType.of(Pair[Box[int], Box[str]])
    assert kind.parse('{"left": {"item": 1}, "right": {"item": "a"}}') == Pair(Box(1), Box("a"))
    assert set(kind.schema["$defs"]) == {"Box_int_", "Box_str_"}
    with pytest.raises(ValueError, match=r"left\.item"):
        kind.parse('{"left": {"item": "a"}, "right": {"item": "a"}}')


def test_a_type_that_grows_without_end_says_so():
    with pytest.raises(InvalidOptionError, match="has no JSON Schema"):
        OutputType.of(Growing[int])


@WAYS
@MODES
async def test_an_answer_has_the_type(way, mode):
    agent, _ = agent_of('{"item": "x"}', '{"item": 1}')
    answer = await way(agent, output_type=Box[int], output_mode=mode)
    assert (answer.output, answer.requests) == (Box(1), 2)


def test_the_sync_surface_gives_the_same():
    agent = aimu.agents.Agent(aimu.client(ScriptedProvider('{"left": 1, "right": "r"}')))
    assert agent.run("Go.", output_type=Pair[int, str]).output == Pair(1, "r")


async def test_a_tool_takes_one():
    seen = []

    @tool
    def put(box: Box[int]) -> str:
        """Put a box."""
        seen.append(box)
        return "done"

    wrong, right = ({"box": {"item": item}} for item in ("x", 1))
    agent, _ = agent_of(reply(calls=[("put", wrong)]), reply(calls=[("put", right)]), "Done.")
    agent.tools = [put]
    await agent.run("Go.")
    assert seen == [Box(1)]
    assert "box.item" in agent.history[2]["content"]
