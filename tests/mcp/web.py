"""Servers over HTTP that are written by hand, to answer exactly what a test wants."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.holding import in_a_thread

# The SDK closes a response but leaves the generators of its event stream unfinished; trio reports each.
UNFINISHED = [
    pytest.mark.filterwarnings("ignore:Exception ignored .*<async_generator:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]
PLAIN = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}
INVALID = [  # answers to the request with the id ID
    '{"jsonrpc": "2.0", "id": ID, "result": [1]}',
    '{"id": ID, "result": {"content": []}}',
    '{"jsonrpc": "2.0", "id": ID, "error": "no"}',
    '{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text"}]}}',
    '{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "a\tb"}]}}',
    '{"result": {"x": ' + "[" * 9999 + "]" * 9999 + '}, "id": ID, "jsonrpc": "2.0"}',
]
ODD = {  # answers that are not what the protocol asks for, and what is read
    '{"jsonrpc": "2.0", "id": ID.0, "result": {"content": [{"type": "text", "text": "x"}]}}': "x",
    '{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "x\\ud83d"}]}}': "x\ufffd",
    '[{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "x"}]}}]': "x",
    '[{"jsonrpc": "2.0", "method": "notifications/x"}, {"jsonrpc": "2.0", "id": ID, "result": {"content": []}}]': "",
}


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that hung up


@contextmanager
def web_server(answer, port=0, tls=None):
    """Run a server that answers with `answer(message, request) -> (status, headers, body)`; yield its URL.

    `None` hangs up without an answer. `tls` are its settings for TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answered = answer(message, self)
            if answered is None:  # hang up
                self.close_connection = True
                return
            status, headers, body = answered
            self.send_response(status)
            content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):
            self.send_error(405)

        def do_DELETE(self):
            self.send_error(405)

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with in_a_thread(server):
        yield f"http{'s' if tls else ''}://user:secret@127.0.0.1:{server.server_port}/mcp?key=secret"


class Sessions:
    """A server that forgets its sessions at `restart`; with `drop` it cuts an answer off."""

    def __init__(self):
        self.count, self.calls, self.drop = 0, 0, False

    def restart(self):
        self.count += 1

    def __call__(self, message, request):
        if "id" not in message:
            return 202, {}, None
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        plain = {"Content-Type": "application/json"}
        if message["method"] == "initialize":
            version = message["params"]["protocolVersion"]
            result = {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "s", "version": "1"},
            }
            return 200, {**plain, "Mcp-Session-Id": str(self.count)}, {**reply, "result": result}
        if message["method"] == "tools/list":
            return 200, plain, {**reply, "result": {"tools": []}}
        if message["method"] != "tools/call":
            return 200, plain, {**reply, "error": {"code": -32601, "message": "no such method"}}
        if request.headers["Mcp-Session-Id"] != str(self.count):
            return 404, {}, None
        self.calls += 1
        if self.drop:
            return 200, {"Content-Type": "text/event-stream"}, None
        return 200, plain, {**reply, "result": {"content": [{"type": "text", "text": str(self.calls)}]}}


def greeting(message, request, **headers):
    """Answer the requests of a handshake as a plain server does; None for other requests."""
    reply = {"jsonrpc": "2.0", "id": message.get("id")}
    if "id" not in message:
        return 202, {}, None
    if message["method"] == "initialize":
        server = {"name": "s", "version": "1"}
        version = message["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
        return 200, {**PLAIN, **headers}, {**reply, "result": result}
    if message["method"] == "tools/list":
        return 200, PLAIN, {**reply, "result": {"tools": [{"name": "next", "inputSchema": {"type": "object"}}]}}
    if message["method"] != "tools/call":
        return 200, PLAIN, {**reply, "error": {"code": -32601, "message": "no such method"}}
    return None


def text(message, words):
    """Return the result of a call."""
    return {"jsonrpc": "2.0", "id": message["id"], "result": {"content": [{"type": "text", "text": words}]}}
