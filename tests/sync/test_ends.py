"""Ends of tasks, threads, loops and programs: what has ended is not taken for living, frees all and is silent."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from weakref import WeakSet

import anyio
import pytest
import sniffio
from anyio.lowlevel import checkpoint

import aimu
from aimu import aio
from aimu._sync import bridge
from aimu.testing._scripted import ScriptedProvider, reply
from tests.holding import join, start
from tests.loopback import loopback_server


@pytest.fixture(scope="module")
def server():
    with loopback_server() as url:
        yield url


def entered(client):
    with client.chat("again", stream=True) as stream:
        return list(stream)[-1].content


def plain(client):
    return client.chat("again")


def in_asyncio(consume):
    async def main(client):
        return consume(client)

    return lambda client: asyncio.run(main(client))


def at_once(consume):
    return consume


ways = pytest.mark.parametrize("consume", [plain, entered])
places = pytest.mark.parametrize("second", [at_once, in_asyncio])


@ways
@places
def test_ones_own_paused_stream_never_makes_the_conversation_busy(consume, second):
    """Each step of a sync stream is a task of its own, and the address of an ended task is soon used again."""
    client = aimu.client(ScriptedProvider("one two three", repeat=True), max_concurrency=1)
    for _ in range(100):
        conversation = client.fork()
        paused = conversation.chat("?", stream=True)
        next(paused)
        assert second(consume)(conversation) == "one two three"
        with pytest.raises(aimu.errors.StreamClosedError, match="newer turn"):
            next(paused)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("inside", [False, True], ids=["paused outside the loop", "paused inside it"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_stream_paused_by_sync_code_is_replaced_by_async_code_of_the_same_thread(streamed, inside, backend):
    """Its slot is free, although the loop in which it was read stands still."""
    client = aimu.client(ScriptedProvider("one two three", repeat=True), max_concurrency=1)
    streams = []

    def pause():
        streams.append(client.chat("?", stream=True))
        next(streams[0])

    async def replace():
        if inside:
            pause()
        with anyio.fail_after(10):
            if streamed:
                async with client.__aio__.chat("?", stream=True) as stream:
                    assert [chunk.content async for chunk in stream][-1] == "one two three"
            else:
                assert await client.__aio__.chat("?") == "one two three"

    if not inside:
        pause()
    anyio.run(replace, backend=backend)
    with pytest.raises(aimu.errors.StreamClosedError, match="newer turn"):
        next(streams[0])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_begun_outside_a_loop_can_be_read_and_closed_inside_it(backend):
    """The loop's own library is in force before and after each step; the tool of the run sees it, too."""
    seen = []

    def look() -> str:
        seen.append(sniffio.current_async_library())
        return aimu.client(ScriptedProvider("nested")).chat("?")

    def asking():
        return aimu.client(ScriptedProvider(reply("one two", calls=[("look", {})]), "three"), tools=[look])

    read, closed = asking().chat("?", stream=True), asking().chat("?", stream=True)
    next(read)
    next(closed)

    async def main():
        assert [chunk.content for chunk in read][-1] == "three"
        closed.close()
        await checkpoint()
        assert sniffio.current_async_library() == backend

    anyio.run(main, backend=backend)
    assert seen == [backend]


@ways
def test_a_stream_paused_inside_a_loop_is_replaced_outside_it(consume):
    client = aimu.client(ScriptedProvider("one two three", repeat=True), max_concurrency=1)

    async def pause():
        stream = client.chat("?", stream=True)
        next(stream)
        return stream

    paused = asyncio.run(pause())
    assert consume(client) == "one two three"
    with pytest.raises(aimu.errors.StreamClosedError, match="newer turn"):
        next(paused)


def test_a_stream_paused_by_a_thread_is_free_once_the_thread_has_ended_and_busy_before():
    client = aimu.client(ScriptedProvider("one two three", repeat=True))
    kept = []

    def pause():
        kept.append(client.chat("?", stream=True))
        next(kept[-1])
        join(start(lambda: refused.append(refusal(client))))

    refused = []
    for _ in range(20):  # the number of an ended thread is used again
        join(start(pause))
    assert refused == ["BusyConversationError"] * 20
    assert client.chat("?") == "one two three"


def refusal(client):
    try:
        return client.chat("?")
    except aimu.errors.BusyConversationError as exc:
        return type(exc).__name__


async def test_a_stream_paused_by_an_ended_task_is_free_at_once():
    client = aio.client(ScriptedProvider("one two three", repeat=True))
    kept = []

    async def pause():
        kept.append(client.chat("?", stream=True))
        await anext(kept[-1])

    for _ in range(50):
        async with anyio.create_task_group() as group:
            group.start_soon(pause)
        async with anyio.create_task_group() as group:  # tasks at the address of the ended one
            for _ in range(3):
                group.start_soon(anyio.sleep, 0.001)
            assert await client.chat("?") == "one two three"
    for stream in kept:
        await stream.aclose()


def loops():
    gc.collect()
    # By type, since `isinstance` would ask lazy objects of other libraries for their class.
    return sum(issubclass(type(thing), asyncio.BaseEventLoop) for thing in gc.get_objects())


@ways
@places
def test_the_loops_of_ended_threads_are_freed(server, consume, second):
    client = aimu.client("openai:5", base_url=f"{server}/ok/v1", api_key="k")
    before = loops()
    for _ in range(10):
        join(start(lambda: second(consume)(client.fork())))
    assert loops() <= before + 1  # the last thread may still be about to end


EXITS = {
    "plain": "go()",
    "in a loop": "async def main(): go()\nasyncio.run(main())",
    "in a thread": "thread = threading.Thread(target=go)\nthread.start()\nthread.join()",
}


@pytest.mark.parametrize("end", EXITS.values(), ids=EXITS)
def test_a_program_that_exits_over_paused_http_streams_prints_nothing(server, end):
    script = f"""
        import asyncio, logging, threading, aimu
        logging.getLogger("asyncio").setLevel("ERROR")  # its debug mode reports slow callbacks
        client = aimu.client("openai:300", base_url="{server}/1ms/v1", api_key="k")
        def go():
            global paused, entered, ran
            paused = client.chat("?", stream=True)
            entered = client.fork().chat("?", stream=True).__enter__()
            ran = aimu.agents.Agent(client.fork()).run("?", stream=True)
            next(paused), next(entered), next(ran)
    """
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script) + end]
    run = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stderr.decode()) == (0, "")


@pytest.mark.parametrize("end", [EXITS["plain"], EXITS["in a loop"]], ids=["plain", "in a loop"])
@pytest.mark.parametrize("streams", [1, 20])
def test_a_program_exits_although_streams_refuse_to_end(streams, end):
    script = f"""
        import anyio, asyncio, logging, aimu
        from aimu._sync import bridge
        from aimu.testing import ScriptedProvider
        logging.getLogger("asyncio").setLevel("ERROR")  # its debug mode reports slow callbacks
        bridge.CLOSING = 0.3
        class Stuck(ScriptedProvider):
            async def stream(self, request):
                try:
                    async for piece in super().stream(request):
                        yield piece
                finally:
                    while True:
                        try:
                            await anyio.sleep(1000)
                        except asyncio.CancelledError:
                            pass
        def go():
            global kept
            kept = [aimu.client(Stuck("a b c")).chat("?", stream=True) for _ in range({streams})]
            for stream in kept:
                next(stream)
    """
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script) + end]
    run = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stderr.decode()) == (0, "")


def test_a_loop_whose_clock_is_coarse_is_wound_up_in_bounded_time():
    class Stuck:
        async def _finish(self):
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)

    loop, stuck = asyncio.new_event_loop(), Stuck()
    loop._clock_resolution = 0.05  # as on Windows, where it is 0.016: a loop that wakes calls what is due so soon
    loop.call_later(0.17, lambda: None)
    begun = time.monotonic()
    bridge._wind_up(loop, WeakSet([stuck]), 0.1)
    assert 0.2 <= time.monotonic() - begun < 10
    loop.close()
