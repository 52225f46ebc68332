"""After any exception at any time, the sync surface works: exits in tools, signal handlers that raise, two Ctrl-C."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest
import trio

import aimu
from aimu import aio
from aimu._sync import bridge
from aimu._sync.helper_loop import _Visit
from aimu._sync.signals import SignalGuard
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from tests.holding import join, start
from tests.sync.test_bridge import FOREVER, call, enter, pull
from tests.sync.test_http import Silent, silent_server  # noqa: F401 - a fixture

KINDS = ["KeyboardInterrupt", "SystemExit", "OfATest", "Timeout"]


@pytest.mark.parametrize("provider", ["scripted", "http"])
@pytest.mark.parametrize("kind", KINDS)
def test_after_an_exception_of_a_signal_handler_at_any_instant_the_next_call_works(kind, provider):
    command = [sys.executable, "-m", "tests.sync.signal_storm", kind, provider, "40"]
    run = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr.decode()[-4000:]
    assert int(run.stdout) > 5


def test_a_signal_handler_may_raise_at_each_step_of_the_sync_code():
    command = [sys.executable, "-m", "tests.sync.signal_steps"]
    run = subprocess.run(command, capture_output=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr.decode()[-4000:]
    assert int(run.stdout) > 100


def test_a_dropped_stream_closes_although_signal_handlers_raise_in_its_finalizers():
    command = [sys.executable, "-m", "tests.sync.dropped_streams"]
    run = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr.decode()[-4000:]


def test_a_call_in_a_loop_ends_first_although_signal_handlers_raise_twice_after_a_tool(monkeypatch):
    class Burst(BaseException):
        pass

    install = SignalGuard.install
    left = []

    def interrupted(guard):
        if left:
            raise left.pop()
        install(guard)

    @tool
    def look() -> str:
        """Look."""
        left.extend([Burst(), Burst()])
        return "seen"

    client = aimu.client(ScriptedProvider(reply(calls=[("look", {})]), "better"), tools=[look], max_concurrency=1)
    ended = []
    end = _Visit._end
    monkeypatch.setattr(_Visit, "_end", lambda visit, task: (ended.append(True), end(visit, task)))
    monkeypatch.setattr(SignalGuard, "install", interrupted)

    def body(client):
        with pytest.raises(Burst):
            client.chat("?")
        assert ended
        assert client.chat("?") == "better"

    in_asyncio(body, client)


def test_a_helper_thread_goes_on_although_a_signal_handler_raises_at_any_step_of_asking_whether_it_has_ended():
    class Burst(BaseException):
        pass

    async def main():
        helper = bridge.here()
        for last in range(20):
            steps = iter(range(last))

            def on_step(frame, event, argument, steps=steps):
                if next(steps, None) is None:
                    raise Burst

            try:
                sys.setprofile(on_step)  # until it raises
                assert not helper.closed
                sys.setprofile(None)
            except Burst:
                pass
        assert not helper.closed
        assert bridge.here() is helper

    asyncio.run(main())


LOOPS = []  # of in_asyncio, in the test that runs


@pytest.fixture(autouse=True)
def closed_loops():
    """Close the loops after the test, when no Ctrl-C can come any more: one inside `close` would leave a loop open."""
    yield
    while LOOPS:
        LOOPS.pop().close()


def in_asyncio(consume, client):
    async def main():
        consume(client)

    LOOPS.append(asyncio.new_event_loop())
    LOOPS[-1].run_until_complete(main())


def in_trio(consume, client):
    async def main():
        consume(client)

    trio.run(main)


def in_a_thread(consume, client):
    raised = []

    def run():
        try:
            consume(client)
        except BaseException as exc:
            raised.append(exc)

    join(start(run))
    if raised:
        raise raised.pop()


places = pytest.mark.parametrize(
    "place",
    [lambda consume, client: consume(client), in_a_thread, in_asyncio, in_trio],
    ids=["plain", "thread", "asyncio", "trio"],
)
ways = pytest.mark.parametrize("consume", [call, pull, enter])


@pytest.mark.parametrize("end", [SystemExit, GeneratorExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync tool", "async tool"])
@ways
@places
def test_after_a_tool_that_ends_in_any_way_calls_work(place, consume, asynchronous, end):
    def leave() -> str:
        """Leave."""
        raise end

    async def leave_async() -> str:
        """Leave."""
        await anyio.lowlevel.checkpoint()
        raise end

    name = leave_async if asynchronous else leave
    client = aimu.client(ScriptedProvider(reply(calls=[(name.__name__, {})]), "better", "best"), tools=[name])
    if asynchronous and end is asyncio.CancelledError and consume is enter:
        place(consume, client)  # the pump takes it for its own end
    else:
        with pytest.raises(end):
            place(consume, client)
    assert client.chat("?") == "better"
    place(call, client)
    assert client.messages[-1]["content"] == "best"


def press_twice(pause):
    def press():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(pause)

    return start(press)


@pytest.fixture
def lost_in_finalizers(monkeypatch):
    """Does not report a Ctrl-C that comes while `__del__` runs: Python can only print and forget it."""
    report = sys.unraisablehook
    quiet = lambda lost: None if lost.exc_type is KeyboardInterrupt else report(lost)  # noqa: E731
    monkeypatch.setattr(sys, "unraisablehook", quiet)


@pytest.mark.usefixtures("lost_in_finalizers")
@pytest.mark.parametrize("pause", [0, 0.001, 0.02])
@pytest.mark.parametrize("place", [lambda consume, client: consume(client), in_asyncio], ids=["plain", "asyncio"])
@ways
def test_after_two_ctrl_c_calls_work_at_once(place, consume, pause):
    pressing = []

    def stubborn(request):
        pressing.extend(press_twice(pause))
        return reply("late", delay=FOREVER)

    client = aimu.client(ScriptedProvider(stubborn, "better"), max_concurrency=1)
    try:
        with pytest.raises(KeyboardInterrupt):
            place(consume, client)
        join(pressing)  # perhaps the second one comes after the end of the call
    except KeyboardInterrupt:
        join(pressing)
    assert client.fork().chat("?") == "better"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait_for_the_clean_up():
    async def work():
        try:
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep(FOREVER)
        finally:
            with anyio.CancelScope(shield=True):
                signal.raise_signal(signal.SIGINT)
                await anyio.sleep(FOREVER)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bridge.run(work())
    assert time.monotonic() - begun < 5
    assert bridge.run(anyio.lowlevel.checkpoint()) is None


def test_a_stream_whose_loop_was_given_up_says_so_and_can_be_closed():
    client = aimu.client(ScriptedProvider("one two three", "four five", "better"))
    kept = client.chat("?", stream=True)
    next(kept)
    entered = client.fork().chat("?", stream=True).__enter__()

    async def hurry():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep(FOREVER)

    with pytest.raises(KeyboardInterrupt):
        bridge.run(hurry())
    with pytest.raises(aimu.errors.StreamClosedError, match="signal handler"):
        next(kept)
    kept.close()
    entered.__exit__(None, None, None)
    assert client.chat("?") == "better"


def test_a_loop_is_closed_although_the_clean_up_of_a_stream_on_it_ends_in_any_exception():
    class Leaving(BaseException):
        pass

    class Provider(ScriptedProvider):
        async def stream(self, request):
            try:
                async with aclosing(super().stream(request)) as deltas:
                    async for delta in deltas:
                        yield delta
            finally:
                raise Leaving

    def pause(client):
        stream = client.chat("?", stream=True)
        next(stream)
        with pytest.raises(Leaving):
            stream._loop.close()
        assert stream._loop.closed
        assert stream._loop._loop.is_closed()

    in_a_thread(pause, aimu.client(Provider("one two three")))


def test_what_a_signal_handler_raises_cancels_the_call_and_waits_for_its_clean_up():
    class Overdue(Exception):
        pass

    def overdue(number, frame):
        raise Overdue

    cleaned = []

    async def work():
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await anyio.sleep(FOREVER)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.001)
            cleaned.append(True)

    previous = signal.signal(signal.SIGALRM, overdue)
    try:
        for place in (call_plain, call_in_asyncio):
            with pytest.raises(Overdue):
                place(work)
            assert signal.getsignal(signal.SIGALRM) is overdue
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert cleaned == [True] * 2


def call_plain(work):
    bridge.run(work())


def call_in_asyncio(work):
    async def main():
        bridge.run(work())

    asyncio.run(main())


@pytest.mark.parametrize("way", ["data", "raises", "exit", "ctrl-c"])
@pytest.mark.parametrize("place", [lambda consume, client: consume(client), in_asyncio], ids=["plain", "asyncio"])
def test_a_failure_keeps_no_dropped_stream_alive(place, way, caplog):
    """Without a garbage collection: the slot is free and the conversation can go on."""
    caplog.set_level("CRITICAL", "aimu.tools")  # the records that pytest keeps have tracebacks

    class Failure(Exception):
        pass

    @tool(raises=(Failure,) if way == "raises" else ())
    def fail() -> str:
        """Fail."""
        raise {"data": Failure, "raises": Failure, "exit": SystemExit, "ctrl-c": KeyboardInterrupt}[way]

    client = aimu.client(
        ScriptedProvider(reply(calls=[("fail", {})]), "rest", "better", "best"), tools=[fail], max_concurrency=1
    )
    dropped = []

    def drop(client):
        stream = client.chat("?", stream=True)
        dropped.append(weakref.ref(stream.__aio__))
        for chunk in stream:
            if chunk.is_text():
                break

    def body(client):
        try:
            drop(client)
        except (Failure, SystemExit, KeyboardInterrupt):
            pass
        assert dropped[0]() is None
        client.chat("?")
        client.fork().chat("?")

    gc.collect()
    gc.disable()
    try:
        place(body, client)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "place", [lambda consume, client: consume(client), in_asyncio, in_trio], ids=["plain", "asyncio", "trio"]
)
def test_a_sync_tool_that_ends_after_its_timeout_keeps_its_result(place):
    @tool(timeout=0.05)
    def slow() -> str:
        """Take longer."""
        time.sleep(0.15)
        return "finished"

    client = aimu.client(ScriptedProvider(reply(calls=[("slow", {})]), "ok"), tools=[slow])
    place(call, client)
    assert client.messages[-2]["content"] == "finished"


async def test_a_stream_dropped_in_a_cancelled_worker_thread_closes_in_silence(capfd):
    client = aimu.client(ScriptedProvider("one two three", "better"), max_concurrency=1)
    begun, go_on = anyio.Event(), threading.Event()

    def work():
        stream = client.chat("?", stream=True)
        next(stream)
        anyio.from_thread.run_sync(begun.set)
        go_on.wait(10)

    async with anyio.create_task_group() as group:

        async def run():
            await anyio.to_thread.run_sync(work)

        group.start_soon(run)
        await begun.wait()
        group.cancel_scope.cancel()
        go_on.set()
    gc.collect()
    assert capfd.readouterr().err == ""
    assert await aio.client(client).chat("?") == "better"
