"""Finds what a piece of code left behind: tasks, threads, file descriptors, child processes, open async generators.

Owns the comparison of before and after. Idle workers of a thread pool are no leak; a busy one is.
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

_POLL = 0.01
_PROC = Path("/proc")

# Where the worker threads of anyio on asyncio, of trio and of the standard library wait for work: their frames
# without those of `threading`, outermost first. While a worker has work its stack is another one.
_IDLE_STACKS = {
    ("anyio._backends._asyncio:run", "queue:get"),
    ("trio._core._thread_cache:_work",),
    ("concurrent.futures.thread:_worker",),
}

# What identifies a thing, and how a report names it.
Found: TypeAlias = dict[object, str]


def leak_check(*, within: float = 1.0) -> LeakCheck:
    """A context manager that raises AssertionError, naming each thing, when its block leaves something behind.

    `with leak_check():` works around anything, an event loop included; `async with leak_check():` within a loop
    counts tasks too. What is ending gets `within` seconds of real time for it. A block that raises is not checked. An
    async generator that only a reference cycle keeps open is left behind: it holds its connection until a collection.
    Descriptors and processes are looked up in /proc, and not where the platform has none.
    """
    return LeakCheck(within=within)


@final
@define(kw_only=True)
class LeakCheck:
    """See `leak_check`."""

    within: float
    _before: Found = field(factory=dict[object, str], init=False)

    def __enter__(self) -> Self:
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
            while (left := self._left(tasks=True)) and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells
                await anyio.sleep(_POLL)
            _report(left)

    def _left(self, *, tasks: bool) -> list[str]:
        return [name for key, name in _everything(tasks=tasks).items() if key not in self._before]


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
    """Module and function of every frame, outermost first, without `threading`'s own."""
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
        except OSError:  # closed meanwhile; the listing's own is always among these
            continue
        found["fd", number, target] = f"file descriptor {number}: {target}"
    return found


def _children() -> Found:
    """Child processes of this one, also ended ones that nobody waited for. Fields: proc_pid_stat(5)."""
    found: Found = {}
    for pid in filter(str.isdigit, _names(_PROC)):
        try:
            name, _, rest = (_PROC / pid / "stat").read_text().partition("(")[2].rpartition(") ")
        except OSError:  # ended meanwhile
            continue
        state, parent, *fields = rest.split()
        if int(parent) == os.getpid():
            started, ended = fields[17], " (ended, not waited for)" * (state == "Z")
            found["process", pid, started] = f"child process {pid}: {name}{ended}"
    return found


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _open_generators() -> Found:
    """Async generators that have not ended, wherever they are held: hooks would miss those of other event loops."""
    return {
        weakref.ref(agen): f"async generator {agen.__qualname__}"
        for agen in gc.get_objects()
        if type(agen) is AsyncGeneratorType and agen.ag_frame is not None
    }
