"""One thread per set of weights, and the bridge that carries what it makes to whoever waits for it.

Owns the queue (first come, first served, over all event loops and threads), the stop flag and the end of the thread.
Knows no model: a request is a function. Never runs two requests at once, and never waits for a reader.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread, current_thread
from typing import Any, Generic, TypeAlias, TypeVar, cast, final
from weakref import WeakKeyDictionary, finalize

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import define, field

from aimu.core.slots import loop_caller
from aimu.errors import ClosedClientError, EngineError

T = TypeVar("T")
R = TypeVar("R")


@final
class StopFlag:
    """Called, it says whether a request is to be left.

    `cell` is empty as a C string until then: what native code can look at, which runs without the GIL.
    """

    __slots__ = ("cell",)

    def __init__(self) -> None:
        self.cell = bytearray(2)

    def __call__(self) -> bool:
        return self.cell[0] != 0

    def set(self) -> None:
        self.cell[0] = 1


Emit: TypeAlias = Callable[[T], object]
Job: TypeAlias = Callable[[Emit[T], StopFlag], R]
"""A request: calls `emit` for each piece, looks at `stopped()` between steps and leaves early when it is true."""

_log = logging.getLogger("aimu.engines")


@final
class _Bell:
    """Wakes the one task that made it, from any thread; rings that nobody waits for cost nothing."""

    def __init__(self) -> None:
        self._call = loop_caller()
        self._event: anyio.Event | None = None

    def ring(self) -> bool:
        """False if there is nobody left to be woken: the event loop has ended."""
        event = self._event
        if event is not None:
            self._event = None
            try:
                self._call(event.set)
            except RuntimeError:
                return False
        return True

    async def wait(self, ready: Callable[[], object]) -> None:
        """Return once `ready()`, which is looked at after each ring."""
        while not ready():
            event = self._event = anyio.Event()
            if ready():  # it may have become so before the bell had an event to set
                self._event = None
                return
            await event.wait()

    async def wait_through(self, ready: Callable[[], object]) -> None:
        """As `wait`, but a cancellation, a native `Task.cancel()` too, is delivered only when `ready()`."""
        if ready():
            return
        interruption: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not ready():
                try:
                    await self.wait(ready)
                except BaseException as exc:  # noqa: BLE001 - raised below
                    interruption = exc
        if interruption is not None:
            raise interruption


@define(eq=False)
class _Request(Generic[T, R]):
    """One job, in the queue or in the thread. The thread writes and the reader reads; a lock is needed nowhere."""

    job: Job[T, R]
    notify: Callable[[], bool]
    discard: bool = False
    items: deque[T] = field(factory=deque)
    stopped: StopFlag = field(factory=StopFlag)
    left: bool = False
    closed: bool = False
    error: BaseException | None = None
    returned: R | None = None
    _owner: Lock = field(factory=Lock)

    def claim(self) -> bool:
        """True for the first who asks: the thread that begins the job, or the reader that withdraws it."""
        return self._owner.acquire(blocking=False)

    def emit(self, item: T) -> None:
        if not self.discard:
            self.items.append(item)
            if not self.notify():
                self.stopped.set()

    def execute(self) -> None:
        """Run the job; in the worker's thread."""
        try:
            self.returned = self.job(self.emit, self.stopped)
        except BaseException as exc:  # noqa: BLE001 - raised in the reader, by `outcome`
            self.error = exc
            if self.stopped():
                _log.warning("a stopped request failed, and nobody waits for it", exc_info=exc)

    def leave(self) -> None:
        self.left = True
        self.notify()

    def outcome(self) -> R:
        if self.closed:
            raise ClosedClientError("this engine")
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else the traceback and this frame would hold each other
        return cast(R, self.returned)


@define(eq=False)
class _Queue:
    """What thread and worker share; the thread holds this and not the worker, so a forgotten worker is collected.

    No lock: all of it may be called by the garbage collector, in any thread, in the middle of itself.
    """

    inbox: SimpleQueue[_Request[Any, Any] | None] = field(factory=SimpleQueue[_Request[Any, Any] | None])
    waiting: set[_Request[Any, Any]] = field(factory=set[_Request[Any, Any]])
    running: _Request[Any, Any] | None = None
    free: Callable[[], object] | None = None
    bells: list[_Bell] = field(factory=list[_Bell])
    closed: bool = False
    ended: bool = False

    def put(self, request: _Request[Any, Any]) -> None:
        self.waiting.add(request)
        self.inbox.put(request)
        if self.closed and request.claim():  # looked at after the put: what the thread might never see is refused
            self.waiting.discard(request)
            raise ClosedClientError("this engine")

    def withdraw(self, request: _Request[Any, Any]) -> None:
        """Stop a request: one that waits never begins, one that runs leaves at its next look."""
        request.stopped.set()
        if request.claim():
            self.waiting.discard(request)
            request.left = True

    def serve(self) -> None:
        """The thread's whole life."""
        while (request := self.inbox.get()) is not None:
            if request.claim():
                self.waiting.discard(request)
                self.running = request
                if self.closed:
                    request.closed = True
                else:
                    request.execute()
                self.running = None
                request.leave()
            del request  # or the last reply would live as long as the thread waits
        try:
            free, self.free = self.free, None
            if free is not None:
                free()
        finally:
            self.ended = True
            for bell in list(self.bells):
                bell.ring()

    def close(self, free: Callable[[], object] | None = None) -> None:
        """Refuse and stop everything; the thread then calls `free` and ends by itself."""
        if not self.closed:
            self.free = free
            self.closed = True
            if (running := self.running) is not None:
                running.closed = True
                running.stopped.set()
            self.inbox.put(None)


@final
class _Hold:
    """Held by the reader only, so that a reader which vanishes without its clean-up stops its request."""

    def __init__(self, queue: _Queue, request: _Request[Any, Any]) -> None:
        self._queue, self._request = queue, request

    def stop(self) -> None:
        self._queue.withdraw(self._request)

    __del__ = stop


_live: WeakKeyDictionary[Thread, _Queue] = WeakKeyDictionary()


@atexit.register
def _end_all() -> None:
    """Native code that still computes while the interpreter is taken down crashes it."""
    for thread, queue in list(_live.items()):
        queue.close()
        thread.join()


@final
class Worker:
    """Runs jobs one at a time in one thread of its own, in the order in which they came.

    All methods may be used from any thread and any event loop; after `close`
    they raise ClosedClientError, and in a child of `os.fork()`, which has no such thread, EngineError.
    """

    def __init__(self, name: str) -> None:
        self._pid = os.getpid()
        self._queue = _Queue()
        # A daemon, since the interpreter joins other threads before anybody could tell them to end.
        self._thread = Thread(target=self._queue.serve, name=name, daemon=True)
        self.requests = 0  # how many jobs were ever accepted
        finalize(self, self._queue.close).atexit = False
        _live[self._thread] = self._queue
        self._thread.start()

    @property
    def running(self) -> int:
        return int(self._queue.running is not None)

    @property
    def waiting(self) -> int:
        return len(self._queue.waiting)

    def run_sync(self, fn: Callable[[], R]) -> R:
        """What `fn` returns; the calling thread blocks meanwhile."""
        done = Event()

        def notify() -> bool:
            done.set()
            return True

        request = _Request[None, R](lambda emit, stopped: fn(), notify, discard=True)
        hold = self._put(request)
        try:
            done.wait()
        finally:
            hold.stop()
        return request.outcome()

    async def run(self, job: Job[Any, R]) -> R:
        """What `job` returns. A cancellation stops it and is raised when the thread has left it."""
        await checkpoint_if_cancelled()
        bell = _Bell()
        request = _Request[Any, R](job, bell.ring, discard=True)
        hold = self._put(request)
        try:
            await bell.wait(lambda: request.left)
        finally:
            hold.stop()
            await bell.wait_through(lambda: request.left)
        return request.outcome()

    async def stream(self, job: Job[T, R]) -> AsyncGenerator[T | R, None]:
        """What `job` emits, as it comes, and at last what it returns.

        Closing the generator, or a cancellation in it, stops the job and waits until the thread has left it.
        """
        await checkpoint_if_cancelled()
        bell = _Bell()
        request = _Request[T, R](job, bell.ring)
        hold = self._put(request)
        items = request.items
        try:
            while not request.left or items:  # in this order: what was emitted before it left is seen
                while items:
                    yield items.popleft()
                await checkpoint_if_cancelled()
                await bell.wait(lambda: items or request.left)
        finally:
            hold.stop()
            await bell.wait_through(lambda: request.left)
        yield request.outcome()

    def close(self, free: Callable[[], object] | None = None) -> None:
        """Stop what runs, refuse what waits, call `free` in the thread and join it. Idempotent."""
        if self._pid == os.getpid():
            self._queue.close(free)
            if self._thread is not current_thread():
                self._thread.join()

    async def aclose(self, free: Callable[[], object] | None = None) -> None:
        """As `close`, without blocking the event loop."""
        if self._pid == os.getpid():
            bell = _Bell()
            self._queue.bells.append(bell)
            self._queue.close(free)
            await bell.wait_through(lambda: self._queue.ended)
            self._thread.join()

    def _put(self, request: _Request[Any, Any]) -> _Hold:
        if self._pid != os.getpid():
            raise EngineError(
                "this engine was made before os.fork() and cannot be used in the child; make it after the fork, "
                "or start processes with multiprocessing's method 'spawn'"
            )
        hold = _Hold(self._queue, request)
        self._queue.put(request)
        self.requests += 1
        return hold
