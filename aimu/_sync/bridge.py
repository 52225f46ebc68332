"""Coroutines on the caller's own thread: one persistent asyncio loop per thread, and Ctrl-C.

Owns the loops, their ends (of the thread, of the interpreter, of a fork) and the signal handler while a loop runs.
Knows nothing of clients and runners. The only module outside `aimu.testing` that names a backend.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeAlias, TypeVar, final

from anyio import CancelScope, from_thread

from aimu._core.threads import InThread
from aimu.aio._run import ENCLOSING, IN_THREAD
from aimu.errors import StreamClosedError

LOOK = 0.05  # s between two looks at the cancellation of a worker thread
WAKE = 0.5  # s that a wait on the main thread lasts at most: one that a Ctrl-C just preceded is not ended by it

P = ParamSpec("P")
T = TypeVar("T")
AsyncioTask: TypeAlias = "asyncio.Task[Any]"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, run on this thread's loop in a copy of the current context.

    Where a loop runs on this thread already, a helper thread runs it while this one waits. Ctrl-C cancels the
    coroutine, waits for its clean-up and raises KeyboardInterrupt; a second one is raised inside the clean-up.
    """
    return here().run(coroutine)


def call(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a plain function, called on this thread's loop: it may look at the tasks that run there."""
    return run(_called(func, *args, **kwargs))


async def _called(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return func(*args, **kwargs)


def here() -> Level:
    """The loop to use at this point of this thread: the thread's own, or a helper's inside a running loop."""
    loops = _local.loops
    if loops is None or loops.pid != os.getpid():
        loops = _local.loops = _Loops()
    return loops.level()


class _Local(threading.local):
    loops: _Loops | None = None


_local = _Local()


@final
class _Loops:
    """The loops of one thread; they are closed when the thread ends, or the interpreter."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._own: OwnLoop | None = None
        self._helper: HelperLoop | None = None

    def level(self) -> Level:
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


def _new_loop() -> asyncio.AbstractEventLoop:
    # Not epoll or kqueue, which a forked child shares with its parent: closing the child's loop would deafen the
    # parent's.
    selector = getattr(selectors, "PollSelector", None)
    return asyncio.new_event_loop() if selector is None else asyncio.SelectorEventLoop(selector())


def _context(in_thread: InThread) -> Context:
    """The caller's context as the coroutine gets it: a run of its own, whose sync tools the caller's thread calls."""
    context = copy_context()
    context.run(_prepare, in_thread)
    return context


def _prepare(in_thread: InThread) -> None:
    IN_THREAD.set(in_thread)
    ENCLOSING.set(None)
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:  # a copy made under trio would name trio
        sniffio.current_async_library_cvar.set("asyncio")


@final
class OwnLoop:
    """A thread's own loop, which stands still between the calls."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.current_thread()
        self._pid = os.getpid()
        self._task: AsyncioTask | None = None
        self._look: asyncio.TimerHandle | None = None
        self._lent = False  # whether the thread is at a sync tool
        self._stop: BaseException | None = None  # what ends the call, once its clean-up is done
        self._main = self._thread is threading.main_thread()
        if self._main:
            self._wake()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._usable():
            coroutine.close()
            raise StreamClosedError(
                "a stream is read by the thread that began it, and not from inside another run there"
            )
        ours = self._main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if ours:
            signal.signal(signal.SIGINT, self._on_ctrl_c)
        try:
            task = self._task = self._loop.create_task(coroutine, context=_context(self._call))
            if not self._main:
                self._watch()
            result: T = self._to_its_end(task)
            return result
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._look is not None:
                self._look.cancel()
            self._task = self._look = None
            stop, self._stop = self._stop, None
            if stop is not None:
                raise stop

    def _to_its_end(self, task: AsyncioTask) -> Any:
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # raised through the loop, by a second Ctrl-C or another signal's handler
                task.cancel()
                with suppress(Exception, asyncio.CancelledError):
                    self._loop.run_until_complete(task)
            raise

    def _wake(self) -> None:
        """A timer that stands as long as the loop does."""
        self._loop.call_later(WAKE, self._wake)

    def _watch(self) -> None:
        """Look now and then whether the run that waits for this worker thread, if it is one, was cancelled."""
        try:
            from_thread.check_cancelled()
        except RuntimeError:  # a thread of the program's own
            return
        except BaseException as exc:  # noqa: BLE001 - the backend's own: run() raises it
            self._stop_by(exc)
        else:
            self._look = self._loop.call_later(LOOK, self._watch)

    def _on_ctrl_c(self, number: int, frame: FrameType | None) -> None:
        if self._lent or self._stop is not None or self._task is None:
            raise KeyboardInterrupt
        self._stop_by(KeyboardInterrupt())
        self._loop.call_soon_threadsafe(lambda: None)  # wakes the loop where it waits

    def _stop_by(self, exc: BaseException) -> None:
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
            # Raised through the loop it would tear tasks out of their groups.
            self._stop_by(exc)
            raise asyncio.CancelledError from None
        finally:
            self._lent = False

    @property
    def free(self) -> bool:
        """Whether `run` may be called now."""
        return self._usable() and self._task is None and not self._loop.is_closed()

    def _usable(self) -> bool:
        return self._thread is threading.current_thread() and not _inside_a_loop()

    def close(self) -> None:
        if self._loop.is_running():
            return  # a daemon thread at the interpreter's end, or a fork inside a tool
        if os.getpid() == self._pid:
            self._runner.close()
        else:  # a forked child must not touch its parent's connections
            self._loop.close()


@final
class HelperLoop:
    """A loop that runs on a thread of its own, for callers whose thread has a running loop.

    The caller's thread waits for the end of its call, and meanwhile runs the sync tools: the loop is never held up, so
    one helper serves calls inside calls to any depth.
    """

    free = False  # its loop runs, and finalises by itself what was dropped

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._inbox: SimpleQueue[_Call | None] = SimpleQueue()  # None: a call has ended, look which
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
            if task is None:  # Ctrl-C may come so early that `cancel` is first
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
        except BaseException:  # Ctrl-C, here or in a tool
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
    """A call of sync code, sent by a coroutine to the thread that waits for it."""

    def __init__(self, func: Callable[[], Any]) -> None:
        self._func = func
        self._context = copy_context()
        self._claim = threading.Lock()  # taken once: by the thread that begins, or by the cancellation that forestalls
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._outcome: Callable[[], Any] = _interrupted

    def run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            result = self._context.run(self._func)
            self._outcome = lambda: result
        except Exception as exc:  # noqa: BLE001 - it is raised where the call is awaited
            self._outcome = partial(_raise, exc)
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def wait(self) -> None:
        """Until the function has ended; a cancellation that comes before it began keeps it from beginning."""
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
    raise asyncio.CancelledError  # Ctrl-C in the function: the caller has it, and ends the run


Level: TypeAlias = OwnLoop | HelperLoop


def spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    """Start a task beside the running one; it lives on between the calls on this loop. Keep what is returned."""
    return asyncio.get_running_loop().create_task(coroutine)
