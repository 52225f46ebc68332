"""What the library has open in an event loop, and its orderly end when the loop ends.

asyncio ends by closing all async generators that it knows at the same time. A generator would then be closed twice, by
the loop and by the one that reads from it, and asyncio prints an error that nobody can catch. So the library hides its
generators from the loop: one that reads from another closes it (`Nested`), and a single generator per loop, the keeper,
which the loop does know, closes the streams and then everything else.

Refers to event loops weakly: an ended loop, and what belongs to it, is freed.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast, final
from weakref import WeakKeyDictionary, WeakSet

from anyio.lowlevel import current_token
from attrs import define, field

from aimu._core.escaping import escaping
from aimu._core.forks import FreshLock

log = escaping(logging.getLogger("aimu._core"))

T = TypeVar("T")

# Called with each generator that is hidden from its event loop, before its first step.
observers: list[Callable[[object], object]] = []


class EndsWithLoop(Protocol):
    async def _end_with_loop(self) -> None:
        """Close what the event loop needs to close; the loop ends afterwards."""
        ...


E = TypeVar("E", bound=EndsWithLoop)


@final
@define(eq=False)
class LoopEnd:
    """What is open in one event loop.

    In a child of `os.fork()` that goes on with the parent's loop, `inherited` is what the parent has open there: kept,
    and never used or closed, because the parent has the same sockets.
    """

    inherited: LoopEnd | None = None
    pid: int = field(factory=os.getpid)
    _streams: WeakSet[EndsWithLoop] = field(factory=WeakSet, init=False)
    _attached: dict[object, EndsWithLoop] = field(factory=dict, init=False)
    _keeper: AsyncGenerator[None, None] | None = field(default=None, init=False)

    def start(self) -> None:
        self._keeper = _keeper(self)
        # Without the loop's own finalizer, the keeper does not refer to the loop.
        firstiter = sys.get_asyncgen_hooks().firstiter
        step = _with_hooks(self._keeper.__anext__, firstiter=firstiter, finalizer=_leave_suspended)
        try:
            step.__await__().send(None)
        except StopIteration:
            pass  # its first step ends without a wait

    def keep(self, stream: EndsWithLoop) -> None:
        """End the stream when the loop ends, unless it is freed before."""
        self._streams.add(stream)

    def attached(self, kind: Callable[[], E]) -> E:
        """Return the one object of this kind that belongs to this loop; make it if there is none."""
        found = self._attached.get(kind)
        if found is None:
            found = self._attached[kind] = kind()
        return cast(E, found)

    async def aclose(self) -> None:
        if self.pid != os.getpid():
            return
        interruption: BaseException | None = None
        for one in (*self._streams, *self._attached.values()):
            try:
                await one._end_with_loop()
            except Exception:  # a user's provider may raise anything; the others are closed too
                log.exception("failed to close %r at the end of its event loop", one)
            except BaseException as exc:  # noqa: BLE001 - raised below; trio cancels each wait at its end
                interruption = exc
        if interruption is not None:
            raise interruption

    def forget(self) -> None:
        self._streams.clear()
        self._attached.clear()
        self._keeper = None


async def _keeper(end: LoopEnd) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await end.aclose()


def is_keeper(generator: object) -> bool:
    return getattr(generator, "ag_code", None) is _keeper.__code__


def _leave_suspended(generator: object) -> None:
    """Let a keeper be freed without a last step: its event loop has been closed and can run none."""


@final
class _Ends:
    """What is open in each event loop of the process."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[object, LoopEnd] = WeakKeyDictionary()
        self._making = FreshLock()

    def of(self, loop: object) -> LoopEnd:
        end = self._of.get(loop)
        if end is None or end.pid != os.getpid():
            with self._making.lock:
                self._forget_closed()
                end = self._of[loop] = LoopEnd(end)
            end.start()
        return end

    def _forget_closed(self) -> None:
        # A loop that was closed without closing its generators has left its connections behind, and they refer to it.
        for loop, left in list(self._of.items()):
            is_closed: Callable[[], bool] | None = getattr(loop, "is_closed", None)
            if is_closed is not None and is_closed():
                left.forget()


_ends = _Ends()


def loop_end() -> LoopEnd:
    """Return what is open in the current event loop."""
    return _ends.of(current_token().native_token)


def _with_hooks(call: Callable[[], T], *, firstiter: Any, finalizer: Any) -> T:
    """Call a function while this thread's event loop has other hooks for async generators."""
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter, finalizer)
    try:
        return call()
    finally:
        sys.set_asyncgen_hooks(*before)


def _unseen(call: Callable[[], T]) -> T:
    """Call a function while the event loop does not learn of new generators; it still finalises them."""
    return _with_hooks(call, firstiter=None, finalizer=sys.get_asyncgen_hooks().finalizer)


def first_step(iterator: AsyncIterator[T]) -> Awaitable[T]:
    """Return the first step of an iterator, which the event loop does not learn of if it is an async generator.

    The loop still finalises the generator if it is dropped.
    """
    for observe in observers:
        observe(iterator)
    return _unseen(iterator.__anext__)


@final
class Nested(Generic[T]):
    """Around a loop inside an async generator over another one: an iterator that hides and closes the other one.

    Args:
        iterable: The other generator; or something else, which is closed only if it has `aclose`.
        whole: Whether its first step also hides the generators that it reads from itself.
    """

    def __init__(self, iterable: AsyncIterable[T], *, whole: bool = False) -> None:
        self._iterable = iterable
        self._iterator = aiter(iterable)
        self._whole = whole
        self._next: Callable[[], Awaitable[T]] = self._first

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._iterator,) if self._iterator is self._iterable else (self._iterator, self._iterable):
            close: Callable[[], Awaitable[None]] | None = getattr(one, "aclose", None)
            if close is not None:
                await close()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T]:
        return self._next()

    def _first(self) -> Awaitable[T]:
        self._next = self._iterator.__anext__
        step = first_step(self._iterator)
        return _Hidden(step) if self._whole else step


@final
class _Hidden(Generic[T]):
    """A step during which the event loop learns of no generator."""

    def __init__(self, step: Awaitable[T]) -> None:
        self._step = step

    def __await__(self) -> Generator[Any, Any, T]:
        step: Any = self._step.__await__()
        sent: Any = None
        raised: BaseException | None = None
        while True:
            try:
                waits_for = _unseen(partial(step.send, sent) if raised is None else partial(step.throw, raised))
            except StopIteration as ended:
                return cast(T, ended.value)
            sent = raised = None
            try:
                sent = yield waits_for
            except BaseException as exc:  # noqa: BLE001 - raised inside the step
                raised = exc
