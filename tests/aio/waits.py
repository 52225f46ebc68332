"""Nothing waits for itself: a run that is closed, left or read from inside goes on or ends, and says why."""

from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from typing import ClassVar

import anyio
import fastmcp
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu._core.messages import check_history
from aimu.aio import MCPClient
from aimu.errors import ClosedClientError, MCPError, StreamClosedError
from aimu.testing import ScriptedProvider, cancel_everywhere, reply, scripted_client
from aimu.tools import tool

LIMIT = 5.0  # s; a wait for oneself lasts for ever

WAYS_TO_CLOSE = {}


def way(function):
    WAYS_TO_CLOSE[function.__name__] = function
    return function


@way
async def aclose(stream):
    await stream.aclose()


@way
async def aclose_twice(stream):
    with anyio.CancelScope(shield=True):
        await stream.aclose()
        await stream.aclose()


@way
async def break_in_aclosing(stream):
    async with aclosing(stream):
        await checkpoint()


@way
async def aclose_in_a_child_task(stream):
    async with anyio.create_task_group() as group:
        group.start_soon(stream.aclose)


@way
async def aclose_from_a_thread(stream):
    await anyio.to_thread.run_sync(anyio.from_thread.run, stream.aclose)


@way
async def leave_the_block(stream):
    await stream.__aexit__(None, None, None)


@way
async def leave_the_exit_stack(stream):
    stack = AsyncExitStack()
    stack.push_async_exit(stream)
    await stack.aclose()


@way
async def read(stream):
    while True:
        await anext(stream)


REFUSED = {"leave_the_block", "leave_the_exit_stack", "read"}


def once(*calls, answer="done"):
    def model(request):
        return answer if request.messages[-1]["role"] == "tool" else reply("", calls=list(calls))

    return model


class SelfClosing:
    """An agent whose tool closes the stream of its run in one of the ways; `wrap` puts the agent into a workflow."""

    def __init__(self, close, wrap=lambda agent: agent, concurrent=False, nested=False):
        self.caught = []

        @tool
        async def close_own() -> str:
            """Close the stream of this run."""
            try:
                if nested:
                    async with self.inner.fork().run("Go.", stream=True) as inner:
                        async for _ in inner:
                            pass
                else:
                    await close(self.stream)
            except BaseException as exc:
                self.caught.append(exc)
                raise
            return "closed"

        @tool
        async def close_outer() -> str:
            """Close the stream of the run around this one."""
            try:
                await close(self.stream)
            except StreamClosedError as exc:
                self.caught.append(exc)
                raise
            return "closed"

        calls = [("close_own", {})] * (2 if concurrent else 1)
        self.inner = aio.Agent(scripted_client(once(("close_outer", {})), repeat=True), tools=[close_outer])
        self.agent = aio.Agent(
            scripted_client(once(*calls), repeat=True), tools=[close_own], concurrent_tool_calls=concurrent
        )
        self.runner = wrap(self.agent)
        self.stream = None

    async def run(self):
        self.stream = self.runner.run("Go.", stream=True)
        async with self.stream:
            async for _ in self.stream:
                pass

    async def check(self, *, completed):
        check_history(self.agent.model_client.messages)
        assert not self.agent.model_client.conversation.busy


WRAPPERS = {
    "agent": lambda agent: agent,
    "parallel": lambda agent: aio.Parallel([agent, aio.Agent(scripted_client("other", repeat=True))]),
    "parallel in a chain": lambda agent: aio.Chain([aio.Parallel([aio.Chain([agent])])]),
}


@pytest.mark.parametrize("nested", [False, True], ids=["own", "from an inner run"])
@pytest.mark.parametrize("concurrent", [False, True], ids=["alone", "overlapping"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("way", WAYS_TO_CLOSE)
async def test_a_tool_that_closes_the_entered_stream_of_its_run_does_not_hang(way, wrapper, concurrent, nested):
    case = SelfClosing(WAYS_TO_CLOSE[way], WRAPPERS[wrapper], concurrent, nested)
    with anyio.fail_after(LIMIT):
        await case.run()
        await case.check(completed=True)
    if way in REFUSED:
        assert case.caught
        assert all(type(exc) is StreamClosedError for exc in case.caught)
        assert case.stream.result  # the run went on
    else:
        with pytest.raises(StreamClosedError):
            assert case.stream.result


@pytest.mark.parametrize("shield", [False, True])
async def test_a_sync_tool_that_closes_the_entered_stream_of_its_run_keeps_its_result(shield):
    @tool
    def close() -> str:
        """Close the stream of this run."""
        anyio.from_thread.run(stream.aclose)
        return "closed"

    agent = aio.Agent(scripted_client(once(("close", {})), repeat=True), tools=[close])
    stream = agent.run("Go.", stream=True)
    with anyio.fail_after(LIMIT, shield=shield):
        async with stream:
            async for _ in stream:
                pass
    assert agent.model_client.messages[-1]["content"] == "closed"


async def test_a_tool_that_closes_its_own_bare_stream_is_told_that_it_is_being_read():
    @tool(raises=anyio.BusyResourceError)
    async def close() -> str:
        """Close the stream of this run."""
        await stream.aclose()

    agent = aio.Agent(scripted_client(once(("close", {})), repeat=True), tools=[close])
    stream = agent.run("Go.", stream=True)
    with anyio.fail_after(LIMIT), pytest.raises(anyio.BusyResourceError):
        async for _ in stream:
            pass


async def test_two_runs_that_close_each_others_streams_both_end():
    streams, both = {}, [anyio.Event(), anyio.Event()]

    def agent(own, other):
        @tool
        async def close() -> str:
            """Close the other stream."""
            both[own].set()
            await both[other].wait()
            await streams[other].aclose()

        return aio.Agent(scripted_client(once(("close", {})), repeat=True), tools=[close])

    async def read(own, other):
        async with agent(own, other).run("Go.", stream=True) as streams[own]:
            async for _ in streams[own]:
                pass

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            group.start_soon(read, 0, 1)
            group.start_soon(read, 1, 0)


async def test_another_task_that_closes_an_entered_stream_waits_for_its_end():
    ended, running = anyio.Event(), anyio.Event()

    @tool
    async def slow() -> str:
        """Clean up for a while."""
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await checkpoint()
            ended.set()

    async def close():
        await running.wait()
        await stream.aclose()
        assert ended.is_set()

    agent = aio.Agent(scripted_client(once(("slow", {})), repeat=True), tools=[slow])
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group, agent.run("Go.", stream=True) as stream:
            group.start_soon(close)
            async for _ in stream:
                pass


async def test_another_task_that_leaves_the_block_of_a_stream_is_refused():
    agent = aio.Agent(scripted_client("Hello.", repeat=True))
    async with agent.run("Go.", stream=True) as stream, anyio.create_task_group() as group:

        async def leave():
            with pytest.raises(StreamClosedError, match="only the async task that entered"):
                await stream.__aexit__(None, None, None)

        group.start_soon(leave)
        async for _ in stream:
            pass
    assert stream.result == "Hello."


class Leaves(aio.AsyncRunner):
    """Leaves, or reads, the results of the amap that it runs in."""

    messages: ClassVar = {}
    results = None

    def __init__(self, leave):
        self.leave = leave

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        await self.leave(self.results)
        return "never"


@pytest.mark.parametrize("way", [leave_the_block, leave_the_exit_stack, read])
async def test_a_task_of_amap_cannot_leave_or_read_its_results(way):
    runner = Leaves(way)
    with anyio.fail_after(LIMIT):
        async with aio.amap(lambda: runner, ["one"], on_error="collect") as runner.results:
            [result] = [result async for _, result in runner.results]
    assert type(result) is StreamClosedError


async def test_a_client_closed_from_a_tool_of_its_own_ends_the_run_with_a_closed_client_error():
    @tool
    async def close() -> str:
        """Close the client."""
        await client.aclose()
        return "closed"

    client = scripted_client(once(("close", {})), repeat=True, tools=[close])
    with anyio.fail_after(LIMIT), pytest.raises(ClosedClientError):
        await client.chat("Go.")
    assert client.messages[-1]["content"] == "closed"


@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")])
@pytest.mark.parametrize("way", ["aclose", "aclose_in_a_child_task", "leave_the_block", "read"])
def test_a_run_closed_by_its_own_tool_and_cancelled_at_any_step_ends(way, backend, how):
    make = partial(SelfClosing, WAYS_TO_CLOSE[way], WRAPPERS["parallel"])
    cancel_everywhere(make, backend=backend, how=how, minimum=10)


class NeverCloses(ScriptedProvider):
    async def aclose(self):
        await anyio.sleep_forever()


@pytest.mark.virtual_time
@pytest.mark.parametrize("streamed", [False, True])
async def test_one_chat_does_not_wait_for_ever_until_a_users_provider_has_closed(streamed):
    if streamed:
        async with aio.chat("Hi", model=NeverCloses("Hello."), stream=True) as stream:
            async for _ in stream:
                pass
        assert stream.result == "Hello."
    else:
        assert await aio.chat("Hi", model=NeverCloses("Hello.")) == "Hello."


@pytest.mark.parametrize("method", ["aclose", "__aexit__"])
@pytest.mark.parametrize("form", ["block", "connect"])
async def test_an_mcp_client_closed_by_a_tool_of_its_own_server_closes(form, method):
    server = fastmcp.FastMCP("server")

    @server.tool
    async def close() -> str:
        """Close the client."""
        await getattr(client, method)(*[None] * (3 if method == "__aexit__" else 0))
        return "closed"

    async def call():
        with suppress(ClosedClientError, MCPError):
            assert await client.call_tool("close") == "closed"

    with anyio.fail_after(LIMIT):
        if form == "block":
            async with MCPClient(server=server) as client:
                await call()
        else:
            client = await MCPClient.connect(server=server)
            await call()
            await client.aclose()
