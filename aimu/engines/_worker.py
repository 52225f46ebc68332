"""Owns one thread for each set of weights, and passes its results to readers in other threads and event loops.

Owns the start and end of the thread, and its readers; `_rounds` is what the thread runs. Knows no model: a request is a
function. Never computes two things at once, and never waits for a reader.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import AsyncGenerator, Callable
from threading import Event, Thread, current_thread
from typing import Any, TypeVar, final
from weakref import WeakKeyDictionary, finalize

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from aimu._core.slots import loop_caller
from aimu.engines._rounds import Job, QueuedRequest, RequestQueue, Shared, StopFlag
from aimu.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")


@final
class _Bell:
    """Wakes the task that made it, from any thread; ringing costs nothing if the task is not waiting."""

    def __init__(self) -> None:
        self._call = loop_caller()
        self._event: anyio.Event | None = None

    def ring(self) -> bool:
        """Wake the task; return False if its event loop has ended."""
        event = self._event
        if event is not None:
            self._event = None
            try:
                self._call(event.set)
            except RuntimeError:
                return False
        return True

    async def wait(self, ready: Callable[[], object]) -> None:
        """Return once `ready()` is true, which is checked after each ring."""
        while not ready():
            event = self._event = anyio.Event()
            if ready():  # it may have become true before there was an event to set
                self._event = None
                return
            await event.wait()

    async def wait_through(self, ready: Callable[[], object]) -> None:
        """Wait as `wait`, but raise a cancellation, also by a native `Task.cancel()`, only once `ready()` is true."""
        if ready():
            return
        interruption: BaseException | None = None
        # Shielded, since the thread still uses what the caller would free. The bound is the worker's: it leaves a
        # stopped request at its next token or slice of the prompt, and it never waits for an async task.
        with anyio.CancelScope(shield=True):
            while not ready():
                try:
                    await self.wait(ready)
                except BaseException as exc:  # noqa: BLE001 - raised below
                    interruption = exc
        if interruption is not None:
            raise interruption


@final
class _Hold:
    """Held by the reader only, so that its request stops if the reader is collected without its clean-up."""

    def __init__(self, queue: RequestQueue, request: QueuedRequest[Any, Any]) -> None:
        self._queue, self._request = queue, request

    def stop(self) -> None:
        self._queue.withdraw(self._request)

    __del__ = stop


_live: WeakKeyDictionary[Thread, RequestQueue] = WeakKeyDictionary()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_live.clear)  # a child has none of the threads


def _close(queue: RequestQueue, pid: int) -> None:
    if pid == os.getpid():  # in a forked child, the thread may hold the lock of the queue for ever
        queue.close()


@atexit.register
def _end_all() -> None:
    """End all threads: native code that still computes while the interpreter shuts down crashes it."""
    for thread, queue in list(_live.items()):
        queue.leave_readers()
        queue.close()
        thread.join()  # until the next token, or slice of a prompt


@final
class Worker:
    """Runs jobs in its own thread, in the order in which they came: one at a time, or up to `share` that are `Shared`.

    All methods may be called from any thread and any event loop. After `close` they raise ClosedClientError; in a child
    of `os.fork()`, which does not have the thread, they raise EngineError.
    """

    def __init__(self, name: str, *, share: int = 1) -> None:
        self._pid = os.getpid()
        self._queue = RequestQueue(share)
        # A daemon, since the interpreter joins other threads before any code can tell them to end.
        self._thread = Thread(target=self._queue.serve, name=name, daemon=True)
        self.requests: int = 0  # number of jobs accepted so far
        finalize(self, _close, self._queue, self._pid).atexit = False
        _live[self._thread] = self._queue
        self._thread.start()

    @property
    def running(self) -> int:
        """Number of jobs that run."""
        return len(self._queue.running)

    @property
    def waiting(self) -> int:
        """Number of jobs that wait in the queue."""
        return len(self._queue.waiting)

    def run_sync(self, fn: Callable[[], R]) -> R:
        """Run `fn` and return its result; blocks the calling thread."""
        return self.run_stoppable(lambda stopped: fn())

    def run_stoppable(self, fn: Callable[[StopFlag], R]) -> R:
        """Run `fn` as `run_sync`, with a flag that is set if the calling thread is interrupted or this is closed."""
        done = Event()

        def notify() -> bool:
            done.set()
            return True

        request = QueuedRequest[None, R](lambda emit, stopped: fn(stopped), notify, discard=True)
        hold = self._put(request)
        try:
            done.wait()  # as long as `fn` takes: the caller is sync code, and an exception in it stops the wait
        finally:
            hold.stop()
        return request.outcome()

    async def run(self, job: Job[Any, R] | Shared[Any, R]) -> R:
        """Run `job` and return its result. A cancellation stops the job and is raised once the thread has left it."""
        await checkpoint_if_cancelled()
        bell = _Bell()
        request = QueuedRequest[Any, R](job, bell.ring, discard=True)
        hold = self._put(request)
        try:
            await bell.wait(lambda: request.left)
        finally:
            hold.stop()
            await bell.wait_through(lambda: request.left)
        return request.outcome()

    async def stream(self, job: Job[T, R] | Shared[T, R]) -> AsyncGenerator[T | R, None]:
        """Yield the items that `job` emits as they come, then its result.

        Closing the generator, or a cancellation in it, stops the job and waits until the thread has left it.
        """
        await checkpoint_if_cancelled()
        bell = _Bell()
        request = QueuedRequest[T, R](job, bell.ring)
        hold = self._put(request)
        items = request.items
        try:
            while not request.left or items:  # in this order, so that no item emitted before the end is lost
                while items:
                    yield items.popleft()
                await checkpoint_if_cancelled()
                await bell.wait(lambda: items or request.left)
        finally:
            hold.stop()
            await bell.wait_through(lambda: request.left)
        yield request.outcome()

    def close(self, free: Callable[[], object] | None = None) -> None:
        """Stop running jobs, refuse waiting ones, call `free` in the thread and join it. Idempotent."""
        if self._pid == os.getpid():
            self._queue.close(free)
            if self._thread is not current_thread():
                self._thread.join()  # jobs stop at the next token, or slice of a prompt; then `free` runs

    async def aclose(self, free: Callable[[], object] | None = None) -> None:
        """Do as `close`, without blocking the event loop."""
        if self._pid == os.getpid():
            bell = _Bell()
            self._queue.at_end.append(bell.ring)
            self._queue.close(free)
            await bell.wait_through(lambda: self._queue.ended)
            self._thread.join()  # it has nothing left to do

    def _put(self, request: QueuedRequest[Any, Any]) -> _Hold:
        if self._pid != os.getpid():
            raise EngineError(
                "this engine was made before os.fork() and cannot be used in the child process; make it after the "
                "fork, or start processes with multiprocessing's method 'spawn'"
            )
        hold = _Hold(self._queue, request)
        self._queue.put(request)
        self.requests += 1
        return hold
