"""Fixtures for the tests of MCP: configs of servers, the two ways to open a client, and a server over HTTP."""

import gc
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import mcp  # noqa: F401 - the import takes one or two seconds, so do it before the clock of a test starts
import psutil
import pytest

from aimu import aio
from tests.ports import accepting, free_port

HERE = Path(__file__).parent
TINY = {"command": sys.executable, "args": ["-S", "-E", str(HERE / "tiny_server.py")]}
FRIEND = {"command": sys.executable, "args": [str(HERE / "fastmcp_server.py")]}


def tiny(*words, **more):
    """Return a config with the tiny server only."""
    return {"mcpServers": {"tiny": {**TINY, "args": [*TINY["args"], *words], **more}}}


def wild(behaviour, log=None):
    """Return a config with the server that misbehaves as it is told."""
    words = [behaviour] if log is None else [behaviour, str(log)]
    return {"mcpServers": {"wild": {**TINY, "args": ["-S", "-E", str(HERE / "wild_server.py"), *words]}}}


@pytest.fixture(params=["connect", "block"])
def opened(request):
    """Opens a client in both ways."""

    @asynccontextmanager
    async def opened(**options):
        if request.param == "block":
            async with aio.MCPClient(**options) as client:
                yield client
            return
        client = await aio.MCPClient.connect(**options)
        try:
            yield client
        finally:
            await client.aclose()

    opened.form = request.param
    return opened


@pytest.fixture
def collected():
    """Collects what a test leaves unfinished before the next one begins."""
    yield
    gc.collect()


@pytest.fixture
def children():
    """Lists the child processes that were started since the test began."""
    before = set(psutil.Process().children())
    return lambda: [child for child in psutil.Process().children() if child not in before]


@pytest.fixture(scope="module")
def friend_url():
    """A FastMCP server over HTTP in its own process."""
    port = free_port()
    with subprocess.Popen([FRIEND["command"], *FRIEND["args"], str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            accepting(process, port)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()
