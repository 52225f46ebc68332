"""Streams whose readers are dropped while signal handlers raise in the finalizers: a program for test_any_exception.

    python -m tests.sync.dropped_streams

A handler raises at the entry of each finalizer, and Python swallows what it raises; in one place a further signal comes
where the remains of the stream are freed. Afterwards the same conversation must answer, although its provider has one
slot only. A call that hangs ends the process.
"""

import asyncio
import faulthandler
import gc
import signal
import sys
import warnings
from contextlib import contextmanager, suppress

import aimu
from aimu._sync.reader import StreamReader
from aimu.testing._scripted import ScriptedProvider, reply
from tests.sync.signal_storm import LIMIT, OfATest

FINALIZERS = {StreamReader.__del__.__code__, asyncio.BaseEventLoop._asyncgen_finalizer_hook.__code__}


class Interrupter:
    """Raises at the entry of each finalizer, as a burst of signals does; or sends a signal there, which may be held."""

    def __init__(self):
        self.raised = 0
        self.by_signal = False

    @contextmanager
    def interrupting(self):
        sys.unraisablehook = self.begin
        self.begin()
        yield
        sys.setprofile(None)
        sys.unraisablehook = sys.__unraisablehook__

    def begin(self, unraisable=None):
        sys.setprofile(self.on_step)  # Python ends the profile when it raises

    def on_step(self, frame, event, argument):
        if event == "call" and frame.f_code in FINALIZERS:
            self.raised += 1
            if self.by_signal:
                signal.raise_signal(signal.SIGALRM)
            else:
                raise OfATest


def pulled(client):
    stream = client.chat("?", stream=True)
    next(stream)
    return stream


def entered(client):
    stream = client.chat("?", stream=True)
    stream.__enter__()
    next(stream)
    return stream


def in_a_circle(client):
    stream = entered(client)
    stream.itself = stream
    return stream


def drop(client, way):
    drop_all([way(client)])


def drop_all(kept):
    with interrupter.interrupting():
        kept.clear()
        gc.collect()
    assert interrupter.raised


def plainly(client, way):
    drop(client, way)
    assert client.chat("?") == "better"


def in_a_loop(client, way):
    async def cell():
        drop(client, way)

    asyncio.run(cell())
    assert client.chat("?") == "better"


def all_in_a_loop(client, way):
    async def cell():
        drop(client, way)
        assert client.chat("?") == "better"

    asyncio.run(cell())


def in_a_tool(client, way):
    def tool() -> str:
        """Drop a stream."""
        drop(client, way)
        assert client.chat("?") == "better"
        return "done"

    call_a_tool(tool)


def before_a_tool(client, way):
    kept = [way(client)]

    def tool() -> str:
        """Drop a stream of the loop that waits for this tool."""
        drop_all(kept)
        interrupter.by_signal = True
        with interrupter.interrupting(), suppress(OfATest):
            aimu.client(ScriptedProvider("fine")).chat("?")
        interrupter.by_signal = False
        return "done"

    call_a_tool(tool)
    assert client.chat("?") == "better"


def call_a_tool(tool):
    calling = aimu.client(ScriptedProvider(reply(calls=[("tool", {})]), "called"), tools=[tool])
    assert calling.chat("?") == "called"


def strike(number, frame):
    raise OfATest


faulthandler.dump_traceback_later(LIMIT, exit=True)
warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine never ran, because its call was interrupted before
signal.signal(signal.SIGALRM, strike)
interrupter = Interrupter()
for place in plainly, in_a_loop, all_in_a_loop, in_a_tool, before_a_tool:
    for way in pulled, entered, in_a_circle:
        client = aimu.client(ScriptedProvider("one two three " * 50, "better", "best"), max_concurrency=1)
        interrupter.raised = 0
        place(client, way)
        assert client.fork().chat("!") == "best", (place, way)
