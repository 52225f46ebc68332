"""Results of served tools: the schema of their type, structured content, content blocks, and errors."""

import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal, TypedDict

import attrs
import mcp_types
import pydantic
import pytest
from mcp import Client

from aimu import aio
from aimu.errors import ToolError
from aimu.testing import reply, scripted_client
from aimu.tools import Tool, current_call, serve_mcp, tool

PNG = "iVBORw0KGgo="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


@dataclass
class Point:
    x: int
    y: int = 0


@attrs.frozen
class Place:
    name: str
    at: Point


class Weather(TypedDict):
    city: str
    celsius: float


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(alias="fullName")
    friends: list["Person"] = []

    @pydantic.computed_field
    @property
    def initial(self) -> str:
        return self.name[0]


class Colour(StrEnum):
    RED = "red"


def returning(hint, value):
    """Return a tool whose function promises a type and returns a value."""

    def give():
        return value

    give.__annotations__["return"] = hint
    return give


async def called(tools, name="give", arguments=None):
    """Return the tool that a server lists and the result of a call, as the protocol has them."""
    server = serve_mcp(tools)
    async with Client(server._mcp_server, mode="legacy", cache=None) as client:
        listed = {item.name: item for item in (await client.list_tools()).tools}
        return listed[name], await client.call_tool(name, arguments or {})


ANN = {"fullName": "Ann", "friends": [], "initial": "A"}


@pytest.mark.parametrize(
    ("hint", "value", "structured"),
    [
        (int, 3, {"result": 3}),
        (bool, True, {"result": True}),
        (float | None, None, {"result": None}),
        (int | str, "a", {"result": "a"}),
        (Literal["a", "b"], "b", {"result": "b"}),
        (Colour, Colour.RED, {"result": "red"}),
        (Annotated[int, pydantic.Field(ge=0)], 1, {"result": 1}),
        (list[int], [1, 2], {"result": [1, 2]}),
        (tuple[int, str], (1, "a"), {"result": [1, "a"]}),
        (list[Point], [Point(1)], {"result": [{"x": 1, "y": 0}]}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (dict, {"a": [None]}, {"a": [None]}),
        (Point, Point(1), {"x": 1, "y": 0}),
        (Place, Place("home", Point(1, 2)), {"name": "home", "at": {"x": 1, "y": 2}}),
        (list[Place], [Place("home", Point(1, 2))], {"result": [{"name": "home", "at": {"x": 1, "y": 2}}]}),
        (Weather, {"city": "Oslo", "celsius": 2.5}, {"city": "Oslo", "celsius": 2.5}),
        (Person, Person(fullName="Ann"), ANN),
        (
            Person,
            Person(fullName="Bo", friends=[Person(fullName="Ann")]),
            {**ANN, "fullName": "Bo", "initial": "B", "friends": [ANN]},
        ),
        ("list[int]", [1], {"result": [1]}),
        (dict[str, str], {"a": "\ud83d"}, {"a": "\ufffd"}),
    ],
)
async def test_a_typed_result_is_structured(hint, value, structured):
    listed, result = await called(returning(hint, value))
    assert listed.output_schema["type"] == "object"
    assert "title" not in listed.output_schema
    assert not result.is_error
    assert result.structured_content == structured
    assert result.content[0].text  # for clients that read content only


async def numbers(upto: int) -> AsyncIterator[int]:
    for number in range(upto):
        yield number


def sync_numbers(upto: int) -> Iterator[int]:
    yield from range(upto)


async def later(upto: int) -> list[int]:
    return list(range(upto))


def handed_on(upto: int) -> Awaitable[list[int]]:
    return later(upto)


@pytest.mark.parametrize("function", [numbers, sync_numbers, later, handed_on, partial(later, upto=2)])
async def test_the_type_is_that_of_what_a_call_gives_in_the_end(function):
    name = getattr(function, "__name__", "later")
    given = {} if isinstance(function, partial) else {"upto": 2}
    listed, result = await called(function, name, given)
    assert listed.output_schema["properties"]["result"] == {"type": "array", "items": {"type": "integer"}}
    assert result.structured_content == {"result": [0, 1]}
    assert result.content[0].text == "[0, 1]"


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (str, "hi", "hi"),
        (str | None, None, "null"),
        (None, None, "null"),
        (Any, 3, "3"),
        ("NoSuchType", 3, "3"),
        (type(lambda: 0), 3, "3"),
        (Literal[()], 3, "3"),
        (dict[int], {1: 2}, '{"1": 2}'),
        (list, [1], "[1]"),
        (list[dict], [{"a": 1}], '[{"a": 1}]'),
        (list[dict[str, Any]] | str, "hi", "hi"),
        (Annotated[str, "a note"], "hi", "hi"),
    ],
)
async def test_text_and_what_may_be_content_parts_has_no_schema(hint, value, text):
    listed, result = await called(returning(hint, value))
    assert listed.output_schema is None
    assert result.structured_content is None
    assert result.content[0].text == text


async def test_the_schema_of_arguments_is_that_of_the_tool_with_its_references():
    def visit(places: list[Place]) -> str:
        """Visit places."""
        return places[0].name

    listed, result = await called(visit, "visit", {"places": [{"name": "home", "at": {"x": 1}}]})
    assert listed.input_schema == Tool(name="visit", function=visit).parameters
    assert set(listed.input_schema["$defs"]) == {"Place", "Point"}
    assert result.content[0].text == "home"


async def test_a_tool_with_parameters_of_its_own_has_the_type_of_its_function():
    listed, result = await called(Tool(name="give", function=lambda: 3, description="", parameters={}))
    assert (listed.output_schema, result.content[0].text) == (None, "3")
    listed, result = await called(Tool(name="give", function=returning(int, 3), description="", parameters={}))
    assert result.structured_content == {"result": 3}


@pytest.mark.parametrize(
    ("hint", "value", "reason"),
    [
        (int, "three", "ToolError: its result does not fit its return type: 'three' is not of type 'integer'"),
        (Point, None, "ToolError: its result does not fit its return type: None is not of type 'object'"),
        (float, float("nan"), "ToolError: its result has a number that JSON does not know"),
    ],
)
async def test_a_result_that_does_not_fit_its_type_is_an_error(hint, value, reason):
    _, result = await called(returning(hint, value))
    assert result.is_error
    assert result.content[0].text.startswith(reason)


@pytest.mark.parametrize("raises", [(), ValueError])
async def test_every_failure_is_an_error_result_with_a_text_that_a_model_can_read(raises):
    @tool(raises=raises)
    def fail(code: int) -> int:
        """Fail."""
        raise ValueError(f"code {code}")

    async def fail_deep() -> int:
        """Fail in a task group."""
        raise ExceptionGroup("", [ExceptionGroup("", [ZeroDivisionError("deep")])])

    for name, arguments, reason in [
        ("fail", {"code": 3}, "ValueError: code 3"),
        ("fail", {"code": "x"}, "fail was not executed because its arguments are invalid:\n- code: "),
        ("fail", {}, "fail was not executed because its arguments are invalid:\n- code: required, but missing"),
        ("fail_deep", {}, "ZeroDivisionError: deep"),
    ]:
        _, result = await called([fail, fail_deep], name, arguments)
        assert result.is_error
        assert result.content[0].text.startswith(reason)
    server = serve_mcp([fail])
    async with Client(server._mcp_server, mode="legacy", cache=None) as client:
        result = await client.call_tool("none", {})
        assert result.is_error
        assert "none" in result.content[0].text


async def test_a_tool_that_ends_the_program_ends_its_call_only(caplog):
    def leave(code: int) -> int:
        """Leave."""
        sys.exit(code)

    async def leave_async() -> int:
        """Leave."""
        raise SystemExit("usage: leave")

    for name, arguments, reason in [("leave", {"code": 3}, "SystemExit: 3"), ("leave_async", {}, "usage: leave")]:
        _, result = await called([leave, leave_async], name, arguments)
        assert result.is_error
        assert reason in result.content[0].text
        assert f"tool '{name}' would have ended the program" in caplog.text


async def test_blocks_of_the_protocol_go_out_as_they_are_alone_and_among_parts():
    sound = mcp_types.AudioContent(type="audio", data="AAAA", mime_type="audio/wav")
    _, result = await called(returning(list, [sound, IMAGE, "a dot"]))
    assert [block.type for block in result.content] == ["audio", "image", "text"]
    assert result.content[2].text == "a dot"
    _, result = await called(returning(mcp_types.AudioContent, sound))
    assert [block.type for block in result.content] == ["audio"]


async def test_reports_from_threads_and_without_a_listener_do_no_harm(caplog):
    @tool
    def work() -> str:
        """Work."""
        call = current_call()
        call.progress(1, 2)
        call.log("half done", "warning")
        with pytest.raises(ValueError, match="level must be one of"):
            call.log("x", "loud")
        return "done"

    client = scripted_client(reply(calls=[("work", {})]), "Done.", tools=[work])
    assert await client.chat("Go.") == "Done."
    assert [record.getMessage() for record in caplog.records] == ["tool 'work': half done"]
    assert caplog.records[0].name == "aimu.tools"


async def test_a_client_of_the_older_protocol_hears_only_the_levels_that_it_wants():
    def work() -> str:
        """Work."""
        current_call().log("quiet", "debug")
        current_call().log("loud", "error")
        return "done"

    heard = []

    async def hear(params):
        heard.append((params.level, params.data))

    server = serve_mcp(work)
    async with Client(server._mcp_server, mode="legacy", cache=None, logging_callback=hear) as client:
        request = mcp_types.SetLevelRequest(params=mcp_types.SetLevelRequestParams(level="warning"))
        await client.session.send_request(request, mcp_types.EmptyResult)
        await client.call_tool("work", {})
    assert heard == [("error", "loud")]


async def test_a_program_may_call_a_tool_of_its_server_without_a_client(caplog):
    def work() -> int:
        """Work."""
        current_call().progress(1, 2, "half")
        current_call().log("half done", "warning")
        return 3

    result = await serve_mcp(work).call_tool("work", {})
    assert result.structured_content == {"result": 3}
    records = [(record.name, record.getMessage()) for record in caplog.records if record.name.startswith("aimu")]
    assert records == [("aimu.tools", "tool 'work': half done")]


async def test_a_tool_that_reports_faster_than_its_client_reads_loses_only_the_oldest_reports():
    def work() -> str:
        """Work."""
        for number in range(5000):
            current_call().progress(number)
        return "done"

    updates = []
    async with aio.MCPClient(server=serve_mcp(work)) as client:
        assert await client.call_tool("work", on_progress=lambda done, *_: updates.append(done)) == "done"
    assert updates == sorted(updates)
    assert updates[-1] == 4999


async def test_an_error_of_a_served_tool_reads_the_same_as_that_of_a_local_one():
    def fail() -> str:
        """Fail."""
        raise LookupError("no such thing")

    async with aio.MCPClient(server=serve_mcp(fail)) as mcp:
        with pytest.raises(ToolError, match="^LookupError: no such thing$"):
            await mcp.call_tool("fail")
        results = []
        for tools in ([fail], [mcp]):
            client = scripted_client(reply(calls=[("fail", {})]), "Done.", tools=tools)
            await client.chat("Go.")
            results.append(client.messages[2]["content"])
    assert results == ["Error: LookupError: no such thing"] * 2
