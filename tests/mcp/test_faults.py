"""Requests that fail: too large, refused with an HTTP status, cut off, to a lost session. Only they fail."""

import json
import threading
from itertools import repeat

import anyio
import pytest

from aimu import aio
from aimu.errors import MCPConnectionError, MCPError, MCPTooLargeError
from aimu.testing import reply, scripted_client
from aimu.tools import MCPClient
from tests.mcp.conftest import tiny, wild
from tests.mcp.web import EVENTS, INVALID, PLAIN, UNFINISHED, greeting, text, web_server
from tests.raw_server import serving

pytestmark = UNFINISHED
MIB = 1024 * 1024


def remote(url):
    return {"mcpServers": {"remote": {"url": url}}}


@pytest.mark.parametrize("form", ["json", "events", "crlf"])
async def test_a_large_result_comes_through_over_http(opened, form):
    words = "ž" * (3 * MIB)

    def answer(message, request):
        body = text(message, words)
        if form == "json":
            return greeting(message, request) or (200, PLAIN, body)
        end = b"\r\n" if form == "crlf" else b"\n"
        lines = [b"event: message", b"data: " + json.dumps(body, ensure_ascii=False).encode(), b"", b""]
        return greeting(message, request) or (200, EVENTS, end.join(lines))

    with web_server(answer) as url:
        async with opened(config=remote(url)) as client:
            assert await client.call_tool("next") == words


async def test_interim_answers_without_end_end_by_a_bound(opened):
    with serving(lambda request: repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)) as served:
        with pytest.raises(MCPConnectionError, match="more than 1 MiB in answer to a request"):
            async with opened(config=remote(served.url)):
                raise AssertionError("it cannot connect")


@pytest.mark.parametrize("form", ["json", "events", "id-first", "id-last"])
async def test_an_answer_above_the_limit_fails_its_call_only(opened, form):
    size = 300_000

    def answer(message, request):
        body = json.dumps(text(message, "x" * size)).encode()
        if form == "events":
            return greeting(message, request) or (200, EVENTS, b": hello\n\ndata: " + body + b"\n\n")
        return greeting(message, request) or (200, PLAIN, body)

    async def use(client):
        nonlocal size
        for limit in (300_000, 200_000, 300_000):
            size = limit
            arguments = {"text": str(size)}
            if size < 250_000:
                assert len(await client.call_tool("echo", arguments)) == size
                continue
            with pytest.raises(MCPTooLargeError, match=r"more than 250000 bytes .*larger max_message_bytes="):
                await client.call_tool("echo", arguments)

    if form.startswith("id"):
        async with opened(config=wild(form), max_message_bytes=250_000) as client:
            await use(client)
    else:
        with web_server(answer) as url:
            async with opened(config=remote(url), max_message_bytes=250_000) as client:
                await use(client)


async def test_the_model_is_told_that_a_result_is_too_large():
    async with aio.MCPClient(config=wild("id-last"), max_message_bytes=1000) as mcp:
        async with scripted_client(reply(calls=[("echo", {"text": "2000"})]), "done", tools=[mcp]) as client:
            assert await client.chat("go") == "done"
            [result] = [message["content"] for message in client.messages if message["role"] == "tool"]
    assert "MCPTooLargeError: MCP server 'wild': its answer has more than 1000 bytes" in result


@pytest.mark.parametrize("line", INVALID)
async def test_an_answer_that_is_not_valid_ends_its_call_with_the_reason(opened, line):
    async with opened(config=wild("raw")) as client:
        with pytest.raises(MCPError, match="'wild' violated the protocol"), anyio.fail_after(5):
            await client.call_tool("echo", {"text": line})
        with pytest.raises(MCPError, match="violated"), anyio.fail_after(5):  # the next call has its own answer
            await client.call_tool("echo", {"text": line})


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (
            401,
            {"WWW-Authenticate": 'Bearer realm="x"'},
            b"",
            "HTTP 401 Unauthorized; .*OAuth.*; WWW-Authenticate: B",
        ),
        (403, {}, {"error": "no scope"}, r'HTTP 403 Forbidden: {"error": "no scope"} \('),
        (429, {"Retry-After": "7"}, b"slow down", r"HTTP 429 Too Many Requests: slow down; Retry-After: 7 \("),
        (503, {}, b"<h1>x\n</h1>" + b"y" * 1000, r"HTTP 503 Service Unavailable: <h1>x </h1>y{289}\.\.\. \("),
        (
            500,
            {},
            {"jsonrpc": "2.0", "id": None, "error": {"code": -1, "message": "db"}},
            r"HTTP 500 Internal Server Error: db \(",
        ),
    ],
)
@pytest.mark.parametrize("when", ["connect", "call"])
async def test_an_http_error_keeps_its_status_body_and_headers(opened, when, status, headers, body, reason):
    calls = []

    def answer(message, request):
        if when == "call" and (greeted := greeting(message, request)):
            return greeted
        calls.append(message)
        if when == "call" and len(calls) > 1:
            return 200, PLAIN, text(message, "fine")
        return status, headers, body

    with web_server(answer) as url:
        with pytest.raises(
            MCPConnectionError, match=rf"'remote': it answered {reason if status > 1 else ''}"
        ) as caught:
            async with opened(config=remote(url)) as client:
                try:
                    await client.call_tool("next")
                finally:
                    assert await client.call_tool("next") == "fine"
    assert caught.value.status == status
    assert caught.value.www_authenticate == headers.get("WWW-Authenticate", "")
    assert caught.value.retry_after == headers.get("Retry-After", "")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(400, -32602, "bad city"), (404, -32601, "no method"), (200, -32602, "browser session not found")],
)
async def test_a_protocol_error_with_an_http_status_is_a_protocol_error(opened, status, code, words):
    def answer(message, request):
        error = {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": code, "message": words}}
        return greeting(message, request, **{"Mcp-Session-Id": "1"}) or (status, PLAIN, error)

    with web_server(answer) as url:
        async with opened(config=remote(url), reconnect=True) as client:
            with pytest.raises(MCPError, match=rf"'remote': {words} \(code {code}\)") as caught:
                await client.call_tool("next")
            assert not isinstance(caught.value, MCPConnectionError)


async def test_a_dropped_request_fails_its_call_with_the_reason_and_no_other(opened):
    entered, go = threading.Event(), threading.Event()

    def answer(message, request):
        if greeted := greeting(message, request):
            return greeted
        name = message["params"]["arguments"].get("name")
        if name == "slow":
            entered.set()
            go.wait(10)
        return None if name == "drop" else (200, PLAIN, text(message, "fine"))

    with web_server(answer) as url:
        async with opened(config=remote(url), reconnect=True) as client:
            results = []

            async def slow():
                results.append(await client.call_tool("next", {"name": "slow"}))

            async with anyio.create_task_group() as group:
                group.start_soon(slow)
                await anyio.to_thread.run_sync(entered.wait, 10)
                with pytest.raises(MCPConnectionError, match="'remote': the request failed: .*disconnected"):
                    await client.call_tool("next", {"name": "drop"})
                assert await client.call_tool("next", {}) == "fine"
                go.set()
            assert results == ["fine"]


@pytest.mark.parametrize("cut", [b"", b'data: {"jsonrpc": "2.0",'])
async def test_an_event_stream_that_is_cut_off_tells_the_reason(opened, cut):
    def answer(message, request):
        return greeting(message, request) or (200, {**EVENTS, "Content-Length": "999"}, cut)

    with web_server(answer) as url:
        async with opened(config=remote(url)) as client:
            with pytest.raises(MCPConnectionError, match=r"the request failed: .*\("):
                await client.call_tool("next")


async def test_more_slow_calls_than_connections_wait_for_each_other(opened):
    barrier = threading.Semaphore(0)
    waiting = []

    def answer(message, request):
        if greeted := greeting(message, request):
            return greeted
        waiting.append(1)
        if len(waiting) == 100:
            barrier.release(130)
        barrier.acquire(timeout=20)
        return 200, PLAIN, text(message, "fine")

    with web_server(answer) as url:
        async with opened(config=remote(url)) as client:
            results = []

            async def call():
                results.append(await client.call_tool("next", {}))

            async with anyio.create_task_group() as group:
                for _ in range(130):
                    group.start_soon(call)
            assert results == ["fine"] * 130


LOST = {
    "empty 404": (404, {}, None),
    "JSON-RPC in a 404": (404, PLAIN, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Gone"}}),
    "400": (400, PLAIN, {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "No valid session ID"}}),
    "plain 400": (400, {"Content-Type": "text/plain"}, b"Invalid session ID\n"),
    "JSON-RPC in a 200": (200, PLAIN, {"error": {"code": -32001, "message": "Session not found"}}),
    "not initialized": (200, PLAIN, {"error": {"code": -32000, "message": "Bad Request: Server not initialized"}}),
}


@pytest.mark.parametrize("form", LOST)
@pytest.mark.parametrize("reconnect", [True, False])
async def test_a_lost_session_is_known_in_every_form(opened, caplog, form, reconnect):
    session = ["1"]

    def answer(message, request):
        if greeted := greeting(message, request, **{"Mcp-Session-Id": session[0]}):
            return greeted
        if request.headers["Mcp-Session-Id"] != session[0]:
            status, headers, body = LOST[form]
            if status == 200:
                body = {"jsonrpc": "2.0", "id": message["id"], **body}
            return status, headers, body
        return 200, PLAIN, text(message, session[0])

    with web_server(answer) as url:
        async with opened(config=remote(url), reconnect=reconnect) as client:
            assert await client.call_tool("next") == "1"
            session[0] = "2"
            hint = "the next call connects again" if reconnect else "with reconnect=True, the next call connects again"
            with pytest.raises(MCPConnectionError, match=f"'remote': it lost the session: .*; {hint}"):
                await client.call_tool("next")
            if reconnect:
                assert await client.call_tool("next") == "2"
                assert "'remote': connecting again, because" in caplog.text
            else:
                with pytest.raises(MCPConnectionError, match="it lost the session"):
                    await client.call_tool("next")


async def test_a_call_in_flight_survives_that_others_connect_again(opened):
    session, entered, go = ["1"], threading.Event(), threading.Event()

    def answer(message, request):
        if greeted := greeting(message, request, **{"Mcp-Session-Id": session[0]}):
            return greeted
        if message["params"]["arguments"].get("slow"):
            entered.set()
            go.wait(10)
        elif request.headers["Mcp-Session-Id"] != session[0]:
            return LOST["empty 404"]
        return 200, PLAIN, text(message, request.headers["Mcp-Session-Id"])

    with web_server(answer) as url:
        async with opened(config=remote(url), reconnect=True) as client:
            results = []

            async def slow():
                results.append(await client.call_tool("next", {"slow": True}))

            async with anyio.create_task_group() as group:
                group.start_soon(slow)
                await anyio.to_thread.run_sync(entered.wait, 10)
                session[0] = "2"
                with pytest.raises(MCPConnectionError, match="it lost the session"):
                    await client.call_tool("next", {})
                assert await client.call_tool("next", {}) == "2"
                go.set()
            assert results == ["1"]


async def test_with_reconnect_a_client_outlives_the_restart_of_a_server_over_http():
    def answer(message, request):
        return greeting(message, request) or (200, PLAIN, text(message, "fine"))

    with web_server(answer) as url:
        client = await aio.MCPClient.connect(config=remote(url), reconnect=True)
        assert await client.call_tool("next") == "fine"
    with pytest.raises(MCPConnectionError, match="'remote': it cannot be reached: .*; the next call connects"):
        await client.call_tool("next")
    with web_server(answer, port=int(url.split(":")[3].split("/")[0])):
        assert await client.call_tool("next") == "fine"
        await client.aclose()


def test_sync_calls_have_the_same_errors():
    with MCPClient(config=wild("id-first"), max_message_bytes=1000) as client:
        with pytest.raises(MCPTooLargeError):
            client.call_tool("echo", {"text": "2000"})
        assert client.call_tool("echo", {"text": "3"}) == "xxx"


async def test_a_large_result_of_a_process_is_bounded_by_default_at_64_mib():
    async with aio.MCPClient(config=tiny()) as client:
        with pytest.raises(MCPTooLargeError, match="67108864"):
            await client.call_tool("echo", {"text": "x" * (64 * MIB)})
