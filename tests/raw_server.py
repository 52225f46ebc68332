"""An HTTP server that answers with the bytes that a test gives it, right or wrong, over a real socket."""

import socketserver
from contextlib import contextmanager, suppress

from tests.holding import in_a_thread


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class Served:
    """What a running server has seen.

    Attributes:
        url: The base URL of the server.
        requests: Each request as bytes: head and body.
    """

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.requests = []


@contextmanager
def serving(answer):
    """Serve `answer(request)`: the pieces of one response, head included; the connection closes after it."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self):
            with suppress(OSError):
                request = self.read()
                if request:
                    served.requests.append(request)
                    for piece in answer(request):
                        self.request.sendall(piece)

        def read(self):
            got = b""
            while b"\r\n\r\n" not in got:
                if not (piece := self.request.recv(65536)):
                    return b""
                got += piece
            head, _, body = got.partition(b"\r\n\r\n")
            given = head.lower().partition(b"content-length:")[2]
            size = int(given.split()[0]) if given else 0
            while len(body) < size:
                body += self.request.recv(65536)
            return head + b"\r\n\r\n" + body

    with _Server(("127.0.0.1", 0), Answer) as server:
        served = Served(server.server_address[1])
        with in_a_thread(server):
            yield served


def response(body=b"", *headers, status="200 OK", kind="application/json"):
    """A whole response with its length, in one piece."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def head(*headers, status="200 OK", kind="application/json"):
    """The head of a response whose body lasts until the connection closes."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()
