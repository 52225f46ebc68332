"""Runs coroutines on the caller's own thread, on one persistent asyncio loop per thread, and handles Ctrl-C.

Owns the loops, closes them at the end of their thread, of the interpreter or in a forked child, and owns the signal
handler while a loop runs. Knows nothing of clients and runners. The only module outside `aimu.testing` that imports a
backend.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeAlias, TypeVar, final

from anyio import CancelScope, from_thread

from aimu._core.threads import InThread
from aimu.aio._run import ENCLOSING, IN_THREAD
from aimu.errors import StreamClosedError

CHECK = 0.05  # s; between two checks whether a worker thread was cancelled
WAKE = 0.5  # s; longest wait on the main thread, because a Ctrl-C directly before a wait does not end that wait

P = ParamSpec("P")
T = TypeVar("T")
AsyncioTask: TypeAlias = "asyncio.Task[Any]"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on this thread's loop, in a copy of the current context, and return its result.

    If a loop is already running on this thread, a helper thread runs the coroutine while this thread waits. Ctrl-C
    cancels the coroutine, waits for its clean-up and raises KeyboardInterrupt; a second Ctrl-C is raised inside the
    clean-up.
    """
    return here().run(coroutine)


def call(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a plain function on this thread's loop, where it can see the loop's async tasks, and return its result."""
    return run(_called(func, *args, **kwargs))


async def _called(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return func(*args, **kwargs)


def here() -> Loop:
    """Return the loop to use here: the thread's own, or inside a running loop that of a helper thread."""
    loops = _local.loops
    if loops is None or loops.pid != os.getpid():
        loops = _local.loops = _Loops()
    return loops.for_caller()


class _Local(threading.local):
    loops: _Loops | None = None


_local = _Local()


@final
class _Loops:
    """The loops of one thread; they are closed when the thread or the interpreter ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._own: OwnLoop | None = None
        self._helper: HelperLoop | None = None

    def for_caller(self) -> Loop:
        if _inside_a_loop():
            if self._helper is None:
                self._helper = HelperLoop()
                weakref.finalize(self, self._helper.close)
            return self._helper
        if self._own is None:
            self._own = OwnLoop()
            weakref.finalize(self, self._own.close)
        return self._own


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        return trio is not None and bool(trio.lowlevel.in_trio_run())
    return True


@contextmanager
def _outside_a_loop() -> Generator[None]:
    """Let the thread run another loop, although it may be inside one: where the garbage collector runs, code runs."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(running)


def _new_loop() -> asyncio.AbstractEventLoop:
    # Not epoll or kqueue: a forked child shares them with its parent, and closing the child's loop would unregister the
    # parent's file descriptors.
    selector = getattr(selectors, "PollSelector", None)
    return asyncio.new_event_loop() if selector is None else asyncio.SelectorEventLoop(selector())


def _context(in_thread: InThread) -> Context:
    """Return the context for the coroutine: a copy of the caller's, for a new run whose sync tools use `in_thread`."""
    context = copy_context()
    context.run(_prepare, in_thread)
    return context


def _prepare(in_thread: InThread) -> None:
    IN_THREAD.set(in_thread)
    ENCLOSING.set(None)
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:  # a context copied under trio would name trio as the library
        sniffio.current_async_library_cvar.set("asyncio")


@final
class OwnLoop:
    """A thread's own loop, which runs only during calls."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.current_thread()
        self._pid = os.getpid()
        self._task: AsyncioTask | None = None
        self._next_check: asyncio.TimerHandle | None = None
        self._lent = False  # whether the thread is running a sync tool
        self._stop: BaseException | None = None  # raised at the end of the call, after its clean-up
        self._main = self._thread is threading.main_thread()
        if self._main:
            self._wake()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._usable():
            coroutine.close()
            raise StreamClosedError(
                "a stream must be read on the thread that began it, and not inside another run on that thread"
            )
        ours = self._main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if ours:
            signal.signal(signal.SIGINT, self._on_ctrl_c)
        try:
            task = self._task = self._loop.create_task(coroutine, context=_context(self._call))
            if not self._main:
                self._watch()
            result: T = self._run_to_end(task)
            return result
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._next_check is not None:
                self._next_check.cancel()
            self._task = self._next_check = None
            stop, self._stop = self._stop, None
            if stop is not None:
                raise stop

    def _run_to_end(self, task: AsyncioTask) -> Any:
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # a second Ctrl-C or another signal handler raised inside the loop
                task.cancel()
                with suppress(Exception, asyncio.CancelledError):
                    self._loop.run_until_complete(task)
            raise

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

    def _on_ctrl_c(self, number: int, frame: FrameType | None) -> None:
        if self._lent or self._stop is not None or self._task is None:
            raise KeyboardInterrupt
        self._stop_with(KeyboardInterrupt())
        self._loop.call_soon_threadsafe(lambda: None)  # wakes a waiting loop

    def _stop_with(self, exc: BaseException) -> None:
        assert self._task is not None
        self._stop = exc
        self._task.cancel()

    async def _call(self, func: Callable[[], T], /) -> T:
        self._lent = True
        try:
            return func()
        except Exception:
            raise
        except BaseException as exc:  # noqa: BLE001 - run() raises it
            # If it propagated through the loop, it would end async tasks without their task groups.
            self._stop_with(exc)
            raise asyncio.CancelledError from None
        finally:
            self._lent = False

    @property
    def free(self) -> bool:
        """Whether `run` can be called now."""
        return self._usable() and self._task is None and not self._loop.is_closed()

    def _usable(self) -> bool:
        return self._thread is threading.current_thread() and not _inside_a_loop()

    def close(self) -> None:
        if self._loop.is_running():
            return  # in a daemon thread when the interpreter exits, or in a fork made inside a tool
        if os.getpid() == self._pid:
            with _outside_a_loop():
                self._runner.close()
        else:  # a forked child must not touch its parent's connections
            self._loop.close()


@final
class HelperLoop:
    """A loop on a thread of its own, for callers whose thread already has a running loop.

    The caller's thread waits for its call to end and runs the sync tools meanwhile. Nothing blocks the loop, so one
    helper serves nested calls of any depth.
    """

    free = False  # its loop keeps running and finalises dropped generators itself

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._inbox: SimpleQueue[_Call | None] = SimpleQueue()  # None means that some call has ended
        started: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=_serve, args=(started, self._ended), name="aimu-sync", daemon=True).start()
        self._loop = started.get()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        context = _context(self._call)
        task: AsyncioTask | None = None
        ended = False

        def begin() -> AsyncioTask:
            nonlocal task
            if task is None:  # Ctrl-C may come so early that `cancel` calls this first
                task = self._loop.create_task(coroutine, context=context)
                task.add_done_callback(end)
            return task

        def end(task: AsyncioTask) -> None:
            nonlocal ended
            ended = True
            self._inbox.put(None)

        def cancel() -> None:
            begin().cancel()

        try:
            self._loop.call_soon_threadsafe(begin)
            while not ended:
                self._serve_one()
        except BaseException:  # Ctrl-C, while waiting or in a tool
            self._loop.call_soon_threadsafe(cancel)
            while not ended:
                self._serve_one()
            raise
        result: T = begin().result()
        return result

    def _serve_one(self) -> None:
        with suppress(Empty):
            call = self._inbox.get(timeout=WAKE)
            if call is not None:
                call.run()

    async def _call(self, func: Callable[[], T], /) -> T:
        call = _Call(func)
        self._inbox.put(call)
        await call.wait()
        result: T = call.result()
        return result

    def close(self) -> None:
        if os.getpid() == self._pid:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._ended.get()


def _serve(started: SimpleQueue[asyncio.AbstractEventLoop], ended: SimpleQueue[None]) -> None:
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        loop = runner.get_loop()
        started.put(loop)
        loop.run_forever()
    ended.put(None)


@final
class _Call:
    """A call of sync code that a coroutine sends to the thread that waits for the coroutine."""

    def __init__(self, func: Callable[[], Any]) -> None:
        self._func = func
        self._context = copy_context()
        # Taken once: by the thread when it begins, or by a cancellation that comes first.
        self._claim = threading.Lock()
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._outcome: Callable[[], Any] = _interrupted

    def run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            result = self._context.run(self._func)
            self._outcome = lambda: result
        except Exception as exc:  # noqa: BLE001 - raised where the call is awaited
            self._outcome = partial(_raise, exc)
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def wait(self) -> None:
        """Wait until the function has ended. A cancellation before it has started prevents it from starting."""
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            if not self._claim.acquire(blocking=False):
                while not self._ended.is_set():
                    with CancelScope(shield=True), suppress(asyncio.CancelledError):
                        await self._ended.wait()
            raise

    def result(self) -> Any:
        return self._outcome()


def _raise(error: Exception) -> NoReturn:
    raise error


def _interrupted() -> NoReturn:
    raise asyncio.CancelledError  # Ctrl-C in the function; the caller's thread raised it and ends the run


Loop: TypeAlias = OwnLoop | HelperLoop


def spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    """Start an async task on the running loop; it survives the current call.

    Returns:
        The task; the caller must keep a reference to it.
    """
    return asyncio.get_running_loop().create_task(coroutine)
