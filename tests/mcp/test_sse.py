"""Servers over HTTP with SSE, the transport of 2024-11-05."""

import json
import queue
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import anyio
import pytest

from aimu.errors import MCPConnectionError, MCPError, MCPTooLargeError
from aimu.tools import MCPClient
from tests.holding import PATIENCE, in_a_thread
from tests.mcp.web import INVALID, ODD, UNFINISHED, Server, greeting, text

pytestmark = UNFINISHED


@contextmanager
def sse_server(*, endpoint="/messages?session=7", refuse=None):
    """A server that answers on its stream of events; a tool of the name in `refuse` gets that status.

    The tool `raw` answers with the JSON that it is given, in which ID stands for that of the request.
    """
    streams = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            messages = queue.SimpleQueue()
            streams.append(messages)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(f"event: endpoint\ndata: {endpoint}\n\n".encode())
            while (message := messages.get()) is not None:
                try:
                    data = message if isinstance(message, str) else json.dumps(message)
                    self.wfile.write(f"event: message\ndata: {data}\n\n".encode())
                except OSError:
                    return

        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = message.get("params", {}).get("name")
            if not self.path.startswith("/messages"):
                self.send_error(405)
                return
            self.send_response((refuse or {}).get(name, 202))
            self.send_header("Content-Length", "0")
            self.end_headers()
            if name == "end":
                streams[-1].put(None)
            elif name not in (refuse or {}):
                greeted = greeting(message, self)
                words = message.get("params", {}).get("arguments", {}).get("text", "fine")
                answer = text(message, words) if greeted is None else greeted[2]
                if name == "raw":
                    answer = words.replace("ID", json.dumps(message["id"]))
                if answer is not None:
                    streams[-1].put(answer)

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        try:
            yield f"http://127.0.0.1:{server.server_port}/sse"
        finally:
            for stream in streams:
                stream.put(None)


@pytest.mark.parametrize("server", [{"type": "sse"}, {}])
async def test_tools_are_called_over_sse(opened, server):
    with sse_server() as url:
        async with opened(config={"old": {"url": url, **server}}) as client:
            assert [tool["function"]["name"] for tool in await client.get_tools()] == ["next"]
            results = []

            async def call(words):
                results.append((words, await client.call_tool("next", {"text": words})))

            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(call, str(number))
            assert sorted(results) == [(str(number), str(number)) for number in range(10)]


async def test_a_refused_message_fails_its_call_only(opened):
    with sse_server(refuse={"bad": 503}) as url:
        async with opened(config={"old": {"type": "sse", "url": url}}) as client:
            with pytest.raises(MCPConnectionError, match="'old': it answered HTTP 503 Service Unavailable"):
                await client.call_tool("bad")
            assert await client.call_tool("next") == "fine"


@pytest.mark.parametrize("line", INVALID)
async def test_an_answer_that_is_not_valid_ends_its_call_with_the_reason(opened, line):
    with sse_server() as url:
        async with opened(config={"old": {"type": "sse", "url": url}}) as client:
            with pytest.raises(MCPError, match="'old' violated the protocol"), anyio.fail_after(5):
                await client.call_tool("raw", {"text": line})
            assert await client.call_tool("next") == "fine"


@pytest.mark.parametrize(("line", "words"), ODD.items())
async def test_an_answer_in_an_odd_form_is_read(opened, line, words):
    with sse_server() as url:
        async with opened(config={"old": {"type": "sse", "url": url}}) as client:
            with anyio.fail_after(5):
                assert await client.call_tool("raw", {"text": line}) == words


async def test_a_large_result_is_bounded_over_sse(opened):
    with sse_server() as url:
        async with opened(config={"old": {"type": "sse", "url": url}}, max_message_bytes=300_000) as client:
            assert len(await client.call_tool("next", {"text": "x" * 200_000})) == 200_000
            with pytest.raises(MCPTooLargeError), anyio.fail_after(5):
                await client.call_tool("next", {"text": "x" * 400_000})
            assert await client.call_tool("next") == "fine"


async def test_the_end_of_the_stream_is_a_lost_connection(opened):
    with sse_server() as url:
        async with opened(config={"old": {"type": "sse", "url": url}}, reconnect=True) as client:
            with pytest.raises(MCPConnectionError, match="'old': .*closed"), anyio.fail_after(5):
                await client.call_tool("end")
            assert await client.call_tool("next") == "fine"


async def test_a_server_that_is_none_is_refused_with_the_reason(opened):
    with sse_server(endpoint="http://evil.example/steal") as url:
        with pytest.raises(MCPConnectionError, match="an endpoint on another host: evil.example"):
            async with opened(config={"old": {"type": "sse", "url": url}}):
                raise AssertionError("it is refused")
    with pytest.raises(MCPConnectionError, match="'old': it cannot be reached"):
        async with opened(config={"old": {"type": "sse", "url": url}}):
            raise AssertionError("it is down")


async def test_cancelling_a_connect_to_a_silent_server_is_prompt(opened, monkeypatch):
    monkeypatch.setattr("aimu.aio._mcp.owner.GRACE", 90)  # which is not waited for
    stop = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self):
            stop.wait(60)

    server = Server(("127.0.0.1", 0), Silent)
    with in_a_thread(server):
        try:
            with anyio.fail_after(PATIENCE), anyio.move_on_after(0.3) as scope:
                async with opened(config={"old": {"type": "sse", "url": f"http://127.0.0.1:{server.server_port}/sse"}}):
                    raise AssertionError("it never answers")
            assert scope.cancelled_caught
        finally:
            stop.set()


def test_a_sync_client_speaks_sse():
    with sse_server() as url, MCPClient(config={"old": {"type": "sse", "url": url}}) as client:
        assert client.call_tool("next") == "fine"
