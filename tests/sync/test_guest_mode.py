"""trio as the guest of another loop: clients, streams and agents work in it, and the sync surface beside it."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, queue, sys, threading, warnings
import anyio, trio
import aimu
from aimu import agents, aio
from aimu.testing import ScriptedProvider, reply

warnings.simplefilter("error")
beside = aimu.client(ScriptedProvider("beside", repeat=True), max_concurrency=1)
over, seen, host_seen = [], [], []

def look() -> str:
    seen.append(threading.current_thread() is threading.main_thread())
    return aimu.client(ScriptedProvider("nested")).chat("?")

async def guest():
    async with aio.client(ScriptedProvider("One two three four.", repeat=True), max_concurrency=1) as client:
        assert await client.chat("?") == "One two three four."
        async with client.chat("?", stream=True) as stream:
            assert [chunk.content async for chunk in stream][-1] == "One two three four."
        async with client.chat("?", stream=True) as stream:
            await anext(stream)  # and the block is left
        bare = client.chat("?", stream=True)
        await anext(bare)
        await bare.aclose()
        model = aio.client(ScriptedProvider(reply(calls=[("look", {})]), "done"))
        assert await aio.Agent(model, tools=[look]).run("Go.") == "done"
        assert agents.Agent(aimu.client(ScriptedProvider("sync"))).run("Go.") == "sync"
        with anyio.CancelScope() as scope:
            async with client.chat("?", stream=True) as stream:
                await anext(stream)
                scope.cancel()
                async for _ in stream:
                    pass
        assert scope.cancelled_caught
        assert await client.chat("?") == "One two three four."

def call_beside():
    stream = beside.chat("?", stream=True)
    next(stream)
    host_seen.append(beside.chat("?"))  # closes the paused stream, whose slot it needs

if sys.argv[1] == "asyncio":
    async def host():
        post = asyncio.get_running_loop().call_soon_threadsafe
        trio.lowlevel.start_guest_run(guest, run_sync_soon_threadsafe=post, done_callback=over.append)
        while not over:
            call_beside()
            await asyncio.sleep(0.001)
    asyncio.run(host())
else:
    ticks = queue.Queue()
    trio.lowlevel.start_guest_run(guest, run_sync_soon_threadsafe=ticks.put, done_callback=over.append)
    while not over:
        ticks.get(timeout=20)()
        call_beside()
over[0].unwrap()
assert seen == [False] and set(host_seen) == {"beside"}, (seen, host_seen)
print("ok")
"""


@pytest.mark.parametrize("host", ["asyncio", "plain"])
def test_a_guest_has_chats_streams_and_agents_and_its_host_the_sync_surface(host):
    command = [sys.executable, "-c", PROGRAM, host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("ok\n", "")
