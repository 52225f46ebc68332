"""A loop in a thread of its own, for callers whose thread already runs a loop or a call of the sync surface.

The caller's thread waits for its call to end, and meanwhile runs the sync tools of the call and answers signals.
Nothing blocks the loop, so one helper serves nested calls of any depth.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, final
from weakref import WeakSet

import anyio
from anyio import get_cancelled_exc_class
from anyio.lowlevel import checkpoint_if_cancelled

from aimu._sync.caller import Outcome, context_for, library, set_library
from aimu._sync.dropped import Dropped, Streams
from aimu._sync.signals import SignalGuard
from aimu.errors import StreamClosedError, UsageError

HURRIED = 0.2  # s; for the clean-up after a second Ctrl-C
WAKE = 0.5  # s; longest wait on the main thread, because a Ctrl-C directly before a wait does not end that wait

T = TypeVar("T")


@final
class HelperLoop:
    """Runs coroutines while the calling thread waits for them.

    Args:
        serve: Runs an asyncio loop until it is stopped. It calls its first argument with the loop, and finally closes
            the streams in its second.
    """

    def __init__(self, serve: Callable[[Callable[[Any], object], Streams], object]) -> None:
        self._pid = os.getpid()
        self._owner = threading.current_thread()
        self.streams: Streams = WeakSet()
        self.dropped: Dropped = deque()
        started: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=serve, args=(started.put, self.streams), name="aimu-sync", daemon=True)
        self._thread.start()
        self.loop: Any = started.get()
        # A call may come between two visits, from an entered stream, and then waits. None wakes the thread.
        self.inbox: SimpleQueue[_SyncCall[Any] | None] = SimpleQueue()

    @property
    def free(self) -> bool:
        """Whether `run` can be called now."""
        return self._owner is threading.current_thread() and not self.closed

    @property
    def closed(self) -> bool:
        # Not `Thread.is_alive`, which counts a living thread as ended once a signal handler has raised in it.
        return self._pid != os.getpid() or self.loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, T], *, to_its_end: bool = False) -> T:
        if not self.free:  # what the loop sends to its owner's thread must not reach another one
            coroutine.close()
            raise StreamClosedError(
                "a stream must be read on the thread that began it, and not after the end of that thread or process"
            )
        visit = _Visit(self, coroutine)
        return visit.run()

    def post(self, callback: Callable[[], object]) -> None:
        """Call a function on the loop, from any thread."""
        with suppress(RuntimeError):  # the loop has ended, which a visit notices
            self.loop.call_soon_threadsafe(callback)

    async def call(self, library: str | None, func: Callable[[], T], /) -> T:
        await checkpoint_if_cancelled()
        call = _SyncCall(func, library)
        self.inbox.put(call)
        await call.wait()
        return call.outcome.get()

    def close(self) -> None:
        if not self.closed:
            self.post(self.loop.stop)
            # No loop may run on behind its owner. Each step of winding up takes up to CLOSING.
            self._thread.join()


@final
class _Visit(Generic[T]):
    """One call: its async task in the helper's loop, and the thread that waits for it."""

    def __init__(self, helper: HelperLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self._helper = helper
        self._coroutine = coroutine
        self._outcome = Outcome[T]()
        self._context = context_for(partial(helper.call, library()), helper.run)
        self._task: Any = None
        self._ended = False
        self._give_up = math.inf  # when the thread does not wait any longer
        self._serving: _SyncCall[Any] | None = None
        self._stop: BaseException | None = None  # raised at the end of the call, after its clean-up

    def run(self) -> T:
        guard = SignalGuard(self._interrupt)  # not an attribute, which would make a reference cycle
        try:
            try:
                guard.install()
            except BaseException as exc:  # noqa: BLE001 - raised at the end, as what comes later
                self._stop_with(exc)
            self._helper.post(self._begin)
            while not self._ended and time.monotonic() < self._give_up:
                try:
                    try:
                        self._serve_one(guard)
                    except BaseException as exc:  # noqa: BLE001 - Ctrl-C or SystemExit in a tool; raised below
                        self._resume(exc, guard)
                    self._end_serving()
                except BaseException as exc:  # noqa: BLE001 - of a signal handler, before the guard was back
                    self._resume(exc, guard)
                    self._end_serving()
        finally:
            try:
                self._end_serving()
            finally:
                if not self._ended:
                    self._helper.post(self._cancel)
                guard.remove()
        self._outcome.replace(self._stop)
        self._stop = None
        return self._outcome.get()

    def _resume(self, exc: BaseException, guard: SignalGuard) -> None:
        guard.install()
        self._stop_with(exc)

    def _begin(self) -> None:
        if self._task is None:  # Ctrl-C may come so early that `_cancel` comes first
            coroutine = self._outcome.of(self._coroutine)
            self._task = self._helper.loop.create_task(coroutine, context=self._context)
            self._task.add_done_callback(self._end)

    def _end(self, task: object) -> None:
        self._coroutine.close()  # it has ended, or never began
        self._ended = True
        self._helper.inbox.put(None)

    def _cancel(self) -> None:
        self._begin()
        # Not before the first step of the task, so that what leaves a stream does begin.
        self._helper.loop.call_soon(self._task.cancel)

    def _serve_one(self, guard: SignalGuard) -> None:
        try:
            call = self._helper.inbox.get(timeout=WAKE if self._give_up == math.inf else HURRIED)
        except Empty:
            call = None
        if call is not None:
            self._serving = call
            guard.remove()
            try:
                call.run()
            finally:
                guard.install()
        if self._helper.closed:
            self._give_up = 0.0
            raise UsageError(
                "this call cannot continue, because its helper thread has ended: end a child process that a tool "
                "forks with os._exit()"
            )

    def _end_serving(self) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            self._helper.post(serving.ended.set)

    def _interrupt(self, exc: BaseException) -> None:
        """Stop the call; when called again, hardly wait for its clean-up, which continues in the helper's thread."""
        if self._stop is not None and self._give_up == math.inf:
            self._give_up = time.monotonic() + HURRIED
            self._helper.inbox.put(None)
        self._stop_with(exc)

    def _stop_with(self, exc: BaseException) -> None:
        if self._stop is None:
            self._stop = exc
        self._helper.post(self._cancel)


@final
class _SyncCall(Generic[T]):
    """A call of sync code that a coroutine sends to the thread that waits for the coroutine."""

    def __init__(self, func: Callable[[], T], library: str | None) -> None:
        self._func = func
        self._context = copy_context()
        self._context.run(set_library, library)
        # Taken once: by the thread when it begins, or by a cancellation that comes first.
        self._claim = threading.Lock()
        self.ended = anyio.Event()
        self.outcome = Outcome[T]()

    def run(self) -> None:
        if self._claim.acquire(blocking=False):
            self._context.run(self.outcome.of_call, self._func)

    async def wait(self) -> None:
        """Wait until the function has ended; a native cancellation before it has started prevents it from starting.

        The cancellation of a scope does not end the wait: the result of a tool whose time is over is kept.
        """
        # Shielded, since a tool's result is kept. No bound but the user's code, which runs on the caller's thread and
        # can be stopped there by Ctrl-C; that thread sets `ended` whatever happens.
        with anyio.CancelScope(shield=True):
            try:
                await self.ended.wait()
            except get_cancelled_exc_class():
                if not self._claim.acquire(blocking=False):
                    while not self.ended.is_set():
                        with suppress(get_cancelled_exc_class()):
                            await self.ended.wait()
                raise
