"""Where the coroutines of the sync surface run and how they end: threads, nesting, forks, Ctrl-C, exits."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.lowlevel
import pytest

import aimu
from aimu import aio
from aimu._sync import bridge
from aimu.testing._scripted import ScriptedProvider, reply
from aimu.tools import tool
from tests.holding import join, start, until

FOREVER = 3600.0


def interrupt(request=None):
    """Press Ctrl-C, whatever the main thread is doing."""
    threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
    return reply("too late", delay=FOREVER)


def nested(levels, seen):
    """Make a client whose tool asks a client whose tool asks the next, `levels` deep."""

    @tool
    def deeper() -> str:
        """Ask the next one."""
        seen.append(threading.current_thread())
        return nested(levels - 1, seen).chat("?") if levels else "bottom"

    return aimu.client(ScriptedProvider(reply(calls=[("deeper", {})]), f"level {levels}"), tools=[deeper])


@pytest.mark.parametrize("streamed", [True, False])
def test_nested_sync_tools_run_in_the_callers_thread_at_every_level(streamed):
    seen = []
    client = nested(3, seen)
    if streamed:
        with client.chat("?", stream=True) as stream:
            assert list(stream)[-1].content == "level 3"
    else:
        assert client.chat("?") == "level 3"
    assert seen == [threading.current_thread()] * 4


async def test_nested_sync_tools_run_in_the_callers_thread_inside_a_running_loop():
    seen = []
    assert nested(2, seen).chat("?") == "level 2"
    assert seen == [threading.current_thread()] * 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nested_sync_tools_run_in_the_callers_thread_inside_a_loop_of_anyio(backend):
    async def main():
        return nested(1, []).chat("?")

    assert anyio.run(main, backend=backend) == "level 1"


async def test_a_stream_can_be_read_step_by_step_inside_a_running_loop():
    seen = []
    client = nested(0, seen)
    with client.chat("?", stream=True) as stream:
        assert [chunk.content for chunk in stream if chunk.is_text()] == ["level ", "0"]
    assert seen == [threading.current_thread()]


def test_tools_called_together_run_in_worker_threads_and_may_call_sync_clients():
    seen = []
    both = threading.Barrier(2)

    @tool
    def ask() -> str:
        """Wait for the other one, then ask."""
        both.wait(10)
        seen.append(threading.current_thread())
        return nested(1, []).chat("?")

    provider = ScriptedProvider(reply(calls=[("ask", {}), ("ask", {})]), "ok")
    client = aimu.client(provider, tools=[ask], concurrent_tool_calls=True)
    assert client.chat("?") == "ok"
    assert [message["content"] for message in client.messages if message["role"] == "tool"] == ["level 1"] * 2
    assert threading.current_thread() not in seen


def test_one_loop_serves_all_calls_of_a_thread_and_each_sees_the_context_of_its_caller():
    variable = contextvars.ContextVar("variable", default=0)
    loops = set()

    async def look():
        loops.add(asyncio.get_running_loop())
        variable.set(variable.get() + 1)
        return variable.get()

    assert bridge.run(look()) == 1
    variable.set(10)
    assert bridge.run(look()) == 11
    assert variable.get() == 10
    assert len(loops) == 1


def test_eight_threads_work_at_once_and_each_loop_ends_with_its_thread():
    loops = []
    together = threading.Barrier(8)

    async def look():
        loops.append(asyncio.get_running_loop())

    def work(n):
        together.wait(10)
        bridge.run(look())
        client = aimu.client(ScriptedProvider(f"answer {n}"))
        return [client.chat("?"), client.messages[-1]["content"]]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[f"answer {n}"] * 2 for n in range(8)]
    assert len(set(loops)) == 8
    assert all(loop.is_closed() for loop in loops)


def test_open_generators_of_a_loop_are_closed_when_its_thread_ends():
    closed, before = [], set(threading.enumerate())

    async def generator():
        try:
            yield
        finally:
            await anyio.lowlevel.checkpoint()
            closed.append(threading.current_thread().name)

    kept = generator()

    async def begin():
        await anext(kept)

    def work():
        bridge.run(begin())

        async def inside():
            bridge.run(anyio.lowlevel.checkpoint())

        asyncio.run(inside())  # starts a helper thread, which ends too

    join(start(work))
    assert len(closed) == 1
    assert [thread for thread in threading.enumerate() if thread.name == "aimu-sync" and thread not in before] == []


WITHOUT_FILES = """
import os, resource, sys, threading
import aimu
from aimu import agents
from aimu.testing import ScriptedProvider

client = aimu.client(ScriptedProvider("Yes.", repeat=True))
agent = agents.Agent(client)

def read():
    with agent.run("?", stream=True) as stream:
        return list(stream)

def mapped():
    with agents.amap(agent, ["?"]) as results:
        return list(results)

def fails(how):
    try:
        how()
    except OSError as exc:
        assert exc.errno == 24, exc
    else:
        raise AssertionError(how)

client.chat("?")  # so that everything is loaded
for way in (lambda: client.chat("?"), lambda: next(agent.run("?", stream=True)), read, mapped):
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    thread = threading.Thread(target=fails, args=(way,))  # which needs a loop of its own
    thread.start()
    thread.join()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    way()
"""


def test_a_call_for_which_there_can_be_no_loop_raises_and_leaves_nothing_behind():
    done = subprocess.run([sys.executable, "-c", WITHOUT_FILES], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    # asyncio complains of the loop that it could not finish.
    assert "never awaited" not in done.stderr


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_can_make_calls():
    client = aimu.client(ScriptedProvider("a", "b", repeat=True))
    client.chat("?")
    child = os.fork()
    if not child:
        os._exit(0 if client.chat("?") == "b" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.chat("?") == "b"


def test_ctrl_c_cancels_a_call_and_waits_for_its_clean_up():
    steps = []

    async def work():
        try:
            interrupt()
            await anyio.sleep(FOREVER)
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                    steps.append("cleaned")

    with pytest.raises(KeyboardInterrupt):
        bridge.run(work())
    assert steps == ["cleaned"] * 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_raised_even_if_the_cancelled_run_returns():
    async def work():
        signal.raise_signal(signal.SIGINT)
        return "done"

    with pytest.raises(KeyboardInterrupt):
        bridge.run(work())


def test_a_signal_handler_of_the_program_is_kept():
    caught = []
    previous = signal.signal(signal.SIGINT, lambda *args: caught.append(args))
    try:
        provider = ScriptedProvider(lambda request: signal.raise_signal(signal.SIGINT) or "ok")
        assert aimu.client(provider).chat("?") == "ok"
    finally:
        signal.signal(signal.SIGINT, previous)
    assert len(caught) == 1


def call(client):
    client.chat("?")


def pull(client):
    for _ in client.chat("?", stream=True):
        pass


def enter(client):
    with client.chat("?", stream=True) as stream:
        for _ in stream:
            pass


def in_a_loop(consume):
    def inside(client):
        async def cell():
            consume(client)

        loop = asyncio.new_event_loop()  # as in the kernel of a notebook; `asyncio.run` would handle Ctrl-C itself
        try:
            loop.run_until_complete(cell())
        finally:
            loop.close()

    inside.__qualname__ = f"{consume.__qualname__} in a loop"
    return inside


ways = pytest.mark.parametrize(
    "consume", [call, pull, enter, in_a_loop(call), in_a_loop(pull), in_a_loop(enter)], ids=lambda way: way.__qualname__
)


@ways
def test_ctrl_c_in_a_request_leaves_a_valid_conversation(consume):
    provider = ScriptedProvider(interrupt, "better")
    client = aimu.client(provider)
    with pytest.raises(KeyboardInterrupt):
        consume(client)
    assert client.messages == []
    assert provider.open_streams == 0
    assert client.chat("Go on.") == "better"


@ways
def test_ctrl_c_in_a_sync_tool_is_raised_in_the_tool(consume):
    where = []

    @tool
    def wait() -> str:
        """Wait for ever."""
        try:
            interrupt()
            threading.Event().wait(FOREVER)
        except KeyboardInterrupt:
            where.append("in the tool")
            raise
        return "waited"

    provider = ScriptedProvider(reply("I wait.", calls=[("wait", {})]), "better")
    client = aimu.client(provider, tools=[wait])
    with pytest.raises(KeyboardInterrupt):
        consume(client)
    assert where == ["in the tool"]
    assert client.messages[-1]["status"] == "cancelled"
    assert provider.open_streams == 0
    assert client.chat("Go on.") == "better"


def test_ctrl_c_in_a_nested_call_ends_every_level():
    cleaned = []

    async def inner():
        try:
            interrupt()
            await anyio.sleep(FOREVER)
        finally:
            cleaned.append(True)

    @tool
    def ask() -> str:
        """Call the sync surface again."""
        return bridge.run(inner())

    client = aimu.client(ScriptedProvider(reply(calls=[("ask", {})]), "better"), tools=[ask])
    with pytest.raises(KeyboardInterrupt):
        client.chat("?")
    assert cleaned == [True]
    assert client.messages[-1]["status"] == "cancelled"
    assert client.chat("Go on.") == "better"


EXITS = {
    "after a call": "client.chat('?')",
    "with a stream held open": "held = client.chat('?', stream=True); next(held)",
    "with a stream entered": "held = client.chat('?', stream=True).__enter__(); next(held)",
    "inside a loop": "import asyncio\nasync def main(): client.chat('?')\nasyncio.run(main())",
    "with a stream entered inside a loop": """
        import asyncio
        async def main():
            global held
            held = client.chat('?', stream=True).__enter__(); next(held)
        asyncio.run(main())
        """,
    "with a daemon thread in a call": """
        import threading
        from aimu.testing._scripted import reply
        begun = threading.Event()
        busy = aimu.client(ScriptedProvider(lambda request: begun.set() or reply('never', delay=3600.0)))
        threading.Thread(target=busy.chat, args=('?',), daemon=True).start()
        begun.wait()
        """,
    "with a thread that has ended": """
        import threading
        thread = threading.Thread(target=client.chat, args=('?',))
        thread.start(); thread.join()
        """,
    "of a forked child": """
        import os
        client.chat('?')
        child = os.fork()
        client.chat('?')
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
    "by Ctrl-C": """
        import signal
        from aimu.testing._scripted import reply
        slow = reply(delay=3600.0)
        client = aimu.client(ScriptedProvider(lambda request: signal.raise_signal(signal.SIGINT) or slow))
        try:
            client.chat('?')
        except KeyboardInterrupt:
            pass
        """,
}


@pytest.mark.parametrize("end", EXITS.values(), ids=EXITS)
def test_the_interpreter_exits_without_output(end):
    script = "\n".join(
        [
            "import logging; logging.getLogger('asyncio').setLevel('ERROR')  # its debug mode reports slow callbacks",
            "import aimu",
            "from aimu.testing._scripted import ScriptedProvider",
            "client = aimu.client(ScriptedProvider('one two three ' * 50, repeat=True))",
            textwrap.dedent(end),
        ]
    )
    run = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", script], capture_output=True, timeout=60)
    assert (run.returncode, run.stderr.decode()) == (0, "")


async def test_sync_tools_of_async_runs_inside_a_sync_call_run_in_worker_threads():
    """The context of a sync call does not leak into async runs: their sync tools run in worker threads."""
    seen = []

    @tool
    def where() -> str:
        """Tell the thread."""
        seen.append(threading.current_thread())
        return "there"

    await aio.client(ScriptedProvider(reply(calls=[("where", {})]), "ok"), tools=[where]).chat("?")
    assert threading.current_thread() not in seen


async def test_the_loop_of_an_ended_thread_can_be_collected_inside_another_loop():
    kept = []

    def use():
        bridge.run(anyio.lowlevel.checkpoint())
        kept.append(bridge._local.loops)

    thread = threading.Thread(target=use)
    thread.start()
    await until(lambda: not thread.is_alive())
    loop = kept[0]._own._loop
    kept.clear()  # the last reference: its finalizer runs here
    assert loop.is_closed()
    await anyio.lowlevel.checkpoint()
