"""Sync workflows over real sockets: Ctrl-C in the middle of several requests."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import aimu
from aimu.agents import Parallel
from tests.holding import in_a_thread


class Silent(BaseHTTPRequestHandler):
    """Never answers; interrupts the program once three requests wait."""

    waiting = threading.Semaphore(0)
    hung_up = threading.Semaphore(0)
    count = threading.Lock()
    requests = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.count:
            Silent.requests += 1
            if Silent.requests == 3:
                os.kill(os.getpid(), signal.SIGINT)
        assert self.rfile.read(1) == b""  # until the client closes the connection
        self.hung_up.release()
        self.close_connection = True


@pytest.fixture
def silent_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True  # does not wait for connections that stay open
        with in_a_thread(server):
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"


def test_ctrl_c_in_parallel_requests_closes_all_their_connections(silent_server):
    with aimu.client("openai:m", base_url=silent_server, api_key="k") as client:
        parallel = Parallel.from_client(client, ["one", "two", "three"])
        with pytest.raises(KeyboardInterrupt):
            parallel.run("x")
        for _ in range(3):
            assert Silent.hung_up.acquire(timeout=10)
    assert all(len(history) == 1 for history in parallel.messages.values())
