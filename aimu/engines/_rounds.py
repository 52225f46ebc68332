"""What the thread of a set of weights does: the queue, and rounds in which requests that can share take their steps.

Owns the order (first come, first served), what runs side by side, the stop flag and the thread's life. Knows no model,
event loop or reader: a request is a function, and whoever waits for it is notified.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, TypeAlias, TypeVar, cast, final

from attrs import define, field, frozen

from aimu.errors import ClosedClientError

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger("aimu.engines")


@final
class StopFlag:
    """Called, it says whether a request is to be left.

    `cell` is empty as a C string until then: what native code can look at, which runs without the GIL.
    """

    __slots__ = ("cell",)

    def __init__(self) -> None:
        self.cell = bytearray(2)

    def __call__(self) -> bool:
        return self.cell[0] != 0

    def set(self) -> None:
        self.cell[0] = 1


Emit: TypeAlias = Callable[[T], object]
Job: TypeAlias = Callable[[Emit[T], StopFlag], R]
"""A request: calls `emit` for each piece, looks at `stopped()` between steps and leaves early when it is true."""
Steps: TypeAlias = Generator[Callable[[], object], None, R]
"""A request in steps. What it yields is called before its next one, once for all that yield the same in a round.

Where that call raises, the error is raised at the `yield` of each of them.
"""


@frozen
class Shared(Generic[T, R]):
    """A job that lets others of its kind take steps between its own."""

    begin: Callable[[Emit[T], StopFlag], Steps[R]]


def _one_step(job: Job[T, R], emit: Emit[T], stopped: StopFlag) -> Steps[R]:
    return job(emit, stopped)
    yield  # makes it a generator


@define(eq=False)
class QueuedRequest(Generic[T, R]):
    """One job, in the queue or in the thread. The thread writes and the reader reads; a lock is needed nowhere."""

    job: Job[T, R] | Shared[T, R]
    notify: Callable[[], bool]
    discard: bool = False
    items: deque[T] = field(factory=deque)
    stopped: StopFlag = field(factory=StopFlag)
    left: bool = False
    closed: bool = False
    failure: BaseException | None = None  # of what the last step yielded
    error: BaseException | None = None
    returned: R | None = None
    _steps: Steps[R] | None = None
    _owner: Lock = field(factory=Lock)

    def claim(self) -> bool:
        """True for the first who asks: the thread that begins the job, or the reader that withdraws it."""
        return self._owner.acquire(blocking=False)

    def emit(self, item: T) -> None:
        if not self.discard:
            self.items.append(item)
            if not self.notify():
                self.stopped.set()

    @property
    def shares(self) -> bool:
        return isinstance(self.job, Shared)

    def step(self) -> Callable[[], object] | None:
        """A step of the job, in the worker's thread: what to call before the next one; None if this was the last."""
        failure, self.failure = self.failure, None
        try:
            if self._steps is None:
                job = self.job
                begin = job.begin if isinstance(job, Shared) else partial(_one_step, job)
                self._steps = begin(self.emit, self.stopped)
            call = next(self._steps) if failure is None else self._steps.throw(failure)
            hash(call)  # equal calls are made once: one that cannot be compared is this request's error
            return call
        except StopIteration as end:
            self.returned = end.value
        except BaseException as exc:  # noqa: BLE001 - raised in the reader, by `outcome`
            self.error = exc
        finally:
            del failure  # else its traceback and this frame would hold each other
        return None

    def leave(self) -> None:
        if self.error is not None and self.stopped():
            _log_failure(logging.WARNING, "a stopped request failed, and nobody waits for it", self.error)
        self._steps = None
        self.left = True
        _tell(self.notify)

    def outcome(self) -> R:
        if self.closed:
            raise ClosedClientError("this engine")
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else the traceback and this frame would hold each other
        return cast(R, self.returned)


def _tell(notify: Callable[[], object]) -> None:
    """Notify somebody who waits; nothing that they raise may end the thread."""
    try:
        notify()
    except BaseException as exc:  # noqa: BLE001 - of no request, and there is nobody above
        _log_failure(logging.ERROR, "somebody who waits for an engine could not be notified", exc)


def _log_failure(level: int, text: str, exc: BaseException) -> None:
    with suppress(BaseException):  # a log handler is foreign code, too
        _log.log(level, text, exc_info=exc)


@define(eq=False)
class RequestQueue:
    """What thread and worker share; the thread holds this and not the worker, so a forgotten worker is collected.

    No lock: all of it may be called by the garbage collector, in any thread, in the middle of itself.
    """

    share: int
    inbox: SimpleQueue[QueuedRequest[Any, Any] | None] = field(factory=SimpleQueue[QueuedRequest[Any, Any] | None])
    head: deque[QueuedRequest[Any, Any] | None] = field(factory=deque[Any])  # out of the inbox, and not yet begun
    waiting: set[QueuedRequest[Any, Any]] = field(factory=set[QueuedRequest[Any, Any]])
    running: list[QueuedRequest[Any, Any]] = field(factory=list[Any])
    free: Callable[[], object] | None = None
    at_end: list[Callable[[], object]] = field(factory=list[Callable[[], object]])
    closed: bool = False
    ended: bool = False

    def put(self, request: QueuedRequest[Any, Any]) -> None:
        self.waiting.add(request)
        self.inbox.put(request)
        if self.closed and request.claim():  # looked at after the put: what the thread might never see is refused
            self.waiting.discard(request)
            raise ClosedClientError("this engine")

    def withdraw(self, request: QueuedRequest[Any, Any]) -> None:
        """Stop a request: one that waits never begins, one that runs leaves at its next look."""
        request.stopped.set()
        if request.claim():
            self.waiting.discard(request)
            request.left = True

    def serve(self) -> None:
        """The thread's whole life. It ends when the queue is closed, and never by an error."""
        while (request := self.head.popleft() if self.head else self.inbox.get()) is not None:
            try:
                self._admit(request)
                self._rounds(self.share if request.shares else 1)
            except BaseException as exc:  # noqa: BLE001 - of no single request: all that run end with it
                for running in list(self.running):
                    running.error = exc
                    self._dismiss(running)
            del request  # or the last reply would live as long as the thread waits
        free, self.free = self.free, None
        try:
            if free is not None:
                free()
        except BaseException as exc:  # noqa: BLE001 - the thread ends here, and whoever waits for that is notified
            _log_failure(logging.ERROR, "the weights of an engine could not be freed", exc)
        self.ended = True
        for notify in list(self.at_end):
            _tell(notify)

    def _admit(self, request: QueuedRequest[Any, Any]) -> None:
        """Let a request run, if nobody withdrew it and the queue is open."""
        if request.claim():
            self.waiting.discard(request)
            self.running.append(request)
            if self.closed:  # looked at after the append: `close` stops what it finds there
                request.closed = True
                self._dismiss(request)

    def _dismiss(self, request: QueuedRequest[Any, Any]) -> None:
        self.running.remove(request)
        request.leave()

    def _rounds(self, share: int) -> None:
        """A step of each that runs, then what these ask for, again and again until all have ended."""
        while self.running:
            self._fill(share)
            calls: dict[Callable[[], object], list[QueuedRequest[Any, Any]]] = {}
            for request in list(self.running):
                call = request.step()
                if call is None:
                    self._dismiss(request)
                else:
                    calls.setdefault(call, []).append(request)
            for call, asking in calls.items():
                try:
                    call()
                except BaseException as exc:  # noqa: BLE001 - raised in the steps of those who asked for it
                    for request in asking:
                        request.failure = exc

    def _fill(self, share: int) -> None:
        """Admit who waits, in order, up to the first that shares with nobody."""
        while len(self.running) < share:
            if not self.head:
                if self.inbox.empty():
                    return
                self.head.append(self.inbox.get())
            request = self.head[0]
            if request is None or not (request.shares or request.left):
                return
            self._admit(request)
            self.head.popleft()

    def close(self, free: Callable[[], object] | None = None) -> None:
        """Refuse and stop everything; the thread then calls `free` and ends by itself."""
        if not self.closed:
            self.free = free
            self.closed = True
            for request in list(self.running):
                request.closed = True
                request.stopped.set()
            self.inbox.put(None)
