"""A sync function in a worker thread, never left behind: owns the one call, knows nothing of tools or engines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Protocol, TypeVar, TypeVarTuple

import anyio
from anyio import CancelScope, CapacityLimiter, get_cancelled_exc_class, to_thread

from aimu.core.slots import loop_caller

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class InThread(Protocol):
    """A way to call a sync function from a coroutine; neither returns nor raises while the function runs."""

    def __call__(self, func: Callable[[], T], /) -> Awaitable[T]: ...


async def run_in_thread(func: Callable[[*Ts], T], /, *args: *Ts, limiter: CapacityLimiter | None = None) -> T:
    """Call `func(*args)` in a worker thread, and neither return nor raise before the thread has left it.

    That holds for a native `Task.cancel()` too, which neither AnyIO's own call nor a shielded scope withstands: the
    thread is waited for, its result is dropped, then the cancellation goes on. A cancellation that comes before the
    function has begun keeps it from beginning. The function sees a copy of the context variables, and any cancellation
    through `anyio.from_thread.check_cancelled()`. A token of `limiter` (default: AnyIO's for threads) is held until the
    function has ended.
    """
    limiter = limiter or to_thread.current_default_thread_limiter()
    claim = Lock()  # taken once: by the thread that begins, or by the cancellation that forestalls it
    ended = False
    wake: Callable[[], object] | None = None

    def begin() -> T:
        nonlocal ended
        if not claim.acquire(blocking=False):
            raise RuntimeError("the call was cancelled before it began")  # nobody awaits this thread any more
        try:
            return func(*args)
        finally:
            ended = True  # in this order, and `wake` before `ended` is read below: one of the two sees the other
            if wake is not None:
                with suppress(RuntimeError):  # the loop has ended: nobody is there to be told
                    wake()

    borrower = object()
    await limiter.acquire_on_behalf_of(borrower)
    try:
        # On a native cancel AnyIO gives the token back while the thread still runs, so its own limiter is a dummy.
        with CancelScope() as scope:
            try:
                return await to_thread.run_sync(begin, limiter=CapacityLimiter(1))
            except get_cancelled_exc_class():
                if not claim.acquire(blocking=False):
                    left = anyio.Event()
                    wake = partial(loop_caller(), left.set)
                    if not ended:
                        scope.cancel()  # shows the native cancel to check_cancelled
                        while not left.is_set():
                            with CancelScope(shield=True), suppress(get_cancelled_exc_class()):
                                await left.wait()
                raise
        raise AssertionError("unreachable: the scope is cancelled only while a foreign cancellation is on its way")
    finally:
        limiter.release_on_behalf_of(borrower)
