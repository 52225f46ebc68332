"""Lists and results that do not quite follow the protocol: what is clear is read, and the rest does not spoil it."""

import anyio
import pytest

from aimu import aio
from aimu.errors import MCPError, ToolError
from aimu.testing import reply, scripted_client
from aimu.tools import MCPClient
from tests.mcp.conftest import wild
from tests.mcp.web import PLAIN, UNFINISHED, greeting, web_server

pytestmark = UNFINISHED
EMPTY = {"type": "object"}
TOOLS = [
    {"name": "good", "inputSchema": EMPTY},
    {"name": "bare"},
    {"name": "none", "inputSchema": None, "description": None, "title": None, "annotations": None},
    {"name": "empty", "inputSchema": {}},
    {"name": "true", "inputSchema": True},
    {"name": "typeless", "inputSchema": {"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {}}}},
    {"name": "nulls", "inputSchema": {"type": "object", "properties": None}},
    {"name": "array", "inputSchema": EMPTY, "outputSchema": {"type": "array"}},
    {"name": "wordy", "inputSchema": EMPTY, "description": ["a", "b"]},
]
BAD = [{"name": "false", "inputSchema": False}, {"inputSchema": EMPTY}, "tool", {"name": "x", "inputSchema": []}]


def serving(result, listed=None):
    """Answer calls with a result, and `listed` requests with lists."""

    def answer(message, request):
        reply = {"jsonrpc": "2.0", "id": message.get("id")}
        if message.get("method") in (listed or {}):
            return 200, PLAIN, {**reply, "result": listed[message["method"]]}
        return greeting(message, request) or (200, PLAIN, {**reply, "result": result})

    return answer


async def test_one_tool_that_is_not_valid_does_not_hide_the_others(opened, caplog):
    listed = {"tools/list": {"tools": [*BAD, *TOOLS]}}
    with web_server(serving({"content": []}, listed)) as url:
        async with opened(config={"s": {"url": url}}) as client:
            for _ in range(2):
                tools = {tool["function"]["name"]: tool["function"] for tool in await client.get_tools()}
            assert list(tools) == [tool["name"] for tool in TOOLS]
            assert await client.call_tool("bare") == ""
    assert all(tool["parameters"]["type"] == "object" for tool in tools.values())
    assert tools["typeless"]["parameters"]["definitions"] == {"A": {}}
    told = [text for text in caplog.messages if "which is not valid" in text]
    assert [text.split("'")[3] for text in told] == ["false", "None", "tool", "x", "array", "wordy"]  # each once
    assert "left out 'false' of its tools, which is not valid: tools.0.inputSchema: Input should be" in told[0]
    assert "read only a part of 'array'" in told[4]


async def test_one_resource_or_prompt_that_is_not_valid_does_not_hide_the_others(opened, caplog):
    listed = {
        "resources/list": {"resources": [{"name": "no address"}, {"name": "a", "uri": "x://a"}]},
        "resources/templates/list": {"resourceTemplates": [{"name": "b", "uriTemplate": "x://{b}"}, None]},
        "prompts/list": {"prompts": [{"name": "c", "arguments": "many"}, {"name": "d"}]},
    }
    with web_server(serving({}, listed)) as url:
        async with opened(config={"s": {"url": url}}) as client:
            assert [item.name for item in await client.resources()] == ["a", "b"]
            assert [item.name for item in await client.prompts()] == ["d"]
    assert "left out 'no address' of its resources, which is not valid: resources.0.uri: Field required" in caplog.text


async def test_a_server_of_the_newest_protocol_is_read_as_it_is(opened, caplog):
    for behaviour in ("modern", "incomplete"):
        async with opened(config=wild(behaviour)) as client:
            assert [tool["function"]["name"] for tool in await client.get_tools()] == ["echo"]
    assert "not valid" not in caplog.text


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"structuredContent": {"a": 1}}, '{"a": 1}'),
        ({"content": None, "structuredContent": {"a": 1}}, '{"a": 1}'),
        ({"content": [{"type": "video", "data": "AAAA"}, {"type": "text", "text": "b"}]}, "[video, not shown]\nb"),
    ],
)
async def test_a_result_without_content_or_with_that_of_an_unknown_kind_is_read(opened, result, words):
    with web_server(serving(result)) as url:
        async with opened(config={"s": {"url": url}}) as client:
            assert await client.call_tool("next") == words


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"isError": True}, "the tool failed and does not say why"),
        ({"content": [], "isError": True}, "the tool failed and does not say why"),
        ({"structuredContent": {"why": "quota"}, "isError": True}, '{"why": "quota"}'),
        (
            {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}], "isError": True},
            "the tool failed and does not say why",
        ),
    ],
)
async def test_a_failed_result_always_has_a_reason(opened, result, reason):
    with web_server(serving(result)) as url:
        async with opened(config={"s": {"url": url}}) as client:
            with pytest.raises(ToolError) as caught:
                await client.call_tool("next")
            assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"$ref": "#"}, "'next' has an output schema that refers to itself without end"),
        ({"properties": {"x": {"$ref": "http://127.0.0.1:9/x"}}}, "'next' has an output schema with an unknown $ref: "),
    ],
)
async def test_an_output_schema_that_cannot_be_followed_is_not_checked(opened, caplog, schema, told):
    tool = {"name": "next", "inputSchema": EMPTY, "outputSchema": {"type": "object", **schema}}
    result = {"content": [{"type": "text", "text": "fine"}], "structuredContent": {"x": 1}}
    with web_server(serving(result, {"tools/list": {"tools": [tool]}})) as url:
        async with opened(config={"s": {"url": url}}) as client:
            await client.get_tools()
            assert await client.call_tool("next") == "fine"
    assert told in caplog.text


@pytest.mark.parametrize("odd", [{"pattern": "a{99999999999999}"}, {"pattern": "(" * 9999}, {"pattern": "("}])
async def test_an_output_schema_is_checked_without_its_dialect_and_expressions_if_they_are_odd(opened, odd):
    schema = {"$schema": "https://x.org/unknown", "type": "object", "properties": {"x": {"type": "integer", **odd}}}
    listed = {"tools/list": {"tools": [{"name": "next", "inputSchema": EMPTY, "outputSchema": schema}]}}
    with web_server(serving({"content": [], "structuredContent": {"x": "1"}}, listed)) as url:
        async with opened(config={"s": {"url": url}}) as client:
            await client.get_tools()
            with pytest.raises(MCPError, match="does not fit its output schema: '1' is not of type 'integer'"):
                await client.call_tool("next")


async def test_the_reason_of_a_large_result_that_does_not_fit_is_short(opened):
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    listed = {"tools/list": {"tools": [{"name": "next", "inputSchema": EMPTY, "outputSchema": schema}]}}
    with web_server(serving({"content": [], "structuredContent": {"x": "y" * 9999}}, listed)) as url:
        async with opened(config={"s": {"url": url}}) as client:
            await client.get_tools()
            with pytest.raises(
                MCPError, match="does not fit its output schema: 'yyy.* is not of type 'integer'"
            ) as caught:
                await client.call_tool("next")
    assert len(str(caught.value)) < 1000


async def test_the_model_is_told_that_a_silent_tool_failed():
    with web_server(serving({"content": [], "isError": True})) as url:
        async with aio.MCPClient(config={"s": {"url": url}}) as mcp:
            async with scripted_client(reply(calls=[("next", {})]), "done", tools=[mcp]) as client:
                await client.chat("go")
                [result] = [message["content"] for message in client.messages if message["role"] == "tool"]
    assert result == "Error: the tool failed and does not say why"


async def test_a_protocol_error_without_a_message_says_so(opened):
    def answer(message, request):
        error = {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32000, "message": ""}}
        return greeting(message, request) or (200, PLAIN, error)

    with web_server(answer) as url:
        async with opened(config={"s": {"url": url}}) as client:
            with pytest.raises(MCPError, match=r"'s': it gives no reason \(code -32000\)"):
                await client.call_tool("next")


async def test_an_empty_cursor_ends_a_list(opened, caplog):
    with web_server(serving({}, {"tools/list": {"tools": [TOOLS[0]], "nextCursor": ""}})) as url:
        async with opened(config={"s": {"url": url}}) as client:
            with anyio.fail_after(5):
                assert len(await client.get_tools()) == 1
    assert "does not end" not in caplog.text


def test_a_sync_client_reads_the_same():
    listed = {"tools/list": {"tools": [{"name": "bare"}, *BAD]}}
    with web_server(serving({"structuredContent": {}}, listed)) as url, MCPClient(config={"s": {"url": url}}) as client:
        assert [tool["function"]["name"] for tool in client.get_tools()] == ["bare"]
        assert client.call_tool("bare") == "{}"
