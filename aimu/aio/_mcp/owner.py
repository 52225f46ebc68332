"""The task that holds connections, and the way to it from any event loop of any thread.

A connection must be entered and left by one task. That task is `Owner`'s: in a task group of the user's (`async with`),
or, where no block bounds its life, on an asyncio loop in a daemon thread of its own. Work is posted to it and awaited
where it was asked for; a cancellation goes along. Knows nothing of MCP.
"""

from __future__ import annotations

import atexit
import inspect
import math
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from typing import Any, Generic, Protocol, TypeVar, final

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from attrs import define, field

from aimu._core.slots import loop_caller
from aimu.errors import ClosedClientError

T = TypeVar("T")
Report = Callable[..., object]

POLITE = 4.0  # s; what connections get for leaving once the owner was told to end, before they are cancelled
PATIENCE = POLITE + 4.0  # s; what is waited for the owner at most, clean-up of cancelled connections included


class Kept(Protocol):
    """Something that runs in the owner until it is told to leave."""

    async def run(self) -> None:
        """Raises nothing."""
        ...

    def leave(self) -> None: ...


@final
class Latch:
    """Set once, from any thread; awaited in any event loop."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._set = False
        self._waiting: list[Callable[[], object]] = []

    def set(self) -> None:
        with self._lock:
            self._set, waiting = True, self._waiting.copy()
        for wake in waiting:
            with suppress(RuntimeError):  # that loop has ended: nobody waits there
                wake()

    async def wait(self) -> None:
        event = anyio.Event()
        with self._lock:
            self._waiting.append(partial(loop_caller(), event.set))
            if self._set:
                event.set()
        await event.wait()


@final
@define(eq=False)
class _Job(Generic[T]):
    """One piece of work: made and awaited in the asker's loop, run in the owner's."""

    work: Callable[[Report], Awaitable[T]]
    updates: MemoryObjectSendStream[tuple[Any, ...]]  # to the asker's loop, used there only; its close is the end
    tell: Callable[[Callable[[], object]], object] = field(factory=loop_caller)
    results: list[T] = field(factory=list[T])
    failure: Exception | None = None
    cancelled: bool = False
    scope: anyio.CancelScope | None = None

    async def run(self) -> None:
        try:
            with anyio.CancelScope() as self.scope:
                if not self.cancelled:
                    self.results.append(await self.work(self.report))
        except Exception as exc:  # noqa: BLE001 - raised where the work was asked for
            self.failure = exc
        finally:
            self.end()

    def report(self, *update: Any) -> None:
        def send() -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the asker has gone
                self.updates.send_nowait(update)

        with suppress(RuntimeError):
            self.tell(send)

    def end(self) -> None:
        with suppress(RuntimeError):
            self.tell(self.updates.close)

    def cancel(self) -> None:
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()


@final
class Owner:
    """`who` names what it holds, for messages. Told to end, it lets what it keeps leave, and cancels the rest."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._lock = Lock()
        self._posted: list[_Job[Any]] = []
        self._stopping = False
        self._kept: set[Kept] = set()
        self._call: Callable[[Callable[[], object]], object] | None = None  # in the owner's loop, once it runs
        self._ended = Latch()
        self._pid = os.getpid()
        self._thread: Thread | None = None

    def start_thread(self) -> None:
        """Run on an event loop in a thread of its own. A forgotten one does not hold up the end of the program."""

        def run() -> None:
            try:
                anyio.run(self._main, backend="asyncio")
            finally:
                self._ended.set()  # after the loop is closed: then nothing is left but this thread's last step

        self._thread = Thread(target=run, name=f"aimu {self.who}", daemon=True)
        atexit.register(self._end_at_exit)
        self._thread.start()

    async def run_here(self) -> None:
        """Run in the calling task, until told to end; a cancellation from outside does not end it."""
        try:
            with anyio.CancelScope(shield=True):
                await self._main()
        finally:
            self._ended.set()

    async def ask(self, work: Callable[[Report], Awaitable[T]], on_update: Callable[..., object] | None = None) -> T:
        """`await work(report)` in the owner's loop.

        What `work` reports is given to `on_update` (sync or async) in this task. Leaving early cancels the work and
        waits, for a while, until it has ended. ClosedClientError when the owner was told to end.
        """
        updates, receive = anyio.create_memory_object_stream[tuple[Any, ...]](math.inf)
        with updates, receive:
            job = _Job(work, updates)
            self._post(job)
            try:
                async for update in receive:
                    if on_update is not None:
                        pending = on_update(*update)
                        if inspect.isawaitable(pending):
                            await pending
            except BaseException:
                self._soon(job.cancel)
                with anyio.move_on_after(PATIENCE, shield=True):
                    async for _ in receive:
                        pass
                raise
        if job.failure is not None:
            raise job.failure
        if not job.results:
            raise ClosedClientError(self.who)
        return job.results[0]

    def stop(self) -> None:
        """Tell it to end; returns at once, callable from any thread."""
        self._stopping = True  # without the lock: a garbage collection may call this while the lock is held
        self._soon(self._ring)

    async def aclose(self) -> None:
        """Tell it to end and wait until it has, even when cancelled."""
        self.stop()
        if self._alive:
            with anyio.move_on_after(PATIENCE, shield=True):
                await self._ended.wait()
                self._join()

    def keep(self, kept: Kept) -> None:
        """Run `kept`, in the owner's loop, from which this is to be called."""

        async def run() -> None:
            try:
                await kept.run()
            finally:
                self._kept.discard(kept)

        self._kept.add(kept)
        self._group.start_soon(run)

    @property
    def _alive(self) -> bool:
        return self._pid == os.getpid()  # a forked child has neither the thread nor the loop

    def _post(self, job: _Job[Any]) -> None:
        with self._lock:
            if self._stopping or not self._alive:
                raise ClosedClientError(self.who)
            self._posted.append(job)
        self._soon(self._ring)

    def _soon(self, callback: Callable[[], object]) -> None:
        call = self._call
        if call is not None and self._alive:
            with suppress(RuntimeError):  # its loop has ended
                call(callback)

    def _ring(self) -> None:
        self._bell.set()

    async def _main(self) -> None:
        try:
            async with anyio.create_task_group() as self._group:
                self._bell = anyio.Event()
                self._call = loop_caller()
                while not self._stopping:
                    with self._lock:
                        jobs, self._posted = self._posted, []
                    for job in jobs:
                        self._group.start_soon(job.run)
                    await self._bell.wait()
                    self._bell = anyio.Event()
                for kept in list(self._kept):
                    kept.leave()
                self._group.cancel_scope.deadline = anyio.current_time() + POLITE
        finally:
            self._stopping = True
            with self._lock:
                for job in self._posted:
                    job.end()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(PATIENCE)
            atexit.unregister(self._end_at_exit)

    def _end_at_exit(self) -> None:
        self.stop()
        if self._alive:
            self._join()
