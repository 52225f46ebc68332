"""What `serve_mcp` serves, to clients in memory, over stdio and over HTTP."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import anyio
import httpx2
import pytest

from aimu import aio
from aimu.errors import ToolError
from aimu.testing import leak_check
from aimu.tools import serve_mcp
from tests.mcp import served_program
from tests.mcp.web import UNFINISHED
from tests.ports import accepting, free_port

pytestmark = UNFINISHED
PROGRAM = [sys.executable, str(Path(served_program.__file__))]


@contextmanager
def served(transport, backend="asyncio"):
    """Yield the options of a client of the program."""
    if transport == "memory":
        tools = [served_program.add, served_program.wait]
        yield {"server": serve_mcp(tools, name="served", resources={"notes://today": "It rained."})}
    elif transport == "stdio":
        env = {"PYTHONPATH": os.pathsep.join(sys.path)}
        yield {"config": {"served": {"command": PROGRAM[0], "args": [PROGRAM[1], backend], "env": env}}}
    else:
        port = free_port()
        with subprocess.Popen([*PROGRAM, backend, str(port)]) as process:
            try:
                accepting(process, port)
                yield {"config": {"served": {"url": f"http://127.0.0.1:{port}/mcp"}}}
            finally:
                process.kill()


@pytest.fixture(scope="module")
def over_http():
    with served("http") as options:
        yield options


@pytest.fixture(params=["memory", "http", "stdio"])
def program(request, protocol):
    """Options of a client; over stdio, the server runs on asyncio or on trio."""
    if request.param == "http":
        yield request.getfixturevalue("over_http")
        return
    with served(request.param, "trio" if protocol == "legacy" else "asyncio") as options:
        yield options


def until_there(path):
    """Wait for a mark of the served program."""
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("protocol", ["legacy", "auto"])
async def test_a_tool_reports_logs_returns_structured_content_and_is_cancelled(program, protocol, caplog, tmp_path):
    caplog.set_level("INFO", "aimu.aio.mcp")
    updates = []
    async with leak_check(within=5), aio.MCPClient(**program, protocol=protocol) as client:
        result = await client.call_tool(
            "add", {"numbers": [1, 2, 4]}, on_progress=lambda *update: updates.append(update)
        )
        assert result == '{"total": 7, "of": [1, 2, 4]}'
        assert updates == [(1, 3, "adds 1"), (2, 3, "adds 2"), (3, 3, "adds 4")]
        assert await client.read("notes://today") == "It rained."
        with pytest.raises(ToolError, match="numbers.0: .*integer"):
            await client.call_tool("add", {"numbers": ["x"]})
        with anyio.CancelScope() as scope:
            await client.call_tool("wait", {"marks": str(tmp_path)}, on_progress=lambda *_: scope.cancel())
        assert scope.cancelled_caught
        await anyio.to_thread.run_sync(until_there, tmp_path / "ended")
    assert "MCP server 'served': added 3 numbers" in caplog.text


def test_a_served_program_refuses_a_page_of_another_host(over_http):
    url = over_http["config"]["served"]["url"]
    assert httpx2.post(url, headers={"Host": "evil.example"}).status_code == 421
    assert httpx2.post(url, headers={"Origin": "http://evil.example"}).status_code == 403


CLIENT = """
import asyncio, json, sys
from aimu import aio

async def main():
    async with aio.MCPClient(**json.loads(sys.argv[1])) as client:
        await client.call_tool("wait", {"marks": sys.argv[2]})

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("transport", "backend", "protocol"),
    [("stdio", "asyncio", "auto"), ("stdio", "trio", "legacy"), ("http", "", "auto"), ("http", "", "legacy")],
)
def test_a_call_ends_when_its_client_is_killed(transport, backend, protocol, tmp_path, request):
    with (
        nullcontext(request.getfixturevalue("over_http"))
        if transport == "http"
        else served(transport, backend) as given
    ):
        words = json.dumps({**given, "protocol": protocol}), str(tmp_path)
        with subprocess.Popen([sys.executable, "-c", CLIENT, *words]) as client:
            until_there(tmp_path / "began")
            client.kill()
        until_there(tmp_path / "ended")
