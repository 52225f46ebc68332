"""The one thread-safe, first-come-first-served counter that caps and engine queues are made of.

Waiters may sit in any event loop of any thread, on asyncio or trio; a slot is handed over directly, so nobody
overtakes. Owns the way to wake a loop from a thread; knows nothing of what a slot is for.
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


def loop_caller() -> Callable[[Callable[[], object]], object]:
    """A function that runs a callable soon in the running event loop; it may be called from any thread, at any time.

    It raises RuntimeError once the loop has ended. asyncio and trio name it differently; both have it.
    """
    native = cast(Any, current_token().native_token)
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
    """`capacity` slots; `acquire` in a task, `release` from anywhere, any thread included."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lock = Lock()
        self._free = capacity
        self._queue: deque[_Waiter] = deque()

    @property
    def free(self) -> int:
        return self._free

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def acquire(self) -> None:
        """Wait for a slot. A cancelled wait holds none."""
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
        """Take a slot if one is free and nobody waits."""
        with self._lock:
            if not self._free or self._queue:
                return False
            self._free -= 1
            return True

    def release(self) -> None:
        """Hand the slot to the first waiter whose event loop still runs."""
        with self._lock:
            while self._queue:
                waiter = self._queue.popleft()
                waiter.granted = True
                if waiter.thread == get_ident():
                    waiter.event.set()
                    return
                with suppress(RuntimeError):  # its loop has ended: nobody is there to be woken
                    waiter.wake(waiter.event.set)
                    return
            self._free += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *exc: object) -> None:
        self.release()
