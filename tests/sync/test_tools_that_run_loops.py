"""Sync tools that run a loop of their own: under the sync surface they work as in plain sync code."""

import asyncio
import contextvars
import signal
import sqlite3
import sys
import threading

import anyio
import pytest
import trio

import aimu
from aimu.agents import Agent, Chain
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from tests.holding import join, start

FOREVER = 3600.0
VARIABLE = contextvars.ContextVar("variable", default="unset")


async def work():
    """A coroutine of AnyIO that needs a loop, tasks and a timer."""
    done = []

    async def one():
        await anyio.sleep(0.001)
        done.append(anyio.get_current_task().id)

    async with anyio.create_task_group() as group:
        group.start_soon(one)
    assert len(done) == 1
    return "worked"


def run_until_complete():
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


def run_a_runner():
    with asyncio.Runner() as runner:
        return [runner.run(work()) for _ in range(2)][1]


def run_asyncgen():
    """An async generator that is stepped by hand, as no loop is running."""

    async def generate():
        yield "worked"

    assert sys.get_asyncgen_hooks() == (None, None)
    generator = generate()
    with pytest.raises(StopIteration, match="worked"):
        generator.asend(None).send(None)
    with pytest.raises(StopIteration):
        generator.aclose().send(None)
    return "worked"


def ask_another():
    """A call of the sync surface inside the loop of a tool, and one beside it."""

    async def inside():
        return asking(lambda: "worked").chat("?")

    assert asking(run_asyncio).chat("?") == "ok: worked"
    return asyncio.run(inside()).removeprefix("ok: ")


def run_asyncio():
    return asyncio.run(work())


def no_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.current_task()
    return "worked"


WAYS = {
    "asyncio.run": run_asyncio,
    "asyncio.Runner": run_a_runner,
    "loop.run_until_complete": run_until_complete,
    "trio.run": lambda: trio.run(work),
    "anyio.run, asyncio": lambda: anyio.run(work),
    "anyio.run, trio": lambda: anyio.run(work, backend="trio"),
    "a client": ask_another,
    "no loop": no_loop,
    "by hand": run_asyncgen,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def asking(*functions, **options):
    """Make a client that calls each of the functions in turn, and then answers with their last result."""

    @tool
    def perform(number: int) -> str:
        """Call a function."""
        return functions[number]()

    calls = [reply(calls=[("perform", {"number": number})]) for number in range(len(functions))]
    provider = ScriptedProvider(*calls, lambda request: reply(f"ok: {request.messages[-1]['content']}"))
    return aimu.client(provider, tools=[perform], **options)


def plain(client):
    return client.chat("?")


def pulled(client):
    return list(client.chat("?", stream=True))[-1].content


def entered(client):
    with client.chat("?", stream=True) as stream:
        return list(stream)[-1].content


def by_an_agent(client):
    return Chain([Agent(client)]).run("?")


def in_a_thread(client):
    answers = []
    join(start(lambda: answers.append(client.chat("?"))))
    return answers[0]


def together(client):
    client.concurrent_tool_calls = True
    return client.chat("?")


consumers = pytest.mark.parametrize("consume", [plain, pulled, entered, by_an_agent, in_a_thread, together])


@ways
@consumers
def test_a_sync_tool_may_run_a_loop_of_its_own(way, consume):
    assert consume(asking(way, way)) == "ok: worked"
    assert asyncio._get_running_loop() is None
    assert sys.get_asyncgen_hooks() == (None, None)


@consumers
def test_a_nested_sync_tool_may_run_a_loop_of_its_own(consume):
    def nested():
        return asking(lambda: asking(run_asyncio).chat("?")).chat("?")

    assert consume(asking(nested)) == "ok: ok: ok: worked"


def test_in_a_running_loop_a_sync_tool_may_run_what_plain_code_may_run_there():
    async def on_asyncio():
        return asking(lambda: trio.run(work)).chat("?")

    async def on_trio():
        return asking(lambda: asyncio.run(asyncio.sleep(0, "worked"))).chat("?")

    assert asyncio.run(on_asyncio()) == "ok: worked"
    assert trio.run(on_trio) == "ok: worked"


def test_the_run_goes_on_in_its_own_loop_and_task_after_the_tool():
    seen = []

    @tool
    async def where() -> str:
        """Tell the loop and the task."""
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        seen.append((asyncio.get_running_loop(), asyncio.current_task(), sys.get_asyncgen_hooks()))
        return "there"

    @tool
    def other() -> str:
        """Run another loop."""
        return run_asyncio()

    calls = [reply(calls=[(name, {})]) for name in ("where", "other", "where")]
    assert aimu.client(ScriptedProvider(*calls, "ok"), tools=[where, other]).chat("?") == "ok"
    assert seen[0] == seen[1]


def test_a_loop_that_a_tool_leaves_behind_stays_that_of_its_thread():
    """As with Playwright's sync API: its loop looks running to the thread from one call of a tool to the next."""
    loop = asyncio.new_event_loop()
    seen = []

    def begin():
        seen.append(asyncio._get_running_loop())
        asyncio._set_running_loop(loop)
        return "begun"

    def look():
        seen.append(asyncio._get_running_loop())
        return asking(lambda: seen.append(asyncio._get_running_loop()) or "deep").chat("?")

    def end():
        asyncio._set_running_loop(None)
        return "ended"

    try:
        for consume in (plain, pulled, entered):
            assert consume(asking(begin, look)) == "ok: ok: deep"
            assert asyncio._get_running_loop() is loop
            assert consume(asking(look, end)) == "ok: ended"
            assert asyncio._get_running_loop() is None
            assert consume(asking(begin, look, end)) == "ok: ended"
        assert seen == [None, *[loop] * 4, None, *[loop] * 2] * 3
    finally:
        asyncio._set_running_loop(None)
        loop.close()


def test_context_variables_and_thread_bound_objects_go_on_working():
    database = sqlite3.connect(":memory:")

    def write():
        assert VARIABLE.get() == "caller"
        VARIABLE.set("tool")
        database.execute("create table words (word)")

        async def inside():
            assert VARIABLE.get() == "tool"
            VARIABLE.set("loop")
            database.execute("insert into words values ('written')")

        asyncio.run(inside())
        return VARIABLE.get()

    def read():
        assert threading.current_thread() is threading.main_thread()
        return f"{VARIABLE.get()} {database.execute('select word from words').fetchone()[0]}"

    def in_context():
        VARIABLE.set("caller")
        assert plain(asking(write, read)) == "ok: tool written"
        assert VARIABLE.get() == "caller"

    contextvars.copy_context().run(in_context)
    database.close()


def test_a_tool_sees_and_may_set_the_programs_signal_handlers():
    def caught(number, frame):
        seen.append(number)

    def look():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGUSR1) is caught
        signal.signal(signal.SIGUSR2, caught)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        return "seen"

    seen = []
    previous = [signal.signal(signal.SIGUSR1, caught), signal.getsignal(signal.SIGUSR2)]
    try:
        assert plain(asking(look, look)) == "ok: seen"
        assert signal.getsignal(signal.SIGUSR2) is caught
        assert seen == [signal.SIGUSR1, signal.SIGUSR2] * 2
    finally:
        signal.signal(signal.SIGUSR1, previous[0])
        signal.signal(signal.SIGUSR2, previous[1])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("consume", [plain, pulled, entered])
def test_ctrl_c_in_the_loop_of_a_tool_cleans_that_loop_up_and_ends_the_call(consume, backend):
    cleaned = []

    async def wait():
        try:
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep(FOREVER)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.001)
            cleaned.append(backend)

    client = asking(lambda: anyio.run(wait, backend=backend))
    with pytest.raises(KeyboardInterrupt):
        consume(client)
    assert cleaned == [backend]
    assert client.messages[-1]["status"] == "cancelled"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert plain(asking(run_asyncio)) == "ok: worked"
