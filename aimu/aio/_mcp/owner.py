"""The async task that holds connections, and how any event loop in any thread reaches it.

The same async task must enter and leave a connection. That task is the `Owner`: it runs in the user's task group
(`async with`) or, if no block bounds its life, on an asyncio loop in a daemon thread of its own. Callers post work to
the owner and await the result in their own loop; if a caller is cancelled, so is its work. Knows nothing of MCP.
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
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from attrs import define, field

from aimu._core.slots import loop_caller
from aimu.aio._place import Subtasks
from aimu.errors import ClosedClientError

T = TypeVar("T")
Report = Callable[..., object]

GRACE = 4.0  # s; time for connections to close after the owner is stopped, before they are cancelled
LONGEST_WAIT = GRACE + 4.0  # s; longest wait for the owner to end, including the clean-up of cancelled connections


class Kept(Protocol):
    """A connection that runs in the owner until `leave` is called."""

    async def run(self) -> None:
        """Run until `leave` is called; never raise an exception."""
        ...

    def leave(self) -> None: ...

    def drop(self) -> None:
        """Leave without a grace period."""
        ...


@final
class Latch:
    """An event that any thread can set, once, and any event loop can await."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._set = False
        self._waiting: list[Callable[[], object]] = []

    def set(self) -> None:
        with self._lock:
            self._set, waiting = True, self._waiting.copy()
        for wake in waiting:
            with suppress(RuntimeError):  # that loop has ended, so nobody waits there
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
    """Work for the owner: created and awaited in the caller's loop, run in the owner's loop."""

    work: Callable[[Report], Awaitable[T]]
    updates: MemoryObjectSendStream[tuple[Any, ...]]  # used in the caller's loop only; closing it ends the work
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
        except Exception as exc:  # noqa: BLE001 - ask() raises it in the caller
            self.failure = exc
        finally:
            self.end()

    def report(self, *update: Any) -> None:
        def send() -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the caller has left
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
    """The async task that holds connections; `who` names them in errors.

    When it is stopped, it asks the connections to leave, waits for a bounded time, and cancels those that remain.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self._lock = Lock()
        self._posted: list[_Job[Any]] = []
        self._stopping = False
        self._hurried = False
        self._kept: set[Kept] = set()
        # Calls a function in the owner's loop; None until the owner runs.
        self._call: Callable[[Callable[[], object]], object] | None = None
        self._group: TaskGroup | None = None
        self._wakeup: anyio.Event | None = None
        self._tasks: Subtasks | None = None  # all that the owner runs
        self._ended = Latch()
        self._pid = os.getpid()
        self._thread: Thread | None = None

    def start_thread(self) -> None:
        """Run on an event loop in a daemon thread, which does not delay the exit of the program."""

        def run() -> None:
            try:
                anyio.run(self._main, backend="asyncio")
            finally:
                self._ended.set()  # after the loop is closed, so that only this thread's last step remains

        self._thread = Thread(target=run, name=f"aimu {self.who}", daemon=True)
        atexit.register(self._end_at_exit)
        self._thread.start()

    async def run_here(self) -> None:
        """Run in the calling async task until the owner is stopped; a cancellation from outside does not end it."""
        try:
            # Shielded, since the block that started the owner stops it when it ends; it then takes up to LONGEST_WAIT.
            with anyio.CancelScope(shield=True):
                await self._main()
        finally:
            self._ended.set()

    async def ask(self, work: Callable[[Report], Awaitable[T]], on_update: Callable[..., object] | None = None) -> T:
        """Run `work(report)` in the owner's loop and return its result.

        Each `report(...)` calls `on_update`, sync or async, in this async task. If this call is cancelled, or if
        `on_update` raises, the work is cancelled, and the call waits up to `LONGEST_WAIT` seconds for it to end.

        Raises:
            ClosedClientError: The owner is stopped.
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
                self._call_soon(job.cancel)
                # Shielded and bounded, since the work may still use what the caller frees next.
                with anyio.move_on_after(LONGEST_WAIT, shield=True):
                    async for _ in receive:
                        pass
                raise
        if job.failure is not None:
            raise job.failure
        if not job.results:
            raise ClosedClientError(self.who)
        return job.results[0]

    def stop(self) -> None:
        """Ask the owner to end, and return at once; callable from any thread."""
        self._stopping = True  # without the lock, because garbage collection may call this while the lock is held
        self._call_soon(self._wake_up)

    async def aclose(self, *, hurried: bool = False) -> None:
        """Stop the owner and wait, for a bounded time, until it has ended, even if this call is cancelled.

        What the owner itself runs, such as the answer to a question of a server, does not wait for it. If it is
        hurried, the connections get no grace period.
        """
        self._hurried = self._hurried or hurried
        self.stop()
        if self._alive and not (self._tasks is not None and self._tasks.around):
            # Shielded, so that no connection outlives a cancelled caller; bounded, because what a connection calls may
            # wait for the caller.
            with anyio.move_on_after(LONGEST_WAIT, shield=True):
                await self._ended.wait()
                self._join()

    def keep(self, kept: Kept) -> None:
        """Run `kept` beside the other work; call this in the owner's loop only."""

        async def run() -> None:
            try:
                await kept.run()
            finally:
                self._kept.discard(kept)

        assert self._group is not None
        self._kept.add(kept)
        self._group.start_soon(run)

    @property
    def _alive(self) -> bool:
        return self._pid == os.getpid()  # a forked child has neither the thread nor the loop of the owner

    def _post(self, job: _Job[Any]) -> None:
        if not self._alive:  # in a forked child, where another thread may hold the lock for ever
            raise ClosedClientError(self.who)
        with self._lock:
            if self._stopping:
                raise ClosedClientError(self.who)
            self._posted.append(job)
        self._call_soon(self._wake_up)

    def _call_soon(self, callback: Callable[[], object]) -> None:
        call = self._call
        if call is not None and self._alive:
            with suppress(RuntimeError):  # the owner's loop has ended
                call(callback)

    def _wake_up(self) -> None:
        if self._wakeup is not None:
            self._wakeup.set()

    async def _main(self) -> None:
        self._tasks = Subtasks()
        self._tasks.join()
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                wakeup = self._wakeup = anyio.Event()
                self._call = loop_caller()
                while not self._stopping:
                    with self._lock:
                        jobs, self._posted = self._posted, []
                    for job in jobs:
                        group.start_soon(job.run)
                    await wakeup.wait()
                    wakeup = self._wakeup = anyio.Event()
                for kept in list(self._kept):
                    if self._hurried:
                        kept.drop()
                    else:
                        kept.leave()
                group.cancel_scope.deadline = anyio.current_time() + GRACE
        finally:
            self._stopping = True
            with self._lock:
                for job in self._posted:
                    job.end()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(LONGEST_WAIT)  # it has ended, or the interpreter does, which no server may hold up
            atexit.unregister(self._end_at_exit)

    def _end_at_exit(self) -> None:
        self.stop()
        if self._alive:
            self._join()
