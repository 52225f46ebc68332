"""What is left of a stream whose reader was dropped without being closed.

A signal handler may raise at the entry of the reader's `__del__`, or of asyncio's own finalizer. Python swallows that
exception, and nothing would ever close the stream. So the loop of the stream gets the remains, through a callback in
which no handler can run; the next call on the thread closes them. Decides neither when a stream is dropped nor how it
is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias, TypeVar, final
from weakref import WeakSet, ref

T = TypeVar("T")
Streams: TypeAlias = "WeakSet[Any]"  # sync streams whose steps a loop makes
Finisher: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Dropped: TypeAlias = "deque[Remains]"  # of streams that the loop is to close


class Loop(Protocol):
    """A loop as the readers of streams use it."""

    streams: Streams
    dropped: Dropped

    @property
    def free(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def post(self, callback: Callable[[], object]) -> None: ...
    def run(self, coroutine: Coroutine[Any, Any, T], *, to_its_end: bool = False) -> T: ...


class Block(Protocol):
    """What holds the block of an entered stream open."""

    def dismiss(self) -> None: ...
    async def leave(self) -> None: ...


@final
class Remains(ref[Any]):
    """A reference to a reader; joins `loop.dropped` when the reader is freed.

    The reader holds it until its block is left or its `__del__` has run. While the stream is entered, so does the task
    that holds its block: a reference that the garbage collector frees together with its reader would join nothing.

    Args:
        reader: The reader.
        loop: The loop that makes its steps.
        close: Closes the stream where it is not entered, if it needs closing then.
    """

    __slots__ = ("_close", "_loop", "block")

    _loop: Loop
    _close: Finisher | None
    block: Block | None  # of an entered stream

    def __new__(cls, reader: Any, loop: Loop, close: Finisher | None) -> Remains:
        # The callback is in C: signal handlers run between instructions of Python only, so none can stop it.
        remains = super().__new__(cls, reader, loop.dropped.append)
        remains._loop, remains._close, remains.block = loop, close, None
        return remains

    def __init__(self, reader: Any, loop: Loop, close: Finisher | None) -> None:
        """Take what `ref` would take for arguments of its own."""

    async def finish(self) -> None:
        """Leave the block or close the stream, in its loop; when called again, do nothing."""
        if self.block is not None:
            await self.block.leave()
        elif self._close is not None:
            await self._close()

    def dismiss(self) -> None:
        """Let the loop leave the block when it runs next; asyncio does so for a stream that is not entered."""
        if self.block is not None:
            self._loop.post(self.block.dismiss)
