"""Finds what a piece of code leaks: tasks, threads, file descriptors, child processes, open async generators.

Owns the comparison of the states before and after. A busy worker of a thread pool is a leak; an idle one is not.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from pathlib import Path
from types import AsyncGeneratorType, FrameType, TracebackType
from typing import Self, TypeAlias, final

import anyio
from attrs import define, field

from aimu._core.loop_end import is_keeper
from aimu._doors import public

_POLL = 0.01
_PROC = Path("/proc")

# The stacks of idle worker threads, of anyio on asyncio, of trio and of the standard library: their frames without
# those of `threading`, outermost first. A busy worker has another stack.
_IDLE_STACKS = {
    ("anyio._backends._asyncio:run", "queue:get"),
    ("trio._core._thread_cache:_work",),
    ("concurrent.futures.thread:_worker",),
}

# Identity of each thing -> its name in a report.
Found: TypeAlias = dict[object, str]


@public("aimu.testing")
def leak_check(*, within: float = 5.0) -> LeakCheck:
    """Return a context manager that checks for leaks at the end of its block.

    Use `with leak_check():` around any code, also around an event loop. Inside a loop, `async with leak_check():` finds
    leaked tasks too. A block that raises is not checked. An async generator that only a reference cycle keeps open is a
    leak: it holds its connection until the garbage collector runs. File descriptors and child processes are read from
    /proc, and are not checked on platforms without it.

    Args:
        within: Real seconds that threads, tasks and processes get to end, at least 0.

    Returns:
        The context manager. At the end of the block it raises AssertionError, which names each leaked thing.

    Example:
        async with leak_check():
            async with aio.client(provider) as client:
                await client.chat("Hi")
    """
    return LeakCheck(within=within)


@final
@define(kw_only=True)
class LeakCheck:
    """The context manager that `leak_check` returns."""

    within: float
    _before: Found = field(factory=dict[object, str], init=False)

    def __enter__(self) -> Self:
        _open_sync_loop()
        self._before = _everything(tasks=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            deadline = time.monotonic() + self.within
            while (left := self._left(tasks=False)) and time.monotonic() < deadline:
                time.sleep(_POLL)
            _report(left)

    async def __aenter__(self) -> Self:
        self._before = _everything(tasks=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            deadline = time.monotonic() + self.within
            while (left := self._left(tasks=True)) and time.monotonic() < deadline:  # noqa: ASYNC110 - there is no event to wait for
                await anyio.sleep(_POLL)
            _report(left)

    def _left(self, *, tasks: bool) -> list[str]:
        return [name for key, name in _everything(tasks=tasks).items() if key not in self._before]


def _open_sync_loop() -> None:
    """Make the event loop that the sync surface keeps to the end of this thread, so that it is there before a block."""
    from aimu._sync import bridge  # at first use, since it loads asyncio

    try:
        anyio.get_current_task()
    except anyio.NoEventLoopError:
        bridge.call(int)


def _report(left: list[str]) -> None:
    if left:
        raise AssertionError("left behind:\n" + "\n".join(f"  {name}" for name in left))


def _everything(*, tasks: bool) -> Found:
    found = _threads() | _descriptors() | _children() | _open_generators()
    if tasks:
        found |= {task: f"task {task.name}" for task in anyio.get_running_tasks()}
    return found


def _threads() -> Found:
    frames = sys._current_frames()
    return {
        thread: f"thread {thread.name}"
        for thread in threading.enumerate()
        if thread.ident is not None and _stack(frames.get(thread.ident)) not in _IDLE_STACKS
    }


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    """Return module and function of each frame, outermost first, without those of `threading`."""
    names: list[str] = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != "threading":
            names.insert(0, f"{module}:{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(names)


def _descriptors() -> Found:
    found: Found = {}
    for number in _names(_PROC / "self/fd"):
        try:
            target = os.readlink(_PROC / "self/fd" / number)
        except OSError:  # closed since it was listed, as the descriptor of the listing itself always is
            continue
        found["fd", number, target] = f"file descriptor {number}: {target}"
    return found


def _children() -> Found:
    """Find child processes of this one, zombies too. Fields: proc_pid_stat(5)."""
    found: Found = {}
    for pid in filter(str.isdigit, _names(_PROC)):
        try:
            name, _, rest = (_PROC / pid / "stat").read_text().partition("(")[2].rpartition(") ")
        except OSError:  # ended since it was listed
            continue
        state, parent, *fields = rest.split()
        if int(parent) == os.getpid():
            started, ended = fields[17], " (ended, not waited for)" * (state == "Z")
            found["process", pid, started] = f"child process {pid}: {name}{ended}"
    return found


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _open_generators() -> Found:
    """Find all async generators that have not ended; hooks would miss those of other event loops."""
    return {
        weakref.ref(agen): f"async generator {agen.__qualname__}"
        for agen in gc.get_objects()
        if type(agen) is AsyncGeneratorType and agen.ag_frame is not None and not is_keeper(agen)
    }
