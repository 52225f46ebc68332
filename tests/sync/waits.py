"""Nothing waits for itself, also in sync code: a tool that closes, leaves or reads the stream of its own run."""

import asyncio
import threading
from contextlib import ExitStack, suppress
from functools import partial

import anyio
import pytest
import trio

import aimu
from aimu.agents import Agent, Parallel
from aimu.errors import StreamClosedError
from aimu.testing import ScriptedProvider, reply
from aimu.tools import tool
from tests.holding import join, start


def close(stream):
    stream.close()


def leave(stream):
    stream.__exit__(None, None, None)


def leave_the_exit_stack(stream):
    with ExitStack() as stack:
        stack.push(stream)


def enter(stream):
    with stream:
        pass


def read(stream):
    next(stream)


def read_the_text(stream):
    list(stream.text_stream)


def close_in_a_thread(stream):
    def closing():
        with suppress(StreamClosedError):
            close(stream)

    join(start(closing))


def in_no_loop(func):
    func()


def in_asyncio(func):
    async def main():
        func()

    asyncio.run(main())


def in_trio(func):
    async def main():
        func()

    trio.run(main)


def in_a_worker_thread(func):
    anyio.run(anyio.to_thread.run_sync, func)


@pytest.mark.parametrize("shape", ["alone", "overlapping", "parallel"])
@pytest.mark.parametrize("entered", [False, True], ids=["bare", "entered"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", [close, leave, leave_the_exit_stack, enter, read, read_the_text, close_in_a_thread])
@pytest.mark.parametrize("place", [in_no_loop, in_asyncio, in_trio, in_a_worker_thread])
def test_a_tool_that_uses_the_stream_of_its_own_run_goes_on_or_ends(place, way, kind, entered, shape):
    def use():
        threads.add(threading.get_ident())
        way(streams[0])
        return "used"

    async def use_async():
        return use()

    streams, threads = [], set()
    uses = tool(name="use", description="Use the stream.")(use if kind == "sync" else use_async)
    calls = [("use", {})] * (2 if shape == "overlapping" else 1)
    client = aimu.client(ScriptedProvider(reply(calls=calls), "Done.", repeat=True))
    agent = Agent(client, tools=[uses], concurrent_tool_calls=shape == "overlapping")
    runner = Parallel([agent, Agent(aimu.client(ScriptedProvider("Other.")))]) if shape == "parallel" else agent

    def run():
        stream = runner.run("Go.", stream=True)
        streams.append(stream)
        with suppress(StreamClosedError):
            if entered:
                with stream:
                    list(stream)
            else:
                list(stream)
        assert threads
        agent.history = []  # raises if the conversation is busy
        assert aimu.client(ScriptedProvider("Fine.")).chat("Next") == "Fine."

    place(run)


def test_a_stream_of_a_running_loop_is_read_on_the_thread_that_began_it():
    async def main():
        stream = aimu.client(ScriptedProvider("One two.")).chat("Go.", stream=True)
        next(stream)
        for use in (partial(next, stream), stream.close):
            with pytest.raises(StreamClosedError, match="on the thread that began it"):
                await asyncio.to_thread(use)
        stream.close()

    asyncio.run(main())
