"""Servers in a run: failed calls, changed tools, lists without an end, schemas that cannot be checked."""

import anyio
import pytest
from fastmcp import Context, FastMCP

from aimu import aio
from aimu.errors import MCPError
from aimu.testing import reply, scripted_client
from aimu.tools import MCPClient
from tests.holding import PATIENCE
from tests.mcp.conftest import TINY, tiny, wild

PNG = {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}


@pytest.mark.parametrize("behaviour", ["cursors", "pages"])
async def test_a_list_that_does_not_end_is_read_to_a_bound(opened, caplog, behaviour):
    async with opened(config=wild(behaviour)) as client:
        with anyio.fail_after(10):
            tools = await client.get_tools()
    assert [tool["function"]["name"] for tool in tools] == (["echo"] if behaviour == "cursors" else [])
    assert "'wild': its list of tools does not end" in caplog.text


async def test_a_failed_result_with_an_image_is_told_as_an_error():
    async with aio.MCPClient(config=tiny()) as mcp:
        failed = {"content": [PNG], "isError": True}
        async with scripted_client(reply(calls=[("give", {"result": failed})]), "done", tools=[mcp]) as client:
            await client.chat("go")
            [result] = [message["content"] for message in client.messages if message["role"] == "tool"]
    assert result[0] == {"type": "text", "text": "Error:"}
    assert result[1]["type"] == "image_url"


@pytest.mark.parametrize("protocol", ["legacy", "changing"])
async def test_tools_that_change_in_a_run_are_offered_in_its_next_request(opened, protocol):
    config = wild(protocol if protocol == "changing" else "changing-legacy")
    async with opened(config=config) as mcp:
        async with scripted_client(
            reply(calls=[("echo", {"text": "grow"})]), reply(calls=[("more", {})]), "done", tools=[mcp]
        ) as client:
            assert await client.chat("go") == "done"
            results = [message["content"] for message in client.messages if message["role"] == "tool"]
            assert results == ["grow", "more"]


EVIL = "(a+)+$"
OUTPUTS = {
    "pattern": {"properties": {"x": {"type": "string", "pattern": EVIL}}},
    "names": {"patternProperties": {EVIL: {"type": "string"}}, "additionalProperties": False},
    "unevaluated": {"patternProperties": {EVIL: {}}, "unevaluatedProperties": False},
}


@pytest.mark.parametrize("name", OUTPUTS)
async def test_a_pattern_of_an_output_schema_cannot_stop_the_loop(opened, name):
    attack = "a" * 40 + "!"
    async with opened(config=wild(f"output-{name}")) as client:
        with anyio.fail_after(5):
            await client.get_tools()
            assert await client.call_tool("echo", {"text": attack}) == attack


async def test_a_result_that_does_not_fit_its_output_schema_ends_its_call_with_the_reason(opened, caplog):
    async with opened(config=wild("output-wrong")) as client:
        await client.get_tools()
        with pytest.raises(MCPError, match="the result of tool 'echo' does not fit its output schema: .*integer"):
            await client.call_tool("echo", {"text": "a"})
    async with opened(config=wild("output-none")) as client:
        await client.get_tools()
        with pytest.raises(MCPError, match="'echo' has an output schema, but its result has no structured content"):
            await client.call_tool("echo", {"text": "a"})
    async with opened(config=wild("output-invalid")) as client:
        await client.get_tools()
        assert await client.call_tool("echo", {"text": "a"}) == "a"
        assert "tool 'echo' has an invalid output schema" in caplog.text
    async with opened(config=wild("output-endless")) as client:
        await client.get_tools()
        assert await client.call_tool("echo", {"text": "a"}) == "a"
        assert "tool 'echo' has an output schema that refers to itself without end" in caplog.text


async def test_cancelling_a_connect_does_not_wait_for_servers_that_are_connected(opened, children, monkeypatch):
    monkeypatch.setattr("aimu.aio._mcp.process.EXIT", 90)
    config = {"stubborn": tiny("stubborn")["mcpServers"]["tiny"], "mute": tiny("mute")["mcpServers"]["tiny"], "x": TINY}
    with anyio.fail_after(PATIENCE), anyio.move_on_after(1) as scope:
        async with opened(config=config):
            raise AssertionError("one never answers")
    assert scope.cancelled_caught
    assert children() == []


def test_the_loop_of_an_agent_hears_of_the_changed_tools_of_a_sync_client():
    async def main():
        replies = [reply(calls=[("echo", {"text": "grow"})]), reply(calls=[("more", {})]), "done"]
        async with scripted_client(*replies, tools=[mcp]) as client:
            assert await client.chat("go") == "done"
            assert client.messages[-2]["content"] == "more"

    with MCPClient(config=wild("changing")) as mcp:
        anyio.run(main)


async def test_tools_that_a_server_object_adds_in_a_run_are_offered():
    server = FastMCP("growing")

    @server.tool
    async def grow(ctx: Context) -> str:
        server.tool(lambda: "more", name="more")
        from mcp_types import ToolListChangedNotification

        await ctx.send_notification(ToolListChangedNotification())
        return "grown"

    async with aio.MCPClient(server=server) as mcp:
        async with scripted_client(
            reply(calls=[("grow", {})]), reply(calls=[("more", {})]), "done", tools=[mcp]
        ) as client:
            await client.chat("go")
            assert client.messages[-2]["content"] == "more"
