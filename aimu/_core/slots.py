"""The thread-safe, first-come-first-served counter that caps and engine queues are built on.

Waiters can be in any event loop of any thread, on asyncio or trio. A slot is handed directly to the next waiter, so no
one overtakes. Also owns the way to wake an event loop from a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, get_ident
from typing import Any, cast, final

import anyio
from anyio.lowlevel import checkpoint_if_cancelled, current_token
from attrs import define, field

from aimu._core.forks import renew_in_children


def loop_caller() -> Callable[[Callable[[], object]], object]:
    """Return a function that schedules a callable in the running event loop, and can be called from any thread.

    That function raises RuntimeError after the loop has ended.
    """
    native = cast(Any, current_token().native_token)  # asyncio and trio have the same method under two names
    return cast(
        "Callable[[Callable[[], object]], object]",
        native.call_soon_threadsafe if hasattr(native, "call_soon_threadsafe") else native.run_sync_soon,
    )


@define(eq=False)
class _Waiter:
    wake: Callable[[Callable[[], object]], object]
    thread: int = field(factory=get_ident)
    event: anyio.Event = field(factory=anyio.Event)
    granted: bool = False


@final
class Slots:
    """`capacity` slots: acquire one in a task, release it from any thread."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.epoch = 0  # counts forks: a slot of an earlier one is not released, because all are free in a child
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self.epoch += 1
        self._lock = Lock()
        self._free = self.capacity
        self._queue: deque[_Waiter] = deque()

    @property
    def free(self) -> int:
        """The number of free slots."""
        return self._free

    @property
    def waiting(self) -> int:
        """The number of tasks that wait for a slot."""
        return len(self._queue)

    async def acquire(self) -> None:
        """Wait for a slot; a wait that is cancelled takes none."""
        await checkpoint_if_cancelled()
        with self._lock:
            if self._free and not self._queue:
                self._free -= 1
                return
            waiter = _Waiter(loop_caller())
            self._queue.append(waiter)
        try:
            await waiter.event.wait()
        except BaseException:
            with self._lock:
                granted = waiter.granted
                if not granted:
                    self._queue.remove(waiter)
            if granted:
                self.release()
            raise

    def acquire_nowait(self) -> bool:
        """Take a slot if one is free and no one waits; return whether it was taken."""
        with self._lock:
            if not self._free or self._queue:
                return False
            self._free -= 1
            return True

    def release(self) -> None:
        """Hand the slot to the first waiter whose event loop still runs, else free it."""
        with self._lock:
            while self._queue:
                waiter = self._queue.popleft()
                waiter.granted = True
                if waiter.thread == get_ident():
                    waiter.event.set()
                    return
                with suppress(RuntimeError):  # its loop has ended: there is no one to wake
                    waiter.wake(waiter.event.set)
                    return
            self._free += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *exc: object) -> None:
        self.release()
