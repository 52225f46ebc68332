"""Ports of this machine: a free one, and a server's that accepts connections."""

import socket
import time

PATIENCE = 60  # s; a server takes seconds of CPU to start


def free_port():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def accepting(process, port):
    """Wait until a server accepts connections."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
