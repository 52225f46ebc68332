"""A pytest plugin that ends the run when a test, or the whole session, hangs: with the stacks of all threads and tasks.

It works where nothing else runs: a thread of its own prints and ends the process; where C code holds the interpreter,
faulthandler does so a little later, for the threads alone. Nothing is rescued: a hang is a fault of the test or of the
library, and what comes behind it in the same process could not be trusted. `AIMU_TEST_LIMIT` and `AIMU_SESSION_LIMIT`
set the limits in seconds, `AIMU_LIMIT_GRACE` how much later faulthandler does so.
"""

import asyncio
import faulthandler
import gc
import os
import sys
import threading
import traceback
from math import inf
from time import monotonic, sleep

import pytest

TEST_LIMIT = float(os.environ.get("AIMU_TEST_LIMIT", "300"))
SESSION_LIMIT = float(os.environ.get("AIMU_SESSION_LIMIT", "5400"))
GRACE = float(os.environ.get("AIMU_LIMIT_GRACE", "15"))


class Watchdog:
    """Watches one thing after another; none may take longer than its limit, nor last beyond the session's."""

    def __init__(self):
        self.file = os.fdopen(os.dup(2), "w", encoding="utf8", errors="backslashreplace")  # pytest captures 2 itself
        self.session_end = monotonic() + SESSION_LIMIT
        self.watch("the collection")
        threading.Thread(target=self.run, name="watchdog", daemon=True).start()

    def watch(self, name, limit=TEST_LIMIT):
        self.name = name
        self.end = min(monotonic() + limit, self.session_end)
        faulthandler.dump_traceback_later(max(0, self.end - monotonic()) + GRACE, exit=True, file=self.file)

    def run(self):
        while (left := self.end - monotonic()) > 0:
            sleep(min(left, 1))
        over = f"the session took longer than {SESSION_LIMIT:g} s" if self.end >= self.session_end else "it hangs"
        self.file.write(f"\n\n{self.name}: {over}; the run ends here, after the stacks of all threads and tasks\n")
        for piece in (*thread_stacks(), *task_stacks()):
            self.file.write(piece)
        self.file.flush()
        os._exit(1)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        self.watch(item.nodeid)
        return (yield)

    def pytest_unconfigure(self):
        self.session_end = inf
        self.watch("the end of the interpreter", 2 * GRACE)  # in which threads are joined


def pytest_configure(config):
    config.pluginmanager.register(Watchdog(), "watchdog")


def thread_stacks():
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            yield f"\nthread {names.get(ident, ident)}\n" + "".join(traceback.format_stack(frame))


def task_stacks():
    """The tasks of every event loop in the process; one that runs is where its thread is."""
    trio = sys.modules.get("trio")
    for thing in gc.get_objects():
        if isinstance(thing, asyncio.Task) and not thing.done():
            yield f"\nasyncio task {thing.get_name()}\n" + "".join(stack(thing.get_coro()))
        elif trio and isinstance(thing, trio.lowlevel.Task) and thing.coro.cr_frame is not None:
            yield f"\ntrio task {thing.name}\n" + "".join(stack(thing.coro))


def stack(awaited):
    """The frames of a suspended coroutine, and of what it waits for."""
    frames = []
    while awaited is not None:
        frame = attribute(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            frames.append((frame, frame.f_lineno))
            awaited = attribute(awaited, "cr_await", "gi_yieldfrom", "ag_await")
        else:  # the step of an async generator, or a wrapper written in C: what it waits for is among its referents
            inside = gc.get_referents(awaited)
            awaited = next((thing for thing in inside if attribute(thing, "cr_frame", "gi_frame", "ag_frame")), None)
    return traceback.StackSummary.extract(iter(frames)).format()


def attribute(thing, *names):
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)
