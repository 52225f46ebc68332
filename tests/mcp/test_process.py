"""Servers in child processes: calls, cancellation, timeouts, death, and leftovers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import anyio
import psutil
import pytest

from aimu import aio
from aimu.errors import ClosedClientError, InvalidOptionError, MCPConnectionError, MCPError, MCPTimeoutError, ToolError
from aimu.testing import leak_check
from tests.holding import PATIENCE
from tests.mcp.conftest import FRIEND, TINY, tiny


async def ended(process):
    """Wait until a process that is not our child has ended; its parent may reap it late."""
    with anyio.fail_after(10), suppress(psutil.NoSuchProcess):  # it may go between the two questions
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await anyio.sleep(0.01)


async def test_tools_are_listed_over_pages_in_function_format(opened):
    async with opened(config=tiny()) as client:
        tools = {tool["function"]["name"]: tool for tool in await client.get_tools()}
        assert tools["echo"] == {
            "type": "function",
            "function": {
                "name": "echo",
                "description": "",
                "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
            },
        }
        assert len(tools) == 11
        assert len(await client.ping()) == 11


async def test_each_of_several_parallel_calls_gets_its_own_result(opened):
    async with opened(config=tiny()) as client:
        results = {}

        async def call(text):
            results[text] = await client.call_tool("echo", {"text": text})

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(call, f"text {number}")
        assert all(text == result for text, result in results.items())
        assert len(results) == 50


async def test_a_large_text_is_transferred_whole_in_both_directions(opened):
    async with opened(config=tiny()) as client:
        text = "žluťoučký\n" * 200_000
        assert await client.call_tool("echo", {"text": text}) == text


async def test_a_tool_with_an_invalid_name_is_renamed_and_can_be_called(opened):
    async with opened(config=tiny()) as client:
        names = [tool["function"]["name"] for tool in await client.get_tools()]
        assert "odd_name" in names
        assert await client.call_tool("odd_name") == "done"


async def test_with_several_servers_tool_names_begin_with_the_servers_name(opened):
    async with opened(config={"a": TINY, "a_b": TINY}) as client:
        names = {tool["function"]["name"] for tool in await client.get_tools()}
        assert {"a_echo", "a_b_echo"} <= names
        first, second = await client.call_tool("a_pid"), await client.call_tool("a_b_pid")
        assert first != second
        with pytest.raises(InvalidOptionError, match="<server>_<tool>"):
            await client.call_tool("echo", {"text": ""})


async def test_cancelling_a_call_cancels_it_on_the_server(opened):
    async with opened(config=tiny()) as client:
        with anyio.CancelScope() as scope:
            await client.call_tool("hang", on_progress=lambda *_: scope.cancel())
        assert scope.cancelled_caught
        assert len(json.loads(await client.call_tool("cancelled"))) == 1


async def test_progress_is_reported_in_the_callers_task(opened):
    here = anyio.get_current_task().id
    updates = []

    async def tell(progress, total, message):
        await anyio.lowlevel.checkpoint()
        updates.append((progress, total, message, anyio.get_current_task().id))
        if len(updates) == 3:
            raise RuntimeError("enough")

    async with opened(config=tiny()) as client:
        with pytest.raises(RuntimeError, match="enough"):
            await client.call_tool("busy", on_progress=tell)
        assert [update[:3] for update in updates] == [(step, 9, None) for step in (1, 2, 3)]
        assert {update[3] for update in updates} == {here}
        assert len(json.loads(await client.call_tool("cancelled"))) == 1


async def test_progress_does_not_extend_a_timeout(opened):
    updates = []
    async with opened(config=tiny(), timeout=10) as client:
        with pytest.raises(MCPTimeoutError, match="'tiny': tool 'busy' gave no answer within 1 s"):
            await client.call_tool("busy", timeout=1.0, on_progress=lambda *update: updates.append(update))
        assert updates
        assert len(json.loads(await client.call_tool("cancelled"))) == 1


async def test_a_callers_deadline_raises_timeout_error_not_an_mcp_error(opened):
    async with opened(config=tiny(), timeout=10) as client:
        with pytest.raises(TimeoutError) as caught, anyio.fail_after(0.2):
            await client.call_tool("hang")
        assert not isinstance(caught.value, MCPTimeoutError)


async def test_a_failing_tool_raises_an_error_with_its_own_text(opened):
    async with opened(config=tiny()) as client:
        result = {"content": [{"type": "text", "text": "no such city"}], "isError": True}
        with pytest.raises(ToolError, match=r"^no such city$"):
            await client.call_tool("give", {"result": result})


async def test_an_answer_that_violates_the_protocol_raises_an_mcp_error(opened):
    async with opened(config=tiny()) as client:
        with pytest.raises(MCPError, match="violated the protocol"):
            await client.call_tool("give", {"result": {"content": 7}})
        assert await client.call_tool("echo", {"text": "still there"}) == "still there"


async def test_other_output_on_a_servers_stdout_is_ignored(opened):
    async with opened(config=tiny()) as client:
        assert await client.call_tool("babble", {"text": "Listening...\n{}"}) == "done"


async def test_calls_to_a_dead_server_fail_with_its_last_stderr(opened):
    async with opened(config=tiny()) as client:
        for _ in range(2):
            with pytest.raises(MCPConnectionError) as caught:
                await client.call_tool("die", {"status": 3, "words": "out of\ncheese"})
            assert caught.value.server == "tiny"
            assert caught.value.stderr == "out of\ncheese"
            assert "'tiny': it exited with status 3; its last lines on stderr:\nout of\ncheese" in str(caught.value)


async def test_every_call_in_flight_fails_if_the_server_is_killed(opened):
    async with opened(config=tiny()) as client:
        pid = int(await client.call_tool("pid"))
        failures, started = [], []

        def kill(*_):
            started.append(1)
            if len(started) == 5:
                os.kill(pid, signal.SIGKILL)

        async def call():
            with pytest.raises(MCPConnectionError, match="was killed by SIGKILL") as caught:
                await client.call_tool("hang", on_progress=kill)
            failures.append(caught.value)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
        assert len(failures) == 5


async def test_a_bounded_part_of_stderr_is_kept(opened):
    async with opened(config=tiny()) as client:
        with pytest.raises(MCPConnectionError) as caught:
            await client.call_tool("die", {"status": 1, "words": "x" * 3000 + "\nline" * 5000})
        assert len(caught.value.stderr.splitlines()) == 20


async def test_with_reconnect_the_next_call_restarts_a_dead_server_and_the_failed_one_is_not_repeated(opened, tmp_path):
    config = tiny(env={"TRACE": str(tmp_path)})
    async with opened(config=config, reconnect=True) as client:
        first = await client.call_tool("pid")
        with pytest.raises(MCPConnectionError, match="exited with status 1"):
            await client.call_tool("die", {"status": 1})
        pids = []

        async def call():
            pids.append(await client.call_tool("pid"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
        assert len(set(pids)) == 1  # one new connection for all
        assert first not in pids


async def test_a_failed_reconnect_raises_and_the_next_call_tries_again(opened, tmp_path):
    command = tmp_path / "server"
    command.symlink_to(sys.executable)
    config = {"moved": {**TINY, "command": str(command)}}
    async with opened(config=config, reconnect=True) as client:
        command.unlink()
        for reason in ("exited", "was not found", "was not found"):
            with pytest.raises(MCPConnectionError, match=reason):
                await client.call_tool("die", {"status": 1})
        command.symlink_to(sys.executable)
        assert await client.call_tool("echo", {"text": "back"}) == "back"


async def test_cancelling_a_connect_reaps_the_child(opened, children, monkeypatch):
    monkeypatch.setattr("aimu.aio._mcp.process.EXIT", 90)  # which is not waited for
    with anyio.fail_after(PATIENCE), anyio.move_on_after(0.2) as scope:
        async with opened(config=tiny("mute", "stubborn")):
            raise AssertionError("it never answers")
    assert scope.cancelled_caught
    assert children() == []


def test_a_native_cancel_of_a_connect_reaps_the_child(children):
    async def block():
        async with aio.MCPClient(config=tiny("mute", "stubborn")):
            raise AssertionError("it never answers")

    async def main(open_client):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(open_client(), 0.2)
        assert children() == []

    for open_client in (lambda: aio.MCPClient.connect(config=tiny("mute", "stubborn")), block):
        asyncio.run(main(open_client))


async def test_a_handshake_without_an_answer_ends_at_the_timeout(opened, children):
    with pytest.raises(MCPTimeoutError, match="'tiny' did not answer the handshake within 0.2 s"):
        async with opened(config=tiny("mute"), timeout=0.2):
            raise AssertionError("it never answers")
    assert children() == []


async def test_the_error_says_why_a_server_did_not_start(opened):
    for server, reason in {
        ("no-such-server",): "'no-such-server' was not found; install it",
        (sys.executable, "-c", "raise SystemExit('no licence')"): "exited with status 1.*\nno licence",
    }.items():
        with pytest.raises(MCPConnectionError, match=f"(?s)MCP server 'x': .*{reason}"):
            async with opened(config={"x": {"command": server[0], "args": list(server[1:])}}):
                raise AssertionError("there is no server")
    with pytest.raises(MCPConnectionError, match="no folder '/no/such'"):
        async with opened(config={"x": {**TINY, "cwd": "/no/such"}}):
            raise AssertionError("there is no server")


async def test_if_one_of_several_servers_fails_to_start_the_others_are_stopped(opened, children):
    with pytest.raises(MCPConnectionError, match="'bad'"):
        async with opened(config={"good": TINY, "bad": {"command": "no-such-server"}}):
            raise AssertionError("one is missing")
    assert children() == []


async def test_closing_kills_a_server_that_does_not_exit_and_its_children(opened, monkeypatch, children):
    monkeypatch.setattr("aimu.aio._mcp.process.EXIT", 0.1)
    async with opened(config=tiny("stubborn")) as client:
        child = psutil.Process(int(await client.call_tool("breed")))
    await ended(child)
    assert children() == []


async def test_the_children_of_a_dead_server_are_killed(opened):
    async with opened(config=tiny()) as client:
        child = psutil.Process(int(await client.call_tool("breed")))
        with pytest.raises(MCPConnectionError):
            await client.call_tool("die", {"status": 0})
        await ended(child)


async def test_a_server_gets_few_variables_of_the_parent_and_those_of_its_config(opened, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("CITY", "Lund")
    async with opened(config=tiny(env={"PLACE": "${CITY}, ${COUNTRY:-Sweden}"})) as client:
        environ = json.loads(await client.call_tool("environ"))
    assert environ["PLACE"] == "Lund, Sweden"
    assert "PATH" in environ
    assert "OPENAI_API_KEY" not in environ


async def test_closing_fails_calls_in_flight_and_later_ones_and_may_be_repeated(opened):
    async with opened(config=tiny()) as client:
        failures = []

        async def call(started):
            with pytest.raises(ClosedClientError) as caught:
                await client.call_tool("hang", on_progress=lambda *_: started.set())
            failures.append(caught.value)

        async with anyio.create_task_group() as group:
            started = anyio.Event()
            group.start_soon(call, started)
            await started.wait()
            for _ in range(3):  # from other tasks, at once
                group.start_soon(client.aclose)
        assert len(failures) == 1
        for _ in range(2):
            with pytest.raises(ClosedClientError, match="the MCP client of 'tiny' is closed"):
                await client.call_tool("echo", {"text": ""})
            await client.aclose()


async def test_a_client_can_be_closed_in_another_task_than_it_was_opened_in():
    box = []

    async def connect():
        box.append(await aio.MCPClient.connect(config=tiny()))

    async with leak_check():
        for work in (connect, lambda: box[0].call_tool("pid"), lambda: box.pop().aclose()):
            async with anyio.create_task_group() as group:
                group.start_soon(work)


def test_a_client_outlives_the_loop_that_opened_it():
    async def call():
        return await client.call_tool("echo", {"text": "here"})

    client = anyio.run(lambda: aio.MCPClient.connect(config=tiny()), backend="trio")
    assert anyio.run(call, backend="asyncio") == anyio.run(call, backend="trio") == "here"
    anyio.run(client.aclose, backend="asyncio")


async def test_an_exception_in_the_block_is_not_wrapped_in_a_group():
    with pytest.raises(ZeroDivisionError):
        async with aio.MCPClient(config=tiny()):
            raise ZeroDivisionError
    with pytest.raises(ExceptionGroup) as caught:
        async with aio.MCPClient(config=tiny()):
            raise ExceptionGroup("mine", [ZeroDivisionError()])
    assert caught.value.message == "mine"


async def test_a_cancelled_block_leaves_nothing_behind():
    async with leak_check():
        with anyio.CancelScope() as scope:
            async with aio.MCPClient(config=tiny()) as client:
                await client.call_tool("hang", on_progress=lambda *_: scope.cancel())
        assert scope.cancelled_caught


def test_an_unclosed_client_neither_delays_the_exit_of_the_program_nor_outlives_it():
    program = (
        "import anyio\nfrom aimu import aio\n"
        "async def main():\n"
        f"    client = await aio.MCPClient.connect(config={tiny()!r})\n"
        "    await client.ping()\n    print(await client.call_tool('pid'))\n"
        "    return client\n"
        "client = anyio.run(main)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stderr == ""
    assert not psutil.pid_exists(int(run.stdout))


async def test_a_dropped_client_is_closed():
    client = await aio.MCPClient.connect(config=tiny())
    server = psutil.Process(int(await client.call_tool("pid")))
    del client
    await ended(server)


async def test_the_error_of_an_unconnected_client_names_the_remedy():
    client = aio.MCPClient(config=tiny())
    with pytest.raises(InvalidOptionError, match="not connected; connect it with `async with`"):
        await client.get_tools()
    await client.aclose()
    with pytest.raises(ClosedClientError):
        async with client:
            raise AssertionError("it is closed")


async def test_a_fastmcp_server_over_stdio(opened):
    async with opened(config={"friend": FRIEND}) as client:
        updates = []
        assert await client.call_tool("add", {"a": 1, "b": 2}) == "3"
        assert (
            await client.call_tool("count", {"to": 3}, on_progress=lambda *update: updates.append(update)) == "counted"
        )
        assert updates == [(step, 3, f"step {step}") for step in (1, 2, 3)]
        with pytest.raises(ToolError, match="bad luck"):
            await client.call_tool("fail", {"reason": "bad luck"})
        with anyio.CancelScope() as scope:
            await client.call_tool("wait", on_progress=lambda *_: scope.cancel())
        assert await client.call_tool("cancellations") == '["wait"]'
        text, image = await client.call_tool("picture")
        assert text == {"type": "text", "text": "a dot"}
        assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
