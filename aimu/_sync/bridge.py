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
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias, TypeVar, final

from aimu.aio.run import INLINE_TOOLS
from aimu.errors import StreamClosedError

T = TypeVar("T")
Task: TypeAlias = "asyncio.Task[Any]"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, run on this thread's loop in a copy of the current context.

    Where a loop runs on this thread already, a helper thread runs it while this one waits. Ctrl-C cancels the
    coroutine, waits for its clean-up and raises KeyboardInterrupt; a second one does not wait.
    """
    return here().run(coroutine)


def here() -> Level:
    """The loop to use at this point of this thread: the thread's own, or a helper's inside a running loop."""
    try:
        loops = _local.loops
    except AttributeError:
        loops = _local.loops = _Loops()
    if loops.pid != os.getpid():
        loops = _local.loops = _Loops()
    return loops.level()


class _Local(threading.local):
    loops: _Loops


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


def _context(*, inline: bool) -> Context:
    context = copy_context()
    context.run(_prepare, inline)
    return context


def _prepare(inline: bool) -> None:
    INLINE_TOOLS.set(inline)
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:  # a copy made under trio would name trio
        sniffio.current_async_library_cvar.set("asyncio")


@final
class OwnLoop:
    """A thread's own loop, which stands still between the calls."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.get_ident()
        self._pid = os.getpid()

    @property
    def usable(self) -> bool:
        """Whether `run` may be called at this point."""
        return self._thread == threading.get_ident() and not self._loop.is_running() and not _inside_a_loop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self.usable:
            coroutine.close()
            raise StreamClosedError(
                "a stream is read by the thread that began it, outside its runs; it was read elsewhere"
            )
        task = self._loop.create_task(coroutine, context=_context(inline=True))
        with _Interrupt(self._loop, task):
            try:
                return self._loop.run_until_complete(task)
            except BaseException:
                if not task.done():  # raised through the loop, by a signal or by a task beside this one
                    task.cancel()
                    with suppress(Exception, asyncio.CancelledError):
                        self._loop.run_until_complete(task)
                raise

    def close(self) -> None:
        if os.getpid() == self._pid and not self._loop.is_running():
            self._runner.close()
        elif not self._loop.is_running():  # a forked child must not touch its parent's connections
            self._loop.close()


@final
class _Interrupt:
    """While its block runs on the main thread, Ctrl-C cancels the task; the block then ends in KeyboardInterrupt.

    A second Ctrl-C is raised where it comes. Another handler than Python's own is left alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, task: Task) -> None:
        self._loop = loop
        self._task = task
        self._came = False

    def __enter__(self) -> Self:
        self._installed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._installed:
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True
        self._task.cancel()
        self._loop.call_soon_threadsafe(lambda: None)  # wakes the loop where it waits

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._came:
                raise KeyboardInterrupt from None


@final
class HelperLoop:
    """A loop that runs on a thread of its own, for callers whose thread has a running loop."""

    def __init__(self) -> None:
        self._ready: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._pid = os.getpid()
        threading.Thread(target=self._serve, name="aimu-sync", daemon=True).start()
        self._loop = self._ready.get()

    @property
    def usable(self) -> bool:
        return os.getpid() == self._pid

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            loop = runner.get_loop()
            self._ready.put(loop)
            loop.run_forever()
        self._ended.put(None)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        context = _context(inline=False)
        begun: list[Task] = []
        ended: SimpleQueue[Task] = SimpleQueue()

        def begin() -> None:
            task = self._loop.create_task(coroutine, context=context)
            begun.append(task)
            task.add_done_callback(ended.put)

        self._loop.call_soon_threadsafe(begin)
        try:
            task = ended.get()
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: begun[0].cancel())
            ended.get()
            raise
        result: T = task.result()
        return result

    def close(self) -> None:
        if self.usable:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._ended.get()


Level: TypeAlias = OwnLoop | HelperLoop


def spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    """Start a task beside the running one; it lives on between the calls on this loop. Keep what is returned."""
    return asyncio.get_running_loop().create_task(coroutine)
