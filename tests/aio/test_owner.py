"""Who may replace a paused bare stream: only the async task that reads it, or anyone once that task has ended."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu.aio._place import Place
from aimu.errors import BusyConversationError, StreamClosedError
from aimu.testing import reply, scripted_client
from aimu.tools import tool

pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


def talker(**options):
    return scripted_client("One two three four.", repeat=True, **options)


async def paused(client):
    stream = client.chat("First.", stream=True)
    await anext(stream)
    return stream


async def superseded(stream):
    with pytest.raises(StreamClosedError, match="replaced"):
        await anext(stream)


async def enter(client):
    async with client.chat("Second.", stream=True) as stream:
        async for _ in stream:
            pass


class Chats(aio.AsyncRunner):
    """A user's own runner that chats on a given client."""

    def __init__(self, client):
        self.client = client

    @property
    def messages(self):
        return {}

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        return await self.client.chat(task)


def boss(client, **options):
    """An agent on a conversation of its own whose tool chats on `client`; with `concurrent` in a child task."""

    @tool
    async def ask() -> str:
        """Ask the client."""
        return await client.chat("Second.")

    @tool
    async def idle() -> str:
        """Do nothing."""
        await checkpoint()
        return "idle"

    def model(request):
        if request.messages[-1]["role"] == "tool":
            return "done"
        return reply("", calls=[("ask", {}), ("idle", {})])

    return aio.Agent(scripted_client(model, repeat=True), tools=[ask, idle], **options)


async def enter_boss(client):
    await enter(boss(client).as_model_client())


async def amap(client):
    async with aio.amap(lambda: Chats(client), ["Second."]) as results:
        async for _, result in results:
            assert result == "One two three four."


NEWCOMERS = {
    "a plain chat": lambda client: client.chat("Second."),
    "an entered stream": enter,
    "a parallel": lambda client: aio.Parallel([Chats(client), aio.Agent(talker())]).run("Second."),
    "a parallel in a parallel": lambda client: aio.Parallel([aio.Parallel([Chats(client)])]).run("Second."),
    "a tool": lambda client: boss(client).run("Go."),
    "an overlapping tool": lambda client: boss(client, concurrent_tool_calls=True).run("Go."),
    "a tool of an entered stream": enter_boss,
    "a task of amap": amap,
}


@pytest.mark.parametrize("newcomer", NEWCOMERS)
async def test_the_task_that_paused_a_stream_replaces_it_with_whatever_it_starts_and_waits_for(newcomer):
    client = talker()
    stream = await paused(client)
    await NEWCOMERS[newcomer](client)
    assert [m["content"] for m in client.messages if m["role"] == "user"] == ["First.", "Second."]
    assert client.messages[-3]["interrupted"]
    await superseded(stream)


@pytest.mark.parametrize("newcomer", ["a plain chat", "an entered stream", "a parallel", "an overlapping tool"])
async def test_another_task_cannot_replace_a_stream_whose_reader_lives(newcomer):
    client = talker()
    stream = await paused(client)
    caught = []

    async def intrude():
        try:
            await NEWCOMERS[newcomer](client)
        except* BusyConversationError as group:
            caught.append(group)

    async with anyio.create_task_group() as group:
        group.start_soon(intrude)
    assert bool(caught) is (newcomer != "an overlapping tool")  # where the error is the result of the call
    text = "".join([chunk.content async for chunk in stream if chunk.is_text()])
    assert text.endswith("four.")
    assert [m["content"] for m in client.messages if m["role"] == "user"] == ["First."]


async def test_a_stream_begun_beside_an_entered_one_is_not_replaced_by_a_tool_of_that_one():
    client, begun, tried = talker(), anyio.Event(), anyio.Event()

    @tool
    async def intrude() -> str:
        """Chat on the conversation of the other stream."""
        await begun.wait()
        try:
            return await client.chat("Second.")
        finally:
            tried.set()

    answers = iter([reply("", calls=[("intrude", {})]), "done"])
    agent = aio.Agent(scripted_client(lambda request: next(answers), repeat=True), tools=[intrude])
    async with agent.run("Go.", stream=True) as entered:
        stream = await paused(client)
        begun.set()
        await tried.wait()
        async for _ in stream:
            pass
        async for _ in entered:
            pass
    [result] = [m["content"] for m in agent.model_client.messages if m["role"] == "tool"]
    assert result.startswith("Error: BusyConversationError")
    assert stream.result == "One two three four."


async def test_a_task_that_outlives_the_run_that_started_it_does_not_act_for_the_reader():
    client, go, outcomes = talker(), anyio.Event(), []

    async def late():
        await go.wait()
        try:
            outcomes.append(await client.chat("Second."))
        except BusyConversationError as exc:
            outcomes.append(exc)

    @tool
    async def leave_behind() -> str:
        """Start a task that outlives this run."""
        group.start_soon(late)
        return "started"

    answers = iter([reply("", calls=[("leave_behind", {})]), "done"])
    agent = aio.Agent(scripted_client(lambda request: next(answers), repeat=True), tools=[leave_behind])
    async with anyio.create_task_group() as group:
        stream = await paused(client)
        async with agent.run("Go.", stream=True) as entered:
            async for _ in entered:
                pass
        go.set()
        await anyio.wait_all_tasks_blocked()
        async for _ in stream:
            pass
    assert type(outcomes[0]) is BusyConversationError
    assert stream.result == "One two three four."


async def test_a_stream_whose_task_has_ended_is_replaced_by_any_task():
    for _ in range(20):  # so that addresses of ended tasks are used again
        client, streams = talker(), []

        async def read(client=client, streams=streams):
            streams.append(await paused(client))

        async with anyio.create_task_group() as group:
            group.start_soon(read)
        async with anyio.create_task_group() as group:
            group.start_soon(client.chat, "Second.")
        await superseded(streams[0])


async def test_the_place_of_an_ended_task_is_gone_and_never_the_current_one():
    places = []

    async def be():
        places.append(Place.here())
        assert places[-1].waits_here
        assert not places[-1].gone
        await checkpoint()

    for _ in range(50):
        async with anyio.create_task_group() as group:
            group.start_soon(be)
        gc.collect()
        here = Place.here()
        assert all(place.gone and not place.waits_here and not place.is_same_task(here) for place in places)


def test_the_place_of_an_ended_thread_is_gone_even_when_its_number_is_used_again():
    places, numbers = [], set()

    def be():
        numbers.add(threading.get_ident())
        assert all(place.gone for place in places)
        places.append(Place.here())

    for _ in range(20):
        thread = threading.Thread(target=be)
        thread.start()
        thread.join()
    assert len(numbers) < 20
    assert all(place.gone for place in places)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_place_keeps_neither_its_task_nor_its_event_loop(backend):
    places = []

    async def main():
        places.append(Place.here())
        return weakref.ref(anyio.lowlevel.current_token().native_token)

    loop = anyio.run(main, backend=backend)
    gc.collect()
    assert loop() is None
    assert places[0].gone


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_paused_in_an_event_loop_that_has_ended_is_replaced_in_the_next_one(backend):
    client, streams = talker(), []

    async def first():
        streams.append(await paused(client))

    async def second():
        assert await client.chat("Second.") == "One two three four."
        with pytest.raises(StreamClosedError, match="event loop .* has ended"):
            await anext(streams[0])
        await streams[0].aclose()

    anyio.run(first, backend=backend)
    anyio.run(second, backend=backend)
    anyio.run(streams[0].aclose, backend=backend)


def test_a_stream_paused_in_a_loop_that_was_closed_without_ending_its_tasks_is_replaced():
    client, streams = talker(), []

    async def first():
        streams.append(await paused(client))
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    task = loop.create_task(first())
    while not streams:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert asyncio.run(client.chat("Second.")) == "One two three four."
    assert not task.done()
    task._log_destroy_pending = False  # asyncio's own complaint, not the subject here
    task.get_coro().close()


def test_a_history_can_be_assigned_outside_an_event_loop_once_the_reader_has_ended():
    client, streams = talker(), []

    async def first():
        streams.append(await paused(client))

    asyncio.run(first())
    client.messages = []
    assert client.messages == []


GUEST = """
import asyncio, sys, warnings
import anyio, trio
from aimu import aio
from aimu.errors import BusyConversationError
from aimu.testing import scripted_client

warnings.simplefilter("error")
client = scripted_client("One two three four.", repeat=True)
host_kind = sys.argv[1]
seen = []

async def guest():
    stream = client.chat("First.", stream=True)
    await anext(stream)
    paused.append(stream)
    while not tried:
        await anyio.sleep(0.001)
    text = [chunk.content async for chunk in stream if chunk.is_text()]
    seen.append("".join(text))

paused, tried = [], []

def ended(outcome):
    outcome.unwrap()
    over.append(True)

over = []

def attempt_plain():
    try:
        asyncio.run(client.chat("Second."))
    except BusyConversationError:
        return "busy"
    return "took over"

if host_kind == "asyncio":
    async def host():
        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe, done_callback=ended)
        while not paused:
            await asyncio.sleep(0.001)
        try:
            await client.chat("Second.")
        except BusyConversationError:
            tried.append("busy")
        else:
            tried.append("took over")
        while not over:
            await asyncio.sleep(0.001)
    asyncio.run(host())
else:
    import queue
    todo = queue.Queue()
    trio.lowlevel.start_guest_run(guest, run_sync_soon_threadsafe=todo.put, done_callback=ended)
    while not over:
        todo.get(timeout=20)()
        if paused and not tried:
            tried.append(attempt_plain())
assert tried == ["busy"], tried
assert seen and seen[0].endswith("four."), seen
print("ok")
"""


@pytest.mark.parametrize("host", ["asyncio", "plain"])
def test_the_host_of_trios_guest_mode_does_not_take_over_a_living_stream_of_the_guest(host):
    command = [sys.executable, "-c", GUEST, host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ok\n", done.stdout + done.stderr
    assert done.stderr == ""


CLOSED_BY_HOST = """
import asyncio, gc, warnings
import anyio, trio
from aimu.testing import ScriptedProvider
from aimu import aio

class Slow(ScriptedProvider):
    async def stream(self, request):
        try:
            async for delta in super().stream(request):
                yield delta
        finally:
            closed_in.append(anyio.lowlevel.current_token().backend_class.__name__)
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.001)

provider = Slow("One two three four.", repeat=True)
client = aio.client(provider)
over, paused, closed, closed_in = [], [], [], []

async def guest():
    async def reader():
        stream = client.chat("First.", stream=True)
        await anext(stream)
        paused.append(stream)
    async with anyio.create_task_group() as group:
        group.start_soon(reader)
    while not closed:
        await anyio.sleep(0.001)
    gc.collect()
    for _ in range(20):
        await anyio.lowlevel.checkpoint()

async def host():
    trio.lowlevel.start_guest_run(
        guest, run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
        done_callback=lambda outcome: (outcome.unwrap(), over.append(True)))
    while not paused:
        await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0.002)
    HOW
    paused.clear()
    closed.append(True)
    while not over:
        await asyncio.sleep(0.001)
    assert provider.open_streams == 0
    assert closed_in[-1] == "TrioBackend", closed_in
    print("ok")

warnings.simplefilter("ignore", ResourceWarning)
asyncio.run(host())
"""


@pytest.mark.parametrize("how", ["await client.chat('Second.')", "await paused[0].aclose()"])
def test_a_generator_of_the_guest_is_closed_by_the_guests_loop_not_by_the_hosts(how):
    command = [sys.executable, "-c", CLOSED_BY_HOST.replace("HOW", how)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ok\n", done.stdout + done.stderr
    assert done.stderr == ""


FORK = """
import os, threading
import anyio
from aimu.testing import scripted_client
from aimu.tools import tool
from aimu.testing import reply

inside, release = threading.Event(), threading.Event()

@tool
def hold() -> str:
    "Hold the run."
    inside.set()
    release.wait(20)
    return "held"

def model(request):
    if request.messages[-1]["role"] == "tool":
        return "done"
    return reply("", calls=[("hold", {})]) if request.messages[-1]["content"] == "First." else "second"

client = scripted_client(model, repeat=True, tools=[hold])
thread = threading.Thread(target=lambda: anyio.run(client.chat, "First."))
thread.start()
inside.wait(20)
child = os.fork()
if not child:
    answer = None
    try:
        answer = anyio.run(client.chat, "Second.")
    finally:
        os._exit(0 if answer == "second" else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
release.set()
thread.join()
print(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_conversation_that_another_thread_used_is_free_in_a_forked_child():
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "0\n", done.stdout + done.stderr
