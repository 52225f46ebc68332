"""Runs the thread of one set of weights: its queue, and rounds in which requests that can share it take steps.

Owns the order (first come, first served), the choice of requests that run side by side, the stop flag, and the lifetime
of the thread. Knows no model, event loop or reader: a request is a function, and a callback notifies its reader.
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

from aimu._core.escaping import escaping
from aimu.errors import ClosedClientError

T = TypeVar("T")
R = TypeVar("R")

_IDLE = 0.01  # seconds until a round looks for stopped and new requests

log = escaping(logging.getLogger("aimu.engines"))


class Stopped(Exception):
    """Ends a job whose stop flag is set; nobody waits for its result."""


@final
class StopFlag:
    """Tells a request to stop; call it to ask whether it is set.

    As a C string, `cell` is empty until then, so that native code can check it without the GIL.
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
"""A request as a function: it calls `emit` for each piece, and returns early once `stopped()` is true."""
Steps: TypeAlias = Generator[Callable[[], object], None, R]
"""A request in steps. The function that it yields is called before its next step.

If several requests yield the same function in a round, it is called once. If it raises, each of them gets the error at
its `yield`.
"""


@final
@frozen
class Idle:
    """What a step yields to wait for another thread: called only in rounds in which no request computes.

    Args:
        wait: Waits for up to so many seconds.
    """

    wait: Callable[[float], object]

    def __call__(self) -> None:
        self.wait(_IDLE)


@frozen
class Shared(Generic[T, R]):
    """A job that lets other shared jobs take steps between its own."""

    begin: Callable[[Emit[T], StopFlag], Steps[R]]


def _one_step(job: Job[T, R], emit: Emit[T], stopped: StopFlag) -> Steps[R]:
    return job(emit, stopped)
    yield  # makes it a generator


@define(eq=False)
class QueuedRequest(Generic[T, R]):
    """One job, in the queue or in the thread. The thread writes and the reader reads, so that no lock is needed."""

    job: Job[T, R] | Shared[T, R]
    notify: Callable[[], bool]
    discard: bool = False
    items: deque[T] = field(factory=deque)
    stopped: StopFlag = field(factory=StopFlag)
    left: bool = False
    closed: bool = False
    unread: bool = False  # whether no reader will see the end, because the interpreter exits
    failure: BaseException | None = None  # raised by the function that the last step yielded
    error: BaseException | None = None
    returned: R | None = None
    _steps: Steps[R] | None = None
    _owner: Lock = field(factory=Lock)

    def claim(self) -> bool:
        """Return True for the first caller only: the thread that begins the job, or the reader that withdraws it."""
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
        """Run a step of the job; return the function to call before the next one, or None after the last step."""
        failure, self.failure = self.failure, None
        try:
            if self._steps is None:
                job = self.job
                begin = job.begin if isinstance(job, Shared) else partial(_one_step, job)
                self._steps = begin(self.emit, self.stopped)
            call = next(self._steps) if failure is None else self._steps.throw(failure)
            hash(call)  # the functions become keys of a dict: one that cannot be hashed fails this request only
            return call
        except StopIteration as end:
            self.returned = end.value
        except BaseException as exc:  # noqa: BLE001 - raised in the reader, by `outcome`
            self.error = exc
        finally:
            del failure  # breaks the reference cycle of its traceback and this frame
        return None

    def leave(self) -> None:
        if self.error is not None and self.stopped() and not isinstance(self.error, Stopped):
            _log_failure(logging.WARNING, "a request failed after it was stopped", self.error)
        self._steps = None
        if not self.unread:
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
                del error  # breaks the reference cycle of its traceback and this frame
        return cast(R, self.returned)


def _tell(notify: Callable[[], object]) -> None:
    """Call a callback of a reader; no exception of it may end the thread."""
    try:
        notify()
    except BaseException as exc:  # noqa: BLE001 - it belongs to no request, and there is no caller
        _log_failure(logging.ERROR, "cannot notify the reader of a request", exc)


def _log_failure(level: int, text: str, exc: BaseException) -> None:
    with suppress(BaseException):  # a log handler is foreign code and may raise anything
        log.log(level, text, exc_info=exc)


@define(eq=False)
class RequestQueue:
    """The queue that thread and worker share. The thread holds no reference to the worker, which can be collected.

    There is no lock: the garbage collector may call any method, in any thread, while another method runs.
    """

    share: int
    inbox: SimpleQueue[QueuedRequest[Any, Any] | None] = field(factory=SimpleQueue[QueuedRequest[Any, Any] | None])
    head: deque[QueuedRequest[Any, Any] | None] = field(factory=deque[Any])  # taken from the inbox, not yet begun
    waiting: set[QueuedRequest[Any, Any]] = field(factory=set[QueuedRequest[Any, Any]])
    running: list[QueuedRequest[Any, Any]] = field(factory=list[Any])
    free: Callable[[], object] | None = None
    at_end: list[Callable[[], object]] = field(factory=list[Callable[[], object]])
    closed: bool = False
    ended: bool = False

    def put(self, request: QueuedRequest[Any, Any]) -> None:
        self.waiting.add(request)
        self.inbox.put(request)
        if self.closed and request.claim():  # checked after the put, since the thread may never see the request
            self.waiting.discard(request)
            raise ClosedClientError("this engine")

    def withdraw(self, request: QueuedRequest[Any, Any]) -> None:
        """Stop a request: a waiting one never begins, a running one ends when it next checks its flag."""
        request.stopped.set()
        if request.claim():
            self.waiting.discard(request)
            request.left = True

    def serve(self) -> None:
        """Serve requests until the queue is closed. This is all that the thread runs; no error ends it."""
        while (request := self.head.popleft() if self.head else self.inbox.get()) is not None:
            try:
                self._admit(request)
                self._rounds(self.share if request.shares else 1)
            except BaseException as exc:  # noqa: BLE001 - belongs to no single request, so all running ones fail
                self._fail_all(request, exc)
            del request  # so that the last reply is not kept while the thread waits
        free, self.free = self.free, None
        try:
            if free is not None:
                free()
        except BaseException as exc:  # noqa: BLE001 - logged, so that those who wait for the end are notified
            _log_failure(logging.ERROR, "cannot free the weights of an engine", exc)
        self.ended = True
        for notify in list(self.at_end):
            _tell(notify)

    def _admit(self, request: QueuedRequest[Any, Any]) -> None:
        """Let a request run, unless it was withdrawn or the queue is closed."""
        if request.claim():
            self.waiting.discard(request)
            self.running.append(request)
            if self.closed:  # checked after the append, since `close` stops all requests in the list
                request.closed = True
                self._dismiss(request)

    def _dismiss(self, request: QueuedRequest[Any, Any]) -> None:
        self.running.remove(request)
        request.leave()

    def _fail_all(self, begun: QueuedRequest[Any, Any], exc: BaseException) -> None:
        """End all running requests, and the one begun last, with an error that none of them raised."""
        for request in {begun, *self.running}:
            if not request.left:
                self.waiting.discard(request)
                request.error = exc
                request.leave()
        self.running.clear()

    def _rounds(self, share: int) -> None:
        """Run a step of each running request, then the functions that they yield; repeat until all have ended."""
        while self.running:
            self._fill(share)
            calls: dict[Callable[[], object], list[QueuedRequest[Any, Any]]] = {}
            for request in list(self.running):
                call = request.step()
                if call is None:
                    self._dismiss(request)
                else:
                    calls.setdefault(call, []).append(request)
            computing = [call for call in calls if not isinstance(call, Idle)]
            for call in computing or calls:
                asking = calls[call]
                try:
                    call()
                except BaseException as exc:  # noqa: BLE001 - raised in the steps of the requests that yielded it
                    for request in asking:
                        request.failure = exc

    def _fill(self, share: int) -> None:
        """Admit waiting requests in order, up to the first that cannot share."""
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

    def leave_readers(self) -> None:
        """Let no reader see the end of its request: at exit, only daemon threads still read, and freeze soon."""
        for request in [*self.running, *self.waiting]:
            request.unread = True

    def close(self, free: Callable[[], object] | None = None) -> None:
        """Refuse new requests and stop all others; the thread then calls `free` and ends."""
        if not self.closed:
            self.free = free
            self.closed = True
            for request in list(self.running):
                request.closed = True
                request.stopped.set()
            self.inbox.put(None)
