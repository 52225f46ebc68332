"""Servers in this program, conversion of results, conversations with MCP tools, and aimu tools as a server."""

import json
import sys
import threading
from functools import partial

import anyio
import pytest
from fastmcp import Context, FastMCP
from mcp.server import MCPServer, Server
from mcp_types import ToolListChangedNotification

from aimu import aio
from aimu.errors import (
    BusyConversationError,
    ClosedClientError,
    InvalidOptionError,
    MCPError,
    MCPTimeoutError,
    MissingExtraError,
    ToolError,
    ToolNameClashError,
)
from aimu.testing import leak_check, reply, scripted_client
from aimu.tools import Tool, ToolSignatureError, serve_mcp, tool
from tests.mcp.conftest import tiny
from tests.mcp.fastmcp_server import cancelled
from tests.mcp.fastmcp_server import server as friend

PNG = "iVBORw0KGgo="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


@tool
def shout(text: str) -> str:
    """Say it loud."""
    return text.upper()


async def test_the_tools_of_a_server_object_are_listed_and_called(opened):
    async with opened(server=friend) as client:
        names = [item["function"]["name"] for item in await client.get_tools()]
        assert names[:3] == ["add", "count", "fail"]
        assert (await client.ping())[0]["function"]["description"] == "Add two numbers."
        assert await client.call_tool("add", {"a": 1, "b": 2}) == "3"
        assert await client.call_tool("picture") == [{"type": "text", "text": "a dot"}, IMAGE]


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [("fail", {"reason": "bad luck"}, "bad luck"), ("add", {"a": "x"}, "b\n"), ("none", {}, "Unknown tool: 'none'")],
)
async def test_a_failing_call_raises_an_error_with_the_servers_text(name, arguments, reason):
    async with aio.MCPClient(server=friend) as client:
        with pytest.raises(ToolError, match=reason):
            await client.call_tool(name, arguments)


async def test_a_tool_of_this_program_runs_in_the_loop_of_the_caller(opened):
    server = FastMCP("here")

    @server.tool
    async def place() -> list[int]:
        return [anyio.get_current_task().id, threading.get_ident()]

    async with opened(server=server) as client:
        assert json.loads(await client.call_tool("place")) == [anyio.get_current_task().id, threading.get_ident()]


async def test_progress_cancellation_and_timeout_reach_a_tool_of_this_program(opened):
    updates = []

    async def tell(*update):
        updates.append(update)

    async with leak_check(), opened(server=friend) as client:
        await client.call_tool("count", {"to": 2}, on_progress=tell)
        assert updates == [(1, 2, "step 1"), (2, 2, "step 2")]
        before = len(cancelled)
        with anyio.CancelScope() as scope:
            await client.call_tool("wait", on_progress=lambda *_: scope.cancel())
        with pytest.raises(MCPTimeoutError, match="'friend': tool 'wait' gave no answer within 0.5 s"):
            await client.call_tool("wait", timeout=0.5)
        assert len(cancelled) == before + 2


async def test_a_progress_callback_that_raises_ends_the_call_with_its_error(opened):
    def refuse(*_):
        raise ZeroDivisionError

    before = len(cancelled)
    async with opened(server=friend) as client:
        with pytest.raises(ZeroDivisionError):
            await client.call_tool("wait", on_progress=refuse)
    assert len(cancelled) == before + 1


async def test_a_protocol_error_of_a_server_object_is_an_mcp_error():
    server = Server("strict", on_list_tools=None)
    async with aio.MCPClient(server=server) as client:
        with pytest.raises(MCPError, match=r"'strict': .*\(code -32601\)"):
            await client.call_tool("any")


@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")  # FastMCP's own logging is the SDK's deprecated one
@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_a_tool_of_this_program_has_a_session_as_on_the_wire(opened, caplog, protocol):
    server = FastMCP("full")
    seen = []

    @server.tool
    async def use(ctx: Context) -> None:
        await ctx.info("working")
        await ctx.set_state("key", 7)
        await ctx.send_notification(ToolListChangedNotification())
        seen.append((ctx.request_id, ctx.session_id, await ctx.get_state("key")))

    caplog.set_level("INFO", "aimu.aio.mcp")
    async with opened(server=server, protocol=protocol) as client:
        await client.call_tool("use")
    [(request, session, state)] = seen
    assert request
    assert session
    assert state == 7
    assert "MCP server 'full': working" in caplog.text


async def test_a_server_object_of_the_mcp_package_works():
    server = MCPServer("plain")

    @server.tool()
    def hello() -> str:
        return "hello"

    async with aio.MCPClient(server=server) as client:
        assert await client.call_tool("hello") == "hello"


async def test_a_closed_client_of_a_server_object_raises(opened):
    async with opened(server=friend) as client:
        await client.aclose()
        await client.aclose()
        with pytest.raises(ClosedClientError):
            await client.get_tools()


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ([], "[1, 2]"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "image", "data": PNG, "mimeType": "image/png"}], [IMAGE]),
        ([{"type": "audio", "data": PNG, "mimeType": "audio/wav"}], "[audio, audio/wav, not shown]"),
        (
            [
                {
                    "type": "resource_link",
                    "name": "log",
                    "uri": "file:///log",
                    "description": "Of today",
                    "mimeType": "a/b",
                }
            ],
            "log: file:///log; Of today; a/b",
        ),
        ([{"type": "resource", "resource": {"uri": "a://b", "text": "inside"}}], "inside"),
        ([{"type": "resource", "resource": {"uri": "a://b", "blob": PNG, "mimeType": "image/png"}}], [IMAGE]),
        ([{"type": "resource", "resource": {"uri": "a://b", "blob": PNG}}], "[a://b, binary, not shown]"),
    ],
)
async def test_every_kind_of_content_is_converted_for_the_model(content, read):
    async with aio.MCPClient(config=tiny()) as client:
        result = {"content": content, "structuredContent": {"result": [1, 2]}}
        assert await client.call_tool("give", {"result": result}) == ('{"result": [1, 2]}' if not content else read)


@pytest.mark.parametrize("attach", ["tools", "mcp_client", "list"])
async def test_a_conversation_calls_the_tools_of_its_mcp_client(attach):
    async with aio.MCPClient(config=tiny()) as mcp:
        async with scripted_client(
            reply(calls=[("echo", {"text": "hi"})]),
            reply(calls=[("give", {"result": {"content": [{"type": "text", "text": "no"}], "isError": True}})]),
            reply(calls=[("shout", {"text": "hi"})]),
            "done",
        ) as client:
            client.tools = [shout, mcp] if attach == "tools" else [shout]
            if attach != "tools":
                client.mcp_client = [mcp] if attach == "list" else mcp
            assert await client.chat("go") == "done"
            results = [message["content"] for message in client.messages if message["role"] == "tool"]
            assert results == ["hi", "Error: no", "HI"]


async def test_a_malformed_schema_of_a_server_does_not_end_the_run():
    async with aio.MCPClient(config=tiny("malformed")) as mcp:
        async with scripted_client(reply(calls=[("echo", {"text": "hi"})]), "done", tools=[mcp]) as client:
            assert await client.chat("go") == "done"
            assert [message["content"] for message in client.messages if message["role"] == "tool"] == ["hi"]
        schemas = {schema["function"]["name"]: schema["function"]["parameters"] for schema in await mcp.get_tools()}
        assert schemas["echo"] == {"type": "object", "properties": {"text": {"type": "string"}}}


async def test_a_served_tool_hides_bound_values_and_sends_half_a_surrogate_as_a_replacement():
    def fetch(key: str, url: str) -> dict[str, str]:
        if url == "bad":
            raise LookupError(f"{key} is refused")
        return {url + "\ud83d": "a"}

    async with aio.MCPClient(server=serve_mcp(partial(fetch, key="sk-bound-key"))) as client:
        assert await client.call_tool("fetch", {"url": "u"}) == '{"u\ufffd": "a"}'
        with pytest.raises(ToolError, match=r"LookupError: \*\*\* is refused"):
            await client.call_tool("fetch", {"url": "bad"})
        with pytest.raises(ToolError, match="key: no such argument; known arguments: url"):
            await client.call_tool("fetch", {"url": "u", "key": "k"})


async def test_two_tools_with_the_same_name_are_refused_with_both_origins():
    async with aio.MCPClient(server=friend) as one, aio.MCPClient(server=serve_mcp(shout, name="loud")) as two:
        async with scripted_client() as client:
            client.tools = [shout, two]
            with pytest.raises(ToolNameClashError, match="'shout'.*function .*shout.*MCP server 'loud'"):
                await client.chat("go")
            client.tools = [one, two, one]
            with pytest.raises(ToolNameClashError, match="'add'.*'friend'.*'friend'"):
                await client.chat("go")


async def test_served_tools_use_the_schema_validation_and_content_of_aimu(opened):
    @tool(timeout=0.05)
    async def slow() -> str:
        """Never ends."""
        await anyio.sleep_forever()
        return ""

    async def show(name: str = "dot") -> list[dict]:
        """Show a picture."""
        return [{"type": "text", "text": name}, IMAGE]

    async with opened(server=serve_mcp([shout, slow, show])) as client:
        assert await client.get_tools() == [Tool(name=n, function=f).schema for n, f in _named(shout, slow, show)]
        assert await client.call_tool("shout", {"text": "hi"}) == "HI"
        assert await client.call_tool("show") == [{"type": "text", "text": "dot"}, IMAGE]
        with pytest.raises(ToolError, match="text: required, but missing"):
            await client.call_tool("shout")
        with pytest.raises(ToolError, match=r"slow did not end within 0.05 seconds"):
            await client.call_tool("slow")


def _named(*functions):
    return [(function.__name__, function) for function in functions]


async def test_a_runner_is_served_as_one_tool(opened):
    async with scripted_client("forty-two") as client:
        agent = aio.Agent(client, name="sage")
        async with opened(server=serve_mcp(agent, name="wisdom")) as mcp:
            [listed] = await mcp.get_tools()
            assert listed["function"]["description"] == "Give a task to sage; returns its answer."
            assert await mcp.call_tool("run", {"task": "What is it?"}) == "forty-two"
        assert [message["content"] for message in agent.messages["sage"]] == ["What is it?", "forty-two"]


async def test_a_busy_served_runner_returns_an_error():
    class Busy(aio.AsyncRunner):
        @property
        def messages(self):
            return {}

        async def run(self, task, generate_kwargs=None, stream=False, images=None):
            raise BusyConversationError

    async with aio.MCPClient(server=serve_mcp(Busy())) as mcp:
        with pytest.raises(ToolError, match="busy with another task's turn"):
            await mcp.call_tool("run", {"task": "now"})


def test_an_object_that_cannot_be_served_is_refused():
    with pytest.raises(ToolNameClashError):
        serve_mcp([shout, Tool(name="shout", function=shout)])
    with pytest.raises(ToolSignatureError):
        serve_mcp(7)


def test_a_client_takes_exactly_one_source():
    for given in ({}, {"config": tiny(), "server": friend}, {"file": "a", "config": tiny()}):
        with pytest.raises(InvalidOptionError, match="exactly one"):
            aio.MCPClient(**given)
    with pytest.raises(InvalidOptionError, match="must be a FastMCP server object, got str"):
        aio.MCPClient(server="http://localhost/mcp")


@pytest.mark.parametrize(
    ("make", "package"),
    [
        (lambda: aio.MCPClient(config=tiny()), "mcp"),
        (lambda: aio.MCPClient(server=friend), "fastmcp"),
        (lambda: serve_mcp(shout), "fastmcp"),
    ],
)
def test_a_missing_package_names_the_extra(monkeypatch, make, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"'{package}' is not installed.*extra 'mcp'"):
        make()
