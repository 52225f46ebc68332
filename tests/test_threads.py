"""run_in_thread: whatever cancels the task, the thread has left the function before the task goes on."""

import asyncio
import contextvars
import threading

import anyio
import pytest
from anyio import from_thread

from aimu._core.threads import run_in_thread, settled_in_thread

variable = contextvars.ContextVar("variable", default="unset")


class Gate:
    """A sync function that reports that it began, then waits until it is let go."""

    def __init__(self):
        self.began = anyio.Event()
        self.open = threading.Event()
        self.left = False
        self.thread = None

    def __call__(self, result="done"):
        self.thread = threading.get_ident()
        from_thread.run_sync(self.began.set)
        assert self.open.wait(10)
        self.left = True
        if isinstance(result, Exception):
            raise result
        return result


async def test_it_returns_what_the_function_returns_from_another_thread():
    assert await run_in_thread(divmod, 7, 2) == (3, 1)
    assert await run_in_thread(threading.get_ident) != threading.get_ident()


async def test_what_the_function_returns_is_awaited_in_the_task():
    async def name():
        await anyio.lowlevel.checkpoint()
        return threading.current_thread().name

    here = threading.current_thread().name
    assert await settled_in_thread(name) == here
    assert await settled_in_thread(lambda: name()) == here
    assert await settled_in_thread(lambda: threading.current_thread().name) != here


async def test_it_raises_what_the_function_raises():
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(divmod, 7, 0)


async def test_the_function_sees_a_copy_of_the_context_variables():
    variable.set("task")
    assert await run_in_thread(variable.get) == "task"
    await run_in_thread(variable.set, "thread")
    assert variable.get() == "task"


async def test_a_cancelled_scope_waits_for_the_thread():
    gate = Gate()
    async with anyio.create_task_group() as group:

        async def call():
            await run_in_thread(gate)

        group.start_soon(call)
        await gate.began.wait()
        group.cancel_scope.cancel()
        gate.open.set()
    assert gate.left


async def test_check_cancelled_ends_the_function_when_the_scope_is_cancelled():
    polls = []
    began = anyio.Event()

    def poll():
        from_thread.run_sync(began.set)
        while True:
            from_thread.check_cancelled()
            polls.append(1)

    async with anyio.create_task_group() as group:
        group.start_soon(run_in_thread, poll)
        await began.wait()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught


async def test_a_function_never_begins_when_cancelled_while_it_waits_for_the_limiter():
    limiter = anyio.CapacityLimiter(1)
    begun = []
    async with limiter:
        with anyio.move_on_after(0.01) as scope:
            await run_in_thread(begun.append, 1, limiter=limiter)
    assert scope.cancelled_caught
    assert not begun
    await run_in_thread(begun.append, 2, limiter=limiter)
    assert begun == [2]


async def test_a_thread_may_call_back_a_coroutine_that_runs_a_thread_under_the_same_limiter():
    limiter = anyio.CapacityLimiter(2)

    async def inner():
        return await run_in_thread(int, "7", limiter=limiter)

    assert await run_in_thread(from_thread.run, inner, limiter=limiter) == 7


asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)


@asyncio_only
@pytest.mark.parametrize("result", ["done", ValueError("boom")], ids=["returns", "raises"])
@pytest.mark.parametrize("cancels", [1, 3])
async def test_a_natively_cancelled_task_waits_for_the_thread_and_is_then_cancelled(result, cancels):
    gate, limiter = Gate(), anyio.CapacityLimiter(1)
    task = asyncio.create_task(run_in_thread(gate, result, limiter=limiter))
    await gate.began.wait()
    for _ in range(cancels):
        task.cancel("stop")
        await anyio.wait_all_tasks_blocked()
        assert not task.done()
        assert limiter.borrowed_tokens == 1
    gate.open.set()
    with pytest.raises(asyncio.CancelledError, match="stop"):
        await task
    assert gate.left
    assert limiter.borrowed_tokens == 0


@asyncio_only
async def test_check_cancelled_sees_a_native_cancel():
    began = anyio.Event()

    def poll():
        from_thread.run_sync(began.set)
        while True:
            from_thread.check_cancelled()

    task = asyncio.create_task(run_in_thread(poll))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@asyncio_only
async def test_a_native_timeout_around_the_call_is_a_timeout_after_the_thread_has_left():
    gate = Gate()

    async def call():
        async with asyncio.timeout(None) as timeout:
            timeouts.append(timeout)
            await run_in_thread(gate)

    timeouts = []
    task = asyncio.create_task(call())
    await gate.began.wait()
    timeouts[0].reschedule(0)
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    gate.open.set()
    with pytest.raises(TimeoutError):
        await task
    assert gate.left


@asyncio_only
async def test_an_aimless_scope_around_a_native_cancel_does_not_swallow_it():
    gate = Gate()

    async def call():
        with anyio.CancelScope() as scope:
            scope_ready.append(scope)
            await run_in_thread(gate)
        return "swallowed"

    scope_ready = []
    task = asyncio.create_task(call())
    await gate.began.wait()
    scope_ready[0].cancel()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@asyncio_only
async def test_a_task_cancelled_before_its_first_step_never_begins_the_function():
    begun = []
    task = asyncio.create_task(run_in_thread(begun.append, 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not begun


@asyncio_only
@pytest.mark.parametrize("steps", range(8))
async def test_at_every_step_a_native_cancel_leaves_no_thread_in_the_function(steps):
    inside = threading.Event()
    release = threading.Event()

    def func():
        inside.set()
        release.wait(10)
        inside.clear()

    task = asyncio.create_task(run_in_thread(func))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not inside.is_set()
