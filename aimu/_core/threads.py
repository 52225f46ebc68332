"""A sync function in a worker thread that is never left running: the one call, for tools and engines alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from threading import Lock
from typing import Any, Protocol, TypeVar, TypeVarTuple

import anyio
from anyio import CancelScope, CapacityLimiter, get_cancelled_exc_class, to_thread

from aimu._core.slots import loop_caller

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class InThread(Protocol):
    """A way to call a sync function from a coroutine that neither returns nor raises while the function runs."""

    def __call__(self, func: Callable[[], T], /) -> Awaitable[T]: ...


async def run_in_thread(func: Callable[[*Ts], T], /, *args: *Ts, limiter: CapacityLimiter | None = None) -> T:
    """Call a function in a worker thread, and neither return nor raise before the thread has left it.

    This also holds for a native `Task.cancel()`, which interrupts AnyIO's own call even in a shielded scope: the call
    waits for the thread, drops its result, and lets the cancellation continue. A cancellation before the function has
    started prevents it from starting. The function sees a copy of the context variables, and can poll for cancellation
    with `anyio.from_thread.check_cancelled()`.

    Args:
        func: The function.
        *args: Its arguments.
        limiter: Limits the number of threads; a token is held until the function has ended. Defaults to AnyIO's limiter
            for threads.

    Returns:
        What the function returns.
    """
    limiter = limiter or to_thread.current_default_thread_limiter()
    claim = Lock()  # taken once: by the thread when it begins, or by a cancellation that comes first
    ended = False
    wake: Callable[[], object] | None = None

    def begin() -> T:
        nonlocal ended
        if not claim.acquire(blocking=False):
            raise RuntimeError("the call was cancelled before it began")  # no one awaits this thread any more
        try:
            return func(*args)
        finally:
            # `ended` is set before `wake` is read, and below the other way round: one side always sees the other.
            ended = True
            if wake is not None:
                with suppress(RuntimeError):  # the loop has ended: there is no one to wake
                    wake()

    borrower = object()
    await limiter.acquire_on_behalf_of(borrower)
    try:
        # On a native cancel AnyIO returns its token while the thread still runs, so it gets a limiter of its own.
        with CancelScope() as scope:
            try:
                return await to_thread.run_sync(begin, limiter=CapacityLimiter(1))
            except get_cancelled_exc_class():
                if not claim.acquire(blocking=False):
                    left = anyio.Event()
                    wake = partial(loop_caller(), left.set)
                    if not ended:
                        scope.cancel()  # makes check_cancelled see the native cancel
                        # Shielded, since no thread may run on behind a call that has ended. There is no bound but the
                        # function's own end; the thread never waits for this task.
                        while not left.is_set():
                            with CancelScope(shield=True), suppress(get_cancelled_exc_class()):
                                await left.wait()
                raise
        raise AssertionError("unreachable: the scope is cancelled only after another cancellation has arrived")
    finally:
        limiter.release_on_behalf_of(borrower)


async def settled_in_thread(func: Callable[[], Any], /) -> Any:
    """Call a function in a worker thread, as `run_in_thread` does, and await what it returns if that is awaitable."""
    [returned] = await run_in_thread(lambda: [func()])  # in a list, since trio refuses a coroutine as the result
    return await returned if isawaitable(returned) else returned
