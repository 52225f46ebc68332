"""What is sent to servers is JSON data, so that no call spoils the connection for the others."""

import pytest

from aimu.errors import InvalidOptionError, MCPError, ToolError
from aimu.testing import reply, scripted_client
from aimu.tools import MCPClient
from tests.mcp.conftest import tiny
from tests.mcp.test_sse import sse_server
from tests.mcp.web import PLAIN, UNFINISHED, greeting, text, web_server

pytestmark = UNFINISHED


def answer(message, request):
    return greeting(message, request) or (200, PLAIN, text(message, message["params"]["arguments"]["text"]))


@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_arguments_that_json_cannot_express_fail_their_call_only(opened, transport):
    with web_server(answer) as http, sse_server() as sse:
        config = {"stdio": tiny(), "http": {"s": {"url": http}}, "sse": {"s": {"url": sse, "type": "sse"}}}[transport]
        name = "echo" if transport == "stdio" else "next"
        async with opened(config=config) as client:
            for value in ({1}, b"x", object(), float("nan"), {1: 2}):
                with pytest.raises(InvalidOptionError, match=f"the arguments of tool '{name}' must be a dict of JSON"):
                    await client.call_tool(name, {"text": value})
            with pytest.raises(InvalidOptionError, match="must be a dict of JSON data"):
                await client.call_tool(name, ["text"])
            assert await client.call_tool(name, {"text": "half \ud83d"}) == "half \ufffd"


async def test_resources_and_prompts_are_asked_for_in_json_too(opened, friend_url):
    async with opened(config={"s": {"url": friend_url}}) as client:
        with pytest.raises(InvalidOptionError, match="the arguments of prompt 'x' must be a dict of JSON data"):
            await client.get_prompt("x", {"a": {1}})
        for words in ("x\ud800", "friend://\ud800"):
            with pytest.raises(MCPError, match="(?i)unknown|not found|no such|validation"):
                await client.read(words)
        with pytest.raises((MCPError, ToolError), match="(?i)unknown|not found"):
            await client.call_tool("no\ud800")
        assert await client.get_tools()


async def test_half_a_surrogate_of_a_model_reaches_a_tool_as_a_replacement(opened):
    async with opened(config=tiny()) as mcp:
        call = reply(calls=[("echo", {"text": "half \ud83d"}), ("echo", {"text": "fine"})])
        async with scripted_client(call, "done", tools=[mcp]) as client:
            await client.chat("go")
            results = [message["content"] for message in client.messages if message["role"] == "tool"]
    assert results == ["half \ufffd", "fine"]


def test_a_sync_client_sends_json():
    with MCPClient(config=tiny()) as client:
        with pytest.raises(InvalidOptionError):
            client.call_tool("echo", {"text": {1}})
        assert client.call_tool("echo", {"text": "\ud800"}) == "\ufffd"
