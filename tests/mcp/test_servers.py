"""Servers of other projects: `nox -s servers` installs and starts them.

`AIMU_MCP_PYTHON` is the interpreter that has mcp-server-time and mcp-server-git (default: this one),
`AIMU_MCP_EVERYTHING` is the command of @modelcontextprotocol/server-everything (default: that name on the PATH), and
`AIMU_MCP_RUST`, `AIMU_MCP_GO` and `AIMU_MCP_DOTNET` are cortex-mcp (on rmcp), mcp-time (on mcp-go) and azmcp (on the
.NET SDK).
"""

import json
import os
import subprocess
import sys

import anyio
import pytest

import aimu
from aimu import aio
from aimu.errors import MCPConnectionError, MCPError, MCPTimeoutError, ToolError
from aimu.testing import leak_check, reply, scripted_client, tiny_model
from tests.mcp.conftest import FRIEND
from tests.ports import accepting, free_port

pytestmark = [
    pytest.mark.real_servers,
    # See test_http.
    pytest.mark.filterwarnings("ignore:Exception ignored .*<async_generator:pytest.PytestUnraisableExceptionWarning"),
]
PYTHON = os.environ.get("AIMU_MCP_PYTHON", sys.executable)
EVERYTHING = os.environ.get("AIMU_MCP_EVERYTHING", "mcp-server-everything")
TIME = {"command": PYTHON, "args": ["-m", "mcp_server_time", "--local-timezone", "Etc/UTC"]}
GIT = {"command": PYTHON, "args": ["-m", "mcp_server_git"]}
RUST = {"command": os.environ.get("AIMU_MCP_RUST", "cortex-mcp")}
GO = {"command": os.environ.get("AIMU_MCP_GO", "mcp-time")}
DOTNET = {
    "command": os.environ.get("AIMU_MCP_DOTNET", "azmcp"),
    "args": ["server", "start"],
    "env": {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "AZURE_MCP_COLLECT_TELEMETRY": "false"},
}
NOON = "2026-11-26T12:00:00+01:00"
STOCKHOLM = {"source_timezone": "Europe/Stockholm", "time": "12:00", "target_timezone": "Asia/Kolkata"}


@pytest.fixture(scope="module")
def everything_url():
    port = free_port()
    process = subprocess.Popen(
        [EVERYTHING, "streamableHttp"],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        accepting(process, port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(params=["stdio", "http"])
def everything(request):
    if request.param == "http":
        return {"everything": {"url": request.getfixturevalue("everything_url")}}
    return {"everything": {"command": EVERYTHING, "args": ["stdio"]}}


async def killed_in_a_call(client, children, name, arguments):
    """Kill the server while it owes an answer: between two calls, the next one would silently start it again."""
    [server] = children()

    async def call():
        with pytest.raises(MCPConnectionError, match=r"^MCP server '\w+': it was killed by SIGKILL"):
            await client.call_tool(name, arguments)

    server.suspend()
    await anyio.sleep(1)  # until the signal has reached all its threads
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await anyio.sleep(1)  # until the request is on its way
        server.kill()


async def test_the_time_server_lists_answers_refuses_and_dies(opened, children):
    async with leak_check(within=5), opened(config={"time": TIME}, timeout=60, reconnect=True) as client:
        names = [tool["function"]["name"] for tool in await client.ping()]
        assert names == ["get_current_time", "convert_time"]
        results = []

        async def convert():
            results.append(json.loads(await client.call_tool("convert_time", STOCKHOLM)))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(convert)
        assert {result["target"]["timezone"] for result in results} == {"Asia/Kolkata"}
        with pytest.raises(ToolError, match="(?i)timezone"):
            await client.call_tool("get_current_time", {"timezone": "Mars/Olympus"})
        await killed_in_a_call(client, children, "convert_time", STOCKHOLM)
        assert json.loads(await client.call_tool("convert_time", STOCKHOLM)) == results[0]


@pytest.fixture
def repository(tmp_path):
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(tmp_path)], check=True, timeout=60)
    return str(tmp_path)


async def test_the_git_server_works_on_a_repository_beside_the_time_server(opened, repository):
    async with opened(config={"git": GIT, "time": TIME}, timeout=60) as client:
        assert "trunk" in await client.call_tool("git_git_status", {"repo_path": repository})
        assert "Asia/Kolkata" in await client.call_tool("time_convert_time", STOCKHOLM)
        with pytest.raises(ToolError):
            await client.call_tool("git_git_status", {"repo_path": "/no/such"})


async def test_a_conversation_uses_the_time_server():
    async with aio.MCPClient(config={"time": TIME}, timeout=60) as mcp:
        client = scripted_client(reply(calls=[("convert_time", STOCKHOLM)]), "half past four")
        client.mcp_client = mcp
        assert await client.chat("Noon in Stockholm is what in Kolkata?") == "half past four"
        assert "Asia/Kolkata" in client.messages[2]["content"]


async def test_an_agent_on_the_embedded_model_calls_a_server_beside_the_time_server():
    with aimu.client(f"hf:{tiny_model()}", threads=1) as weights:
        async with aio.MCPClient(config={"time": TIME}, timeout=60) as zones:
            async with aio.MCPClient(config={"friend": FRIEND}, timeout=60) as friend:
                agent = aio.Agent(aio.client(weights).fork(), "You are a careful agent.", tools=[zones, friend])
                assert await agent.run("What is 17 plus 25?") == "The answer is 42."
                assert agent.model_client.messages[3]["content"] == "42"


async def test_server_everything_calls_fails_shows_and_links(opened, everything):
    async with opened(config=everything, timeout=60) as client:
        assert len(await client.get_tools()) >= 8
        assert await client.call_tool("echo", {"message": "hi"}) == "Echo: hi"
        assert "42" in await client.call_tool("get-sum", {"a": 17, "b": 25})
        parts = await client.call_tool("get-tiny-image")
        assert [part["type"] for part in parts].count("image_url") == 1
        assert "demo://" in await client.call_tool("get-resource-links", {"count": 2})
        assert "temperature" in await client.call_tool("get-structured-content", {"location": "Chicago"})
        with pytest.raises(ToolError):
            await client.call_tool("get-sum", {"a": "x"})


async def test_server_everything_reports_progress_and_is_cancelled(opened, everything):
    async with leak_check(within=5), opened(config=everything, timeout=60) as client:
        updates = []
        operation = {"duration": 0.3, "steps": 3}
        await client.call_tool(
            "trigger-long-running-operation", operation, on_progress=lambda *update: updates.append(update[:2])
        )
        assert updates == [(1, 3), (2, 3), (3, 3)]
        with anyio.CancelScope() as scope:
            await client.call_tool(
                "trigger-long-running-operation", {"duration": 60, "steps": 600}, on_progress=lambda *_: scope.cancel()
            )
        assert scope.cancelled_caught
        with pytest.raises(MCPTimeoutError):
            await client.call_tool("trigger-long-running-operation", {"duration": 60, "steps": 600}, timeout=0.5)
        assert await client.call_tool("echo", {"message": "still there"}) == "Echo: still there"


async def half_past_four(client, arguments):
    """Convert a time, refuse a time zone, and answer calls at once."""
    with pytest.raises(ToolError):
        await client.call_tool("convert_timezone", {**arguments, list(arguments)[-1]: "Mars/Olympus"})
    results = []

    async def convert():
        results.append(await client.call_tool("convert_timezone", arguments))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(convert)
    assert ["16:30:00+05:30" in result for result in results] == [True] * 10


async def killed_and_started_again(opened, children, server, protocol, arguments):
    options = {"config": {"server": server}, "protocol": protocol, "timeout": 60, "reconnect": True}
    async with leak_check(within=5), opened(**options) as client:
        names = [tool["function"]["name"] for tool in await client.ping()]
        assert "convert_timezone" in names
        await half_past_four(client, arguments)
        await killed_in_a_call(client, children, "convert_timezone", arguments)
        await half_past_four(client, arguments)
    assert children() == []


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_a_rust_server_answers_refuses_and_dies(opened, children, protocol):
    arguments = {"datetime": NOON, "target_timezone": "Asia/Kolkata"}
    await killed_and_started_again(opened, children, RUST, protocol, arguments)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_a_go_server_answers_refuses_and_dies(opened, children, protocol):
    arguments = {"time": NOON, "output_timezone": "Asia/Kolkata"}
    await killed_and_started_again(opened, children, GO, protocol, arguments)


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_a_dotnet_server_lists_and_answers(opened, children, protocol):
    async with leak_check(within=5), opened(config={"azure": DOTNET}, protocol=protocol, timeout=60) as client:
        names = [tool["function"]["name"] for tool in await client.get_tools()]
        assert len(names) > 20
        told = await client.call_tool("get_azure_bestpractices", {"intent": "learn", "learn": True})
        assert "Best Practices" in told
        with pytest.raises((ToolError, MCPError)):
            await client.call_tool("no_such_tool")
    assert children() == []
