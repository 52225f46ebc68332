"""Servers over streamable HTTP."""

import json
import threading

import anyio
import pytest

from aimu import aio
from aimu.errors import MCPConnectionError, MCPTimeoutError, ToolError
from tests.mcp.web import UNFINISHED, Sessions, web_server

pytestmark = UNFINISHED


async def test_a_fastmcp_server_over_http(opened, friend_url):
    updates = []
    headers = {"X-Team": "blue"}
    async with opened(config={"friend": {"url": friend_url, "headers": headers}}, timeout=30) as client:
        assert (await client.ping())[0]["function"]["name"] == "add"
        assert await client.call_tool("header", {"name": "x-team"}) == "blue"
        await client.call_tool("count", {"to": 2}, on_progress=lambda *update: updates.append(update))
        assert updates == [(1, 2, "step 1"), (2, 2, "step 2")]
        with pytest.raises(ToolError, match="bad luck"):
            await client.call_tool("fail", {"reason": "bad luck"})
        results = []

        async def add(a):
            results.append(await client.call_tool("add", {"a": a, "b": 0}))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(add, number)
        assert sorted(map(int, results)) == list(range(20))
        with pytest.raises(MCPTimeoutError):
            await client.call_tool("wait", timeout=0.2)


async def test_cancelling_a_call_over_http_cancels_it_on_the_server(opened, friend_url):
    async with opened(config={"friend": {"url": friend_url}}) as client:
        before = len(json.loads(await client.call_tool("cancellations")))
        with anyio.CancelScope() as scope:
            await client.call_tool("wait", on_progress=lambda *_: scope.cancel())
        with anyio.fail_after(10):
            while len(json.loads(await client.call_tool("cancellations"))) == before:
                await anyio.sleep(0.01)


async def test_the_error_of_a_refused_connection_names_the_server_and_no_secret(opened):
    with web_server(lambda *_: (200, {}, None)) as url:
        pass
    with pytest.raises(MCPConnectionError, match=r"'remote': .*\(http://127.0.0.1:\d+/mcp\)$") as caught:
        async with opened(config={"remote": {"url": url}}):
            raise AssertionError("there is no server")
    assert "secret" not in str(caught.value)


async def test_the_error_of_a_refused_login_names_the_http_status(opened):
    with web_server(lambda *_: (401, {}, None)) as url:
        with pytest.raises(MCPConnectionError, match="'remote': it answered HTTP 401 Unauthorized"):
            async with opened(config={"remote": {"url": url}}):
                raise AssertionError("it refused")


async def test_connecting_to_a_silent_server_ends_at_the_timeout(opened):
    stop = threading.Event()

    def never(*_):
        stop.wait(30)
        return 500, {}, None

    with web_server(never) as url:
        try:
            with pytest.raises(MCPTimeoutError, match="did not answer the handshake within 0.2 s"):
                async with opened(config={"remote": {"url": url}}, timeout=0.2):
                    raise AssertionError("it never answers")
        finally:
            stop.set()


async def test_with_reconnect_a_client_reconnects_if_the_server_forgot_the_session(opened):
    sessions = Sessions()
    with web_server(sessions) as url:
        async with opened(config={"remote": {"url": url}}, reconnect=True) as client:
            assert await client.call_tool("next") == "1"
            sessions.restart()
            with pytest.raises(MCPConnectionError, match="HTTP 404"):
                await client.call_tool("next")
            assert await client.call_tool("next") == "2"


async def test_a_call_whose_answer_is_cut_off_is_not_repeated(opened):
    sessions = Sessions()
    with web_server(sessions) as url:
        async with opened(config={"remote": {"url": url}}, reconnect=True) as client:
            sessions.drop = True
            with pytest.raises(MCPConnectionError, match="without a response"):
                await client.call_tool("next")
            sessions.drop = False
            assert await client.call_tool("next") == "2"


async def test_each_call_to_a_stopped_http_server_fails_at_once():
    with web_server(Sessions()) as url:
        client = await aio.MCPClient.connect(config={"remote": {"url": url}})
        await client.call_tool("next")
    for _ in range(2):
        with pytest.raises(MCPConnectionError, match="'remote'"), anyio.fail_after(10):
            await client.call_tool("next")
    await client.aclose()
