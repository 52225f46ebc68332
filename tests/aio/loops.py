"""Ends event loops over streams that are in every state, and counts the loops that stay in memory.

    python -m tests.aio.loops URL BACKEND CASE...

A case is HOW:STATE. It is written to both outputs before it begins, and after a failure the next one is tried; a case
that hangs ends the program with the stacks of all threads. Warnings are errors, except those of asyncio and trio about
what this program does.
"""

import asyncio
import faulthandler
import gc
import sys
import threading
import traceback
import warnings
import weakref
from contextlib import aclosing

import anyio

from aimu import aio
from aimu.errors import ProviderConnectionError, StreamClosedError
from aimu.testing import reply, scripted_client
from aimu.tools import tool

TIMES = 5
LIMIT = 60.0  # s, for one case
DELTAS = 500  # of an answer, which takes as many milliseconds: it is not over when its loop ends
SHORT = 60  # the same for an answer that is read to its end
held, ended = [], []


async def plain(client):
    await client.generate("Hi")


async def dropped(client):
    await anext(client.chat("Hi", stream=True))


async def paused(client):
    stream = client.chat("Hi", stream=True)
    await anext(stream)
    held.append(stream)


async def several(client):
    for _ in range(3):
        await paused(client.fork())
    await plain(client.fork())


async def in_a_chain(client):
    chain = aio.Chain([aio.Agent(client), aio.Parallel([aio.Agent(client)]), aio.Agent(client)])
    stream = chain.run("Hi", stream=True, timeout=30)
    for _ in range(2 * SHORT + SHORT // 2):  # into the third agent
        await anext(stream)
    held.append(stream)


async def finished(client):
    stream = client.chat("Hi", stream=True)
    async for _ in stream:
        pass
    held.append(stream)


async def closed(client):
    await paused(client)
    await held[-1].aclose()


async def failed(client):
    """The first request of the loop finds nobody who listens."""
    nobody = aio.client("openai:500", base_url="http://127.0.0.1:9/v1", api_key="key", max_retries=0)
    stream = nobody.chat("Hi", stream=True)
    try:
        async for _ in stream:
            pass
    except ProviderConnectionError:
        held.append(stream)


async def entered(client):
    async with client.chat("Hi", stream=True) as stream:
        async for _ in stream:
            pass
    held.append(stream)


async def left(client):
    async with client.chat("Hi", stream=True) as stream:
        await anext(stream)
    held.append(stream)


async def in_a_users_generator(client):
    """The recommended form, paused; nobody closes the generator, and only the loop's end can."""

    async def words():
        async with aclosing(client.fork().chat("Hi", stream=True)) as stream:
            async for chunk in stream:
                yield chunk

    generators = [words() for _ in range(4)]
    for generator in generators:
        await anext(generator)
    gc.collect()
    alive.append(generators)


async def in_a_tool(client):
    """A tool pauses a stream of its own."""

    @tool
    async def pause() -> str:
        """Pause a stream."""
        await paused(client)
        return "paused"

    answers = iter([reply("", calls=[("pause", {})]), "done"])
    await aio.Agent(scripted_client(lambda request: next(answers), repeat=True), tools=[pause]).run("Go.")


alive = []
STATES = {
    state.__name__: state
    for state in (
        plain, dropped, paused, several, in_a_chain, finished, closed, failed, entered, left, in_a_users_generator,
        in_a_tool,
    )
}  # fmt: skip


def run(main, backend, how):
    if how == "thread":
        thread = threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": backend})
        thread.start()
        thread.join()
    elif how == "closed":  # as old code does: without ending the generators
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    else:
        anyio.run(main, backend=backend)


def loops_alive(url, backend, how, state):
    deltas = SHORT if state in ("finished", "entered", "in_a_chain") else DELTAS
    client = aio.client(f"openai:{deltas}", base_url=f"{url}/1ms/v1", api_key="key")
    loops = []

    async def main():
        loops.append(weakref.ref(anyio.lowlevel.current_token().native_token))
        await STATES[state](client.fork())

    for _ in range(TIMES):
        run(main, backend, how)
        alive.clear()
    if how == "closed":  # what it left behind is freed when the next loop makes a request
        run(lambda: plain(client), backend, "run")
    for stream in held:
        try:
            anyio.run(anext, stream, None)
        except StreamClosedError:
            pass
        else:
            assert state in ("finished", "closed", "failed", "entered", "left")
    gc.collect()
    return sum(loop() is not None for loop in loops)


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.simplefilter(
        "ignore", ResourceWarning
    )  # trio's for a dropped stream; asyncio's for a closed loop's socket
    for case in sys.argv[3:]:
        for output in (sys.stdout, sys.stderr):
            print(case, file=output, flush=True)
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        try:
            print(loops_alive(*sys.argv[1:3], *case.split(":")), flush=True)
        except Exception:
            traceback.print_exc()
        ended.extend(held)  # until the interpreter ends, which is quiet too
        held.clear()
