"""Waits of tests for other threads and tasks: each has a bound, can be cancelled, and is let go when its test fails."""

import threading
import time
from contextlib import contextmanager
from functools import partial

import anyio

PATIENCE = 30.0  # s; for what takes milliseconds on an idle machine


class Hold:
    """A place where a thread that calls it waits until it is `released`; at the end of its block it is.

    Its block belongs inside the task group whose tasks wait for the thread: those are waited for at the group's end.
    """

    def __init__(self):
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.released.wait(PATIENCE), "nobody released this thread"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.released.set()


async def until(ready):
    """Wait until `ready()`."""
    with anyio.fail_after(PATIENCE):
        while not ready():
            await anyio.sleep(0.001)


def wait_in_thread(ready):
    """As `until`, in a thread without an event loop."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.001)


def start(*targets):
    """Threads that run `targets`, begun."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive(), f"{thread.name} never ended"


@contextmanager
def in_a_thread(server):
    """Let a server of `socketserver` serve in a thread as long as the block lasts."""
    threads = start(partial(server.serve_forever, 0.01))
    try:
        yield
    finally:
        server.shutdown()
        join(threads)
        server.server_close()
