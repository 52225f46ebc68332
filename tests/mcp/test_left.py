"""Nothing is left behind by any of the ways in which servers fail."""

import anyio
import psutil
import pytest

from aimu.errors import MCPError
from aimu.testing import leak_check
from tests.mcp.conftest import wild
from tests.mcp.test_sse import sse_server
from tests.mcp.web import PLAIN, UNFINISHED, greeting, text, web_server

pytestmark = UNFINISHED


@pytest.mark.parametrize("behaviour", ["exits", "stuck", "incomplete", "changing", "refuses", "old", "asks", "raw"])
async def test_no_task_process_or_socket_of_a_process_is_left(opened, children, behaviour):
    before = psutil.Process().num_fds()
    async with leak_check():
        try:
            async with opened(
                config=wild(behaviour), timeout=5 if behaviour == "stuck" else 20, elicit=lambda _: {}
            ) as client:
                with anyio.move_on_after(0.2):
                    await client.call_tool("ask", {"text": "no answer"})
        except MCPError:
            assert behaviour in ("refuses", "old")
    assert children() == []
    assert psutil.Process().num_fds() <= before


@pytest.mark.parametrize("transport", ["http", "sse", None])
async def test_no_task_or_socket_of_a_server_over_http_is_left(opened, transport):
    def answer(message, request):
        return greeting(message, request) or (200, PLAIN, text(message, "fine"))

    async with leak_check():
        with sse_server(refuse={"bad": 500}) if transport != "http" else web_server(answer) as url:
            config = {"remote": {"url": url, **({"type": transport} if transport else {})}}
            async with opened(config=config) as client:
                await client.call_tool("next")
                if transport != "http":
                    with pytest.raises(MCPError):
                        await client.call_tool("bad")
