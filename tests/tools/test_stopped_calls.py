"""Calls that a timeout or a cancellation stops."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest
from anyio import from_thread

from aimu.tools import tool
from tests.holding import Hold, until
from tests.tools.record import Record


async def test_an_async_tool_is_stopped_at_its_timeout_and_the_model_is_told():
    cleaned = []

    @tool(timeout=0.01)
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(1)

    start, content = await Record().run(slow)
    assert (start, cleaned) == ("start", [1])
    assert "did not end within 0.01 seconds" in content


async def test_a_timeout_error_raised_by_the_tool_is_a_failure_and_not_its_timeout():
    @tool(timeout=60)
    async def slow() -> None:
        raise TimeoutError("mine")

    assert (await Record().run(slow))[1] == "Error: TimeoutError: mine"


async def test_a_sync_tool_past_its_timeout_runs_to_its_end_and_keeps_its_result():
    with Hold() as hold:

        @tool(timeout=0.2)
        def slow() -> str:
            hold()
            return "late"

        async with anyio.create_task_group() as group:

            async def release():
                await until(hold.reached.is_set)
                await anyio.sleep(0.3)
                hold.released.set()

            group.start_soon(release)
            assert await Record().run(slow) == ["start", "late"]


async def test_a_sync_tool_that_polls_is_stopped_at_its_timeout():
    @tool(timeout=0.01)
    def poll() -> None:
        while True:
            from_thread.check_cancelled()

    assert "did not end within" in (await Record().run(poll))[1]


class Gate:
    def __init__(self):
        self.began, self.open = anyio.Event(), threading.Event()

    def wait(self) -> str:
        from_thread.run_sync(self.began.set)
        assert self.open.wait(10)
        return "kept"


async def test_a_sync_tool_keeps_its_result_if_its_scope_is_cancelled():
    gate, record = Gate(), Record()
    async with anyio.create_task_group() as group:
        group.start_soon(record.run, gate.wait)
        await gate.began.wait()
        group.cancel_scope.cancel()
        gate.open.set()
    assert record.events == ["start", "kept"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_sync_tool_keeps_its_result_after_a_native_cancel():
    gate, record = Gate(), Record()
    task = asyncio.create_task(record.run(gate.wait))
    await gate.began.wait()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert record.events == ["start", "kept"]


async def test_a_cancelled_async_tool_gets_no_result():
    record = Record()

    async def forever() -> None:
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(record.run, forever)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert record.events == ["start"]
