"""The lifespans of server objects, and how a request that is stopped in one ends."""

from contextlib import asynccontextmanager, nullcontext

import anyio
import pytest
from fastmcp import Context, FastMCP
from mcp.server import MCPServer

from aimu import aio
from aimu.errors import MCPTimeoutError


async def test_the_lifespan_of_a_server_object_is_entered_for_a_call():
    @asynccontextmanager
    async def lifespan(_):
        yield {"db": "open"}

    server = FastMCP("lively", lifespan=lifespan)

    @server.tool
    def look(ctx: Context) -> str:
        return ctx.lifespan_context["db"]

    async with aio.MCPClient(server=server) as client:
        assert await client.call_tool("look") == "open"
        assert len(await client.get_tools()) == 1


async def test_the_lifespans_of_mounted_servers_are_entered_once_for_a_block(opened):
    entered, left = [], []

    @asynccontextmanager
    async def lifespan(_):
        entered.append(1)
        try:
            yield {"db": f"opened {len(entered)}"}
        finally:
            left.append(1)

    child, server = FastMCP("child", lifespan=lifespan), FastMCP("parent")
    server.mount(child, namespace="child")

    @child.tool
    async def look(ctx: Context) -> str:
        await anyio.lowlevel.checkpoint()
        return ctx.lifespan_context["db"]

    async with opened(server=server) as client:
        assert (await client.call_tool("child_look")).startswith("opened")
        results = []

        async def call():
            results.append(await client.call_tool("child_look"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
        if opened.form == "block":
            assert results == ["opened 1"] * 5
            assert left == []
    assert len(entered) == len(left)
    assert opened.form == "connect" or entered == [1]


async def test_a_lifespan_that_fails_fails_the_block():
    @asynccontextmanager
    async def lifespan(_):
        raise ZeroDivisionError
        yield {}

    with pytest.raises(ZeroDivisionError):
        async with aio.MCPClient(server=FastMCP("broken", lifespan=lifespan)):
            raise AssertionError("it cannot start")


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
@pytest.mark.parametrize("how", ["ended", "cancelled"])
async def test_a_lifespan_that_fails_in_a_request_is_raised_as_itself_even_if_the_request_is_cancelled(protocol, how):
    @asynccontextmanager
    async def lifespan(_):
        try:
            yield {}
        finally:
            raise ZeroDivisionError

    server = FastMCP("broken", lifespan=lifespan)

    @server.tool
    async def end() -> str:
        if how == "cancelled":
            scope.cancel()
            await anyio.sleep_forever()
        return "ok"

    client = await aio.MCPClient.connect(server=server, protocol=protocol)
    with pytest.raises(ZeroDivisionError):
        with anyio.CancelScope() as scope:
            await client.call_tool("end")


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
@pytest.mark.parametrize("make", [FastMCP, MCPServer])
@pytest.mark.parametrize("what", ["tool", "prompt"])
@pytest.mark.parametrize("how", ["cancelled", "timeout"])
async def test_a_request_whose_clean_up_fails_ends_as_over_the_wire_by_what_stopped_it(protocol, make, what, how):
    server = make("broken")

    async def end() -> str:
        try:
            if how == "cancelled":
                scope.cancel()
            await anyio.sleep_forever()
        finally:
            raise ZeroDivisionError

    (server.tool if what == "tool" else server.prompt)(name="end")(end)
    seconds = 0.05 if how == "timeout" else None
    client = await aio.MCPClient.connect(server=server, protocol=protocol, timeout=seconds)
    with anyio.CancelScope() as scope:
        with pytest.raises(MCPTimeoutError) if how == "timeout" else nullcontext():
            await (client.call_tool("end") if what == "tool" else client.get_prompt("end"))
            raise AssertionError("it has no result")
    assert scope.cancelled_caught == (how == "cancelled")
