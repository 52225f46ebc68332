"""Runs coroutines on the caller's own thread, on one persistent asyncio loop per thread.

Owns the loops, closes them at the end of their thread, of the interpreter or in a forked child, and replaces a loop
that an exception broke through. Knows nothing of clients. The only module outside `aimu.testing` to import a backend.

While a loop runs, `SignalGuard` keeps signal handlers, and so Ctrl-C, from raising inside it: their exception cancels
the call, waits for its clean-up and is raised at the end. While a sync tool runs, the thread has left the loop: its
handlers are the program's own, no loop is running, and the tool may run one.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast, final
from weakref import WeakSet

from anyio import from_thread, move_on_after, to_thread

from aimu._sync.caller import Names, Outcome, context_for, inside_trio, names, set_names
from aimu._sync.dropped import Dropped, Finisher, Loop, Streams
from aimu._sync.helper_loop import HURRIED, WAKE, HelperLoop
from aimu._sync.signals import SignalGuard, uninterrupted
from aimu.errors import StreamClosedError

CHECK = 0.05  # s; between two checks whether a worker thread was cancelled
CLOSING = 5.0  # s; for what still runs on a loop that is closed, before it is closed by force
PATIENCE = 1.0  # s; after the second Ctrl-C, a third is raised at once: the loop is held up by code without an await

P = ParamSpec("P")
T = TypeVar("T")
AsyncioTask: TypeAlias = "asyncio.Task[Any]"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on this thread's loop, in a copy of the current context, and return its result.

    If this thread already runs a loop or a call, a helper thread runs the coroutine while this thread waits. Ctrl-C, or
    a signal handler that raises, cancels the coroutine, waits for its clean-up and raises the exception; a second one
    does not wait.
    """
    return here(coroutine).run(coroutine)


def call(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a plain function on this thread's loop, where it can see the loop's async tasks, and return its result."""

    async def called() -> T:
        return func(*args, **kwargs)

    return run(called())


def here(coroutine: Coroutine[Any, Any, Any] | None = None) -> Loop:
    """Return the loop to use here: the thread's own, or that of a helper thread if this thread already runs one."""
    try:
        loops = _local.loops
        if loops is None or loops.pid != os.getpid():
            loops = _local.loops = _Loops(loops)
        loops.close_dropped()
        return loops.for_caller()
    except BaseException:
        if coroutine is not None:
            coroutine.close()  # there is no loop for it
        raise


class _Local(threading.local):
    loops: _Loops | None = None


_local = _Local()


@final
class _Loops:
    """The loops of one thread; they are closed when the thread or the interpreter ends."""

    def __init__(self, inherited: _Loops | None) -> None:
        self.pid = os.getpid()
        # In a forked child, that of the parent: its connections are shared with the parent, so nothing may close them.
        self._inherited = inherited
        self._own: OwnLoop | None = None
        self._helper: HelperLoop | None = None

    def close_dropped(self) -> None:
        """Close the streams whose readers were dropped and could not do so."""
        for loop in (self._own, self._helper):
            while loop is not None and loop.dropped:
                with uninterrupted():
                    remains = loop.dropped.popleft()
                    if loop.free:
                        loop.run(_finish_all([remains.finish], CLOSING), to_its_end=True)
                    else:
                        remains.dismiss()
                    del remains  # here, where no handler raises in the finalizers of what it holds

    def for_caller(self) -> Loop:
        if _in_a_loop() or (self._own is not None and self._own.running):
            if self._helper is None or self._helper.closed:
                with uninterrupted():
                    self._helper = HelperLoop(_serve)
                    weakref.finalize(self, self._helper.close)
            return self._helper
        if self._own is None or self._own.closed:
            with uninterrupted():
                self._own = OwnLoop()
                weakref.finalize(self, self._own.close)
        return self._own


def _in_a_loop() -> bool:
    return asyncio._get_running_loop() is not None or inside_trio()


class _Side(NamedTuple):
    """What a thread says that it is running: the loop's side, or that of the code around it."""

    loop: asyncio.AbstractEventLoop | None
    task: AsyncioTask | None
    hooks: Any
    names: Names

    @classmethod
    def now(cls) -> _Side:
        loop = asyncio._get_running_loop()
        task = None if loop is None else asyncio.current_task(loop)
        return cls(loop, task, sys.get_asyncgen_hooks(), names())

    def enter(self) -> _Side:
        """Let the thread say what this side says; return what it said before."""
        before = _Side.now()
        if before.loop is not None and before.task is not None:
            asyncio.tasks._leave_task(before.loop, before.task)
        asyncio._set_running_loop(self.loop)
        if self.loop is not None and self.task is not None:
            asyncio.tasks._enter_task(self.loop, self.task)
        sys.set_asyncgen_hooks(*self.hooks)
        if self.names != before.names:
            set_names(self.names)
        return before


_OUTSIDE = _Side(None, None, (None, None), (None, None))


def _new_loop() -> asyncio.AbstractEventLoop:
    # Not epoll or kqueue: a forked child shares them with its parent, and closing the child's loop would unregister the
    # parent's file descriptors.
    selector = getattr(selectors, "PollSelector", None)
    return asyncio.new_event_loop() if selector is None else asyncio.SelectorEventLoop(selector())


@final
class OwnLoop:
    """A thread's own loop, which runs only during calls."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._thread = threading.current_thread()
        self._pid = os.getpid()
        self._closed = False
        self.streams: Streams = WeakSet()
        self.dropped: Dropped = deque()
        self._task: AsyncioTask | None = None
        self._next_check: asyncio.TimerHandle | None = None
        self._outside = _Side.now()  # while the loop runs: what the thread said before
        self._inside: _Side | None = None  # while a sync tool runs: what the thread says in the loop
        self._stop: BaseException | None = None  # raised at the end of the call, after its clean-up
        self._hurried: float | None = None  # when it became clear that the clean-up is not waited for
        self._guard = SignalGuard(self._interrupt)
        self._main = self._thread is threading.main_thread()
        if self._main:
            self._wake()

    @property
    def running(self) -> bool:
        """Whether a call is running."""
        return self._task is not None

    @property
    def free(self) -> bool:
        """Whether `run` can be called now."""
        if self._thread is not threading.current_thread() or self._task is not None:
            return False
        # A finalizer may run where a call begins or has ended, and the program's signal handlers are being replaced.
        return not self.closed and not self._guard.engaged

    def post(self, callback: Callable[[], object]) -> None:
        """Call a function on the loop, from any thread, when the loop runs next."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback)

    @property
    def closed(self) -> bool:
        return self._closed or self._pid != os.getpid()

    def run(self, coroutine: Coroutine[Any, Any, T], *, to_its_end: bool = False) -> T:
        """Run the coroutine; `to_its_end` ignores that the run which waits for this worker thread was cancelled."""
        if not self.free:
            coroutine.close()
            raise StreamClosedError(
                "a stream must be read on the thread that began it, not inside another run on that thread, and not "
                "after an exception of a signal handler or a fork ended its event loop"
            )
        outcome = Outcome[T]()
        self._stop = None
        try:
            try:
                self._guard.install()
            except BaseException as exc:  # noqa: BLE001 - stops the call, like what comes later
                self._stop = exc
            self._outside = _OUTSIDE.enter() if _in_a_loop() else _Side.now()
            self._task = self._loop.create_task(outcome.of(coroutine), context=context_for(self._call, self.run))
            if not self._main and not to_its_end:
                self._watch()
            if self._stop is not None:
                self._loop.call_soon(self._task.cancel)  # after its first step, as in `_interrupt`
            self._run_to_end(self._task)
        except BaseException as exc:  # noqa: BLE001 - raised below
            outcome.replace(exc)
        finally:
            self._end_call()
            coroutine.close()  # it has ended, or never began
            self._guard.remove()
        outcome.replace(self._stop)
        self._stop = None
        return outcome.get()

    def _run_to_end(self, task: AsyncioTask) -> None:
        try:
            self._loop.run_until_complete(task)
        except BaseException as exc:
            if isinstance(exc, asyncio.CancelledError) and task.cancelled():
                return  # cancelled in its last step; the outcome says what it did
            # A task ended in SystemExit, or nobody waits for the clean-up: the loop may have lost a callback.
            self.close()
            if self._stop is None:
                raise

    def _end_call(self) -> None:
        self._task = None
        if self._next_check is not None:
            self._next_check.cancel()
            self._next_check = None
        if self._outside.loop is not None or inside_trio():
            # The call was made inside a loop, or a tool has left one behind that looks running, as Playwright's does.
            # Streams of this loop may go on.
            self._outside.enter()
        if self._hurried is not None:
            self.close()

    def _wake(self) -> None:
        """Wake the loop regularly, for as long as it exists."""
        self._loop.call_later(WAKE, self._wake)

    def _watch(self) -> None:
        """If this is a worker thread, check regularly whether the run that waits for it was cancelled."""
        try:
            from_thread.check_cancelled()
        except RuntimeError:  # not a worker thread of AnyIO
            return
        except BaseException as exc:  # noqa: BLE001 - the backend's cancellation, which run() raises
            self._stop_with(exc)
        else:
            self._next_check = self._loop.call_later(CHECK, self._watch)

    def _interrupt(self, exc: BaseException) -> None:
        """Stop the call; when called again, without waiting for its clean-up."""
        if self._task is None:  # it is about to end
            self._stop = self._stop or exc
        elif self._stop is None:
            self._stop = exc
            # In the loop, which this wakes: after the first step of the task, so that what leaves a stream does begin.
            self._loop.call_soon_threadsafe(self._task.cancel)
        elif self._hurried is None:
            self._hurried = time.monotonic()
            self._loop.stop()
            self._loop.call_soon_threadsafe(lambda: None)
        elif time.monotonic() - self._hurried > PATIENCE:
            raise exc

    def _stop_with(self, exc: BaseException) -> None:
        assert self._task is not None
        if self._stop is None:
            self._stop = exc
        if self._task is not asyncio.current_task():  # otherwise it would cancel its own clean-up
            self._task.cancel()

    async def _call(self, func: Callable[[], T], /) -> T:
        try:
            try:
                self._leave()
                return func()
            finally:
                self._enter()
        except Exception:
            self._enter()  # again, in case a signal handler raised before it began
            raise
        except BaseException as exc:  # noqa: BLE001 - run() raises it
            # If it propagated through the loop, it would end async tasks without their task groups.
            self._enter()
            self._stop_with(exc)
            raise asyncio.CancelledError from None

    def _leave(self) -> None:
        self._inside = self._outside.enter()
        self._guard.remove()

    def _enter(self) -> None:
        try:
            self._guard.install()
        finally:
            if self._inside is not None:
                self._outside, self._inside = self._inside.enter(), None

    def close(self) -> None:
        """End what still runs on the loop, and close it."""
        if self._closed or self._loop.is_running():
            return  # in a daemon thread when the interpreter exits, or in a fork made inside a tool
        self._closed = True
        inside = _OUTSIDE.enter()  # the garbage collector may call this inside a loop
        try:
            if os.getpid() == self._pid:
                _wind_up(self._loop, self.streams, CLOSING if self._hurried is None else HURRIED)
        finally:
            inside.enter()
            self._loop.close()  # in a forked child only this: it must not touch its parent's connections


def _wind_up(loop: asyncio.AbstractEventLoop, streams: Streams, seconds: float) -> None:
    """Cancel the tasks of a loop, close its generators and its threads; after twice that time, end all by force."""
    ending = loop.create_task(_end_all(loop, asyncio.all_tasks(loop), streams, seconds))
    give_up = time.monotonic() + 2 * seconds
    try:
        while not ending.done() and (left := give_up - time.monotonic()) > 0:
            # Whatever `ending` waits for: a task may not let itself be cancelled. In each round, since a loop calls it
            # early, by up to the resolution of its clock.
            loop.call_later(left, loop.stop)
            # A task may end in SystemExit. A loop that was stopped before may stop once more.
            with suppress(SystemExit, KeyboardInterrupt, RuntimeError):
                loop.run_until_complete(ending)
    finally:
        for task in asyncio.all_tasks(loop):
            cast(Any, task)._log_destroy_pending = False  # it is closed here
            with suppress(BaseException):  # whatever its clean-up raises, since it cannot wait
                task.get_coro().close()


async def _end_all(loop: asyncio.AbstractEventLoop, tasks: set[AsyncioTask], streams: Streams, seconds: float) -> None:
    # Asyncio would close their generators from the innermost one on, and all at once.
    await _finish_all([stream._finish for stream in streams], seconds)
    tasks = {task for task in tasks if not task.done()}
    for task in tasks:
        task.cancel()
    if tasks:
        ended, _ = await asyncio.wait(tasks, timeout=seconds)
        for task in (task for task in ended if not task.cancelled()):
            task.exception()  # asked for, so that asyncio does not log it
    with suppress(TimeoutError):
        await asyncio.wait_for(loop.shutdown_asyncgens(), seconds)
    with move_on_after(seconds):  # `shutdown_default_executor` has no bound before Python 3.12, and then a warning
        if (executor := cast(Any, loop)._default_executor) is not None:
            await to_thread.run_sync(executor.shutdown, abandon_on_cancel=True)


async def _finish_all(finishers: Iterable[Finisher], seconds: float) -> None:
    """Finish streams, one after the other; what is left after that time is only cancelled."""
    give_up = time.monotonic() + seconds
    for finish in finishers:
        with suppress(Exception):  # of the user's own provider
            await asyncio.wait_for(finish(), max(give_up - time.monotonic(), 0))


def _serve(started: Callable[[asyncio.AbstractEventLoop], object], streams: Streams) -> None:
    """Run a loop in this thread until it is stopped."""
    loop = _new_loop()
    try:
        loop.call_soon(started, loop)
        while True:
            with suppress(SystemExit, KeyboardInterrupt):  # of an async task; whoever awaits the task raises it
                loop.run_forever()
                break
        _wind_up(loop, streams, CLOSING)
    finally:
        loop.close()


def spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    """Start an async task on the running loop, which survives the current call; keep a reference to it."""
    return asyncio.get_running_loop().create_task(coroutine)
