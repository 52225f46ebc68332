"""The worker: one thread, one request at a time, and readers that are slow, cancelled, dropped or dead."""

import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import aclosing

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu.engines._worker import Worker
from aimu.errors import ClosedClientError, EngineError
from tests.holding import Hold, join, until


@pytest.fixture
def worker():
    worker = Worker("test worker")
    yield worker
    worker.close()
    assert not worker._thread.is_alive()


class Gate:
    """A job that runs until it is released or stopped, and records which."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()
        self.was_stopped = False

    def __call__(self, emit, stopped):
        self.entered.set()
        emit("in")
        while not self.open.wait(0.001):
            if stopped():
                self.was_stopped = True
                break
        return "out"

    async def wait_entered(self):
        await until(self.entered.is_set)


def counting(n):
    def job(emit, stopped):
        for i in range(n):
            if stopped():
                return None
            emit(i)
        return "end"

    return job


def endless(emit, stopped):
    i = 0
    while not stopped():
        emit(i)
        i += 1
        time.sleep(0)


async def read(worker, job):
    async with aclosing(worker.stream(job)) as items:
        return [item async for item in items]


async def test_a_stream_yields_the_items_of_the_job_and_then_its_result(worker):
    assert await read(worker, counting(10_000)) == [*range(10_000), "end"]
    assert await worker.run(counting(5)) == "end"
    assert (worker.requests, worker.running, worker.waiting) == (2, 0, 0)


async def test_items_arrive_while_the_job_runs(worker):
    gate = Gate()
    async with aclosing(worker.stream(gate)) as items:
        assert await anext(items) == "in"
        assert worker.running == 1
        gate.open.set()
        assert [item async for item in items] == ["out"]


async def test_an_error_in_a_job_is_raised_in_its_reader_only(worker):
    def failing(emit, stopped):
        emit("before")
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await worker.run(failing)
    seen = []
    with pytest.raises(LookupError):
        async with aclosing(worker.stream(failing)) as items:
            async for item in items:
                seen.append(item)
    assert seen == ["before"]
    assert await worker.run(counting(1)) == "end"


async def test_requests_run_one_at_a_time_in_order_of_arrival(worker):
    order, inside = [], []

    def job(n):
        def run(emit, stopped):
            inside.append(n)
            order.append((n, len(inside)))
            inside.remove(n)
            return n

        return run

    gate = Gate()
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run, gate)
        await gate.wait_entered()
        for n in range(20):
            group.start_soon(worker.run, job(n))
            await anyio.wait_all_tasks_blocked()
        assert worker.waiting == 20
        gate.open.set()
    assert order == [(n, 1) for n in range(20)]


async def test_a_stalled_reader_does_not_delay_the_worker(worker):
    async with aclosing(worker.stream(counting(1000))) as stalled:
        assert await anext(stalled) == 0
        assert await worker.run(counting(3)) == "end"
        assert [item async for item in stalled] == [*range(1, 1000), "end"]


@pytest.mark.parametrize("form", ["run", "stream"])
async def test_a_cancelled_request_has_left_the_thread(worker, form):
    gate = Gate()
    call = worker.run if form == "run" else (lambda job: read(worker, job))
    async with anyio.create_task_group() as group:
        group.start_soon(call, gate)
        await gate.wait_entered()
        group.cancel_scope.cancel()
    assert gate.was_stopped
    assert worker.running == 0


async def test_a_request_cancelled_in_the_queue_never_begins_and_returns_at_once(worker):
    gate, queued = Gate(), Gate()
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run, gate)
        await gate.wait_entered()
        with anyio.move_on_after(0.01) as scope:
            await worker.run(queued)
        assert scope.cancelled_caught
        assert (worker.running, worker.waiting) == (1, 0)
        gate.open.set()
    assert await worker.run(counting(1)) == "end"
    assert not queued.entered.is_set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancel_is_raised_only_after_the_thread_has_left_the_request(worker):
    import asyncio

    for call in (worker.run, lambda job: read(worker, job)):
        with Hold() as slow:
            entered = threading.Event()

            def job(emit, stopped, entered=entered, slow=slow):
                entered.set()
                while not stopped():
                    time.sleep(0.001)
                slow()
                return "out"

            task = asyncio.create_task(call(job))
            await until(entered.is_set)
            for _ in range(3):
                task.cancel()
                await anyio.wait_all_tasks_blocked()
                assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert worker.running == 0


async def test_closing_a_stream_waits_until_its_job_has_left(worker):
    gate = Gate()
    items = worker.stream(gate)
    assert await anext(items) == "in"
    await items.aclose()
    assert gate.was_stopped
    assert worker.running == 0


async def test_an_exception_in_the_block_stops_the_job(worker):
    gate = Gate()
    with pytest.raises(KeyError):
        async with aclosing(worker.stream(gate)) as items:
            async for _ in items:
                raise KeyError
    assert gate.was_stopped


@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")
async def test_a_dropped_stream_stops_its_job_before_the_next_begins(worker):
    gate = Gate()
    items = worker.stream(gate)
    assert await anext(items) == "in"
    del items
    gc.collect()
    assert await worker.run(lambda emit, stopped: gate.was_stopped) is True


async def test_a_stream_that_is_never_read_makes_no_request(worker):
    await worker.stream(counting(3)).aclose()
    assert worker.requests == 0


def run_in_thread(backend, function):
    failures = []

    def target():
        try:
            anyio.run(function, backend=backend)
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=target)
    thread.start()
    return thread, failures


def test_two_loops_in_two_threads_take_turns_on_a_worker(worker):
    inside, most = [], []

    def job(emit, stopped):
        inside.append(1)
        most.append(len(inside))
        for i in range(50):
            emit(i)
        inside.pop()
        return "end"

    async def main():
        async def one():
            assert await read(worker, job) == [*range(50), "end"]

        async with anyio.create_task_group() as group:
            for _ in range(25):
                group.start_soon(one)

    threads = [run_in_thread(backend, main) for backend in ("asyncio", "trio")]
    join(thread for thread, _ in threads)
    assert not any(failures for _, failures in threads)
    assert most == [1] * 50


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_during_a_request_does_not_block_the_worker(worker, backend):
    async def main():
        items = worker.stream(endless)
        await anext(items)
        left.append(items)

    left = []
    anyio.run(main, backend=backend)
    assert worker.run_sync(lambda: "next") == "next"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python warns of any such generator
def test_an_event_loop_closed_without_clean_up_does_not_block_the_worker(worker):
    import asyncio

    loop = asyncio.new_event_loop()
    items = worker.stream(endless)
    loop.run_until_complete(anext(items))
    loop.close()
    del items
    gc.collect()
    assert worker.run_sync(lambda: "next") == "next"


async def test_closing_stops_running_jobs_and_refuses_waiting_and_new_ones(worker):
    gate, freed = Gate(), []
    refused = []

    async def ask(job):
        try:
            await worker.run(job)
        except ClosedClientError:
            refused.append(job)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, gate)
        await gate.wait_entered()
        group.start_soon(ask, counting(1))
        await anyio.wait_all_tasks_blocked()
        await worker.aclose(lambda: freed.append(threading.current_thread().name))
    assert len(refused) == 2
    assert gate.was_stopped
    await worker.aclose()
    worker.close()
    assert freed == ["test worker"]
    with pytest.raises(ClosedClientError):
        await worker.run(counting(1))
    with pytest.raises(ClosedClientError):
        worker.run_sync(lambda: 1)


async def test_closing_from_another_thread_does_not_need_the_reader(worker):
    gate = Gate()
    async with aclosing(worker.stream(gate)) as items:
        assert await anext(items) == "in"
        worker.close()  # in the loop's thread, while the stream is open
        with pytest.raises(ClosedClientError):
            await anext(items)


def test_an_unreferenced_worker_ends_its_thread():
    worker = Worker("forgotten")
    thread = worker._thread
    assert worker.run_sync(lambda: threading.current_thread()) is thread
    del worker
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_the_interpreter_exits_while_a_worker_computes():
    code = """
import threading
from aimu.engines._worker import Worker
worker = Worker("busy")
begun = threading.Event()
def job(emit, stopped):
    begun.set()
    while not stopped(): pass
def ask():
    import anyio
    try: anyio.run(worker.run, job)
    except BaseException: pass
threading.Thread(target=ask, daemon=True).start()
begun.wait()
print("leaving")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)"])
def test_a_program_that_exits_while_a_daemon_thread_reads_prints_nothing(end):
    code = """
import threading, anyio
from aimu.engines._worker import Worker
worker = Worker("busy")
begun = threading.Event()
def job(emit, stopped):
    while not stopped(): emit("word")
async def read():
    async for word in worker.stream(job): begun.set()
threading.Thread(target=anyio.run, args=(read,), daemon=True).start()
begun.wait()
threading.Thread(target=anyio.run, args=(worker.run, job), daemon=True).start()
while not worker.waiting: pass
"""
    done = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3 if end else 0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_worker_refuses_a_forked_child_and_keeps_serving_the_parent(worker):
    worker.run_sync(lambda: None)
    child = os.fork()
    if not child:
        status = 1
        try:
            worker.close()  # must neither do anything nor hang
            worker.run_sync(lambda: None)
        except EngineError as exc:
            status = 0 if "fork" in str(exc) else 2
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert worker.run_sync(lambda: 7) == 7


async def test_cancelling_at_any_moment_leaves_the_worker_usable(worker):
    for k in range(40):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def canceller(k=k, scope=scope):
                    for _ in range(k):
                        await checkpoint()
                    scope.cancel()

                group.start_soon(canceller)
                await read(worker, counting(200))
        assert worker.running == 0
    assert await read(worker, counting(3)) == [0, 1, 2, "end"]
