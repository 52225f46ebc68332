"""Where code runs: its thread, its event loop, its async task, and the tasks that wait for it.

Holds weak references and no numbers or addresses, because those are reused: the id of an ended task may be the id of a
living one. Decides nothing about conversations or streams.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from itertools import count
from typing import Any, Self, TypeAlias, final

import anyio
from anyio.lowlevel import current_token
from attrs import define, field, frozen

_serial = count()


@final
class _Mark:
    """Stands for a thread, and is freed with it; in a child of `os.fork()` also with the threads that are not there."""

    __slots__ = ("__weakref__",)


class _Here(threading.local):
    def __init__(self) -> None:
        self.mark = _Mark()


_here = _Here()

ThreadRef: TypeAlias = "weakref.ref[_Mark]"


def this_thread() -> ThreadRef:
    """Return a reference to the current thread: the same object each time, dead once the thread has ended."""
    return weakref.ref(_here.mark)


@final
@frozen(eq=False)
class Stepper:
    """Sync code that makes the steps of a run, each in another async task: its thread, and how it makes one."""

    thread: ThreadRef
    step: Callable[[Coroutine[Any, Any, None]], None]


# Who makes the steps of a run that begins now; None if an async task makes them.
STEPPER: ContextVar[Stepper | None] = ContextVar("aimu_stepper", default=None)


def reading_thread() -> ThreadRef:
    """Return the thread whose sync code waits for the current one, or the current thread."""
    stepper = STEPPER.get()
    return this_thread() if stepper is None else stepper.thread


def _reference(thing: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(thing)
    except TypeError:  # a coroutine of another kind than `async def`
        return lambda: thing


@final
@define(eq=False)
class Place:
    """A thread, an event loop, and an async task.

    A task is known by its coroutine, which no other task ever runs. Without a task, the thread itself reads: in sync
    code, each call is a task of its own.
    """

    thread: ThreadRef
    loop: Callable[[], Any] | None
    task: Callable[[], Any] | None
    serial: int = field(factory=lambda: next(_serial), init=False)  # orders places by time

    @classmethod
    def here(cls, *, of_thread: bool = False) -> Place:
        """Return the current place.

        Args:
            of_thread: Whether to leave the task out, because each call of the thread's sync code is another one.
        """
        thread = reading_thread() if of_thread else this_thread()
        try:
            loop = _reference(current_token().native_token)
        except anyio.NoEventLoopError:
            return cls(thread, None, None)
        return cls(thread, loop, None if of_thread else _reference(anyio.get_current_task().coro))

    @property
    def gone(self) -> bool:
        """Whether nothing will ever run there again: the task, the event loop or the thread has ended."""
        if self.thread() is None:
            return True
        if self.loop is not None:
            loop = self.loop()
            if loop is None or (hasattr(loop, "is_closed") and loop.is_closed()):
                return True
        if self.task is None:
            return False
        task = self.task()
        return task is None or getattr(task, "cr_frame", task) is None

    @property
    def in_this_loop(self) -> bool:
        """Whether the current event loop is the one of this place."""
        try:
            return self.loop is not None and self.loop() is current_token().native_token
        except anyio.NoEventLoopError:
            return False

    @property
    def is_current_task(self) -> bool:
        if self.task is None:
            return self.thread is reading_thread()
        try:
            return self.task() is anyio.get_current_task().coro
        except anyio.NoEventLoopError:
            return False

    def is_same_task(self, other: Place) -> bool:
        if self.task is None:
            return self.thread is other.thread
        # Not the threads: where a thread ends, its mark goes before its event loop is closed.
        return other.task is not None and self.task() is other.task() is not None

    @property
    def waits_here(self) -> bool:
        """Whether the task of this place is the current one, or has since started the current one and waits for it."""
        return self.is_current_task or any(
            self.is_same_task(work.parent) and self.serial < work.parent.serial and not work.ended
            for work in _around.get()
        )


@final
@define(eq=False)
class Subtasks:
    """Child tasks that the current task starts and waits for; leaving the block says that they have ended.

    Each child calls `join` first. All that a child starts inherits its membership, also what outlives the child.
    """

    parent: Place = field(factory=Place.here)
    ended: bool = field(default=False, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.ended = True

    def join(self) -> None:
        _around.set((*_around.get(), self))

    @property
    def around(self) -> bool:
        """Whether the current task is one of them or works for one: it must not wait for their end."""
        return self in _around.get()


_around: ContextVar[tuple[Subtasks, ...]] = ContextVar("aimu_around", default=())
