"""What signals stop, at every moment: Ctrl-C the innermost scope of what is going on, then the program; SIGTERM, and
SIGHUP of a terminal that is closed, the program.

A signal is received in the event loop and cancels a scope, so nothing is raised between two bytecodes. Where the loop
itself is blocked, for example by a tool, the third Ctrl-C ends the process; after another signal it has `GRACE`.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, final

import anyio
from anyio import CancelScope
from anyio.abc import TaskStatus
from attrs import define, field

from aimu._cli import exits
from aimu._core.foreign_logs import filtered

SOON = 2.0  # s in which a further Ctrl-C is taken for the same wish
BLOCKED = 3  # signals that a blocked loop does not see
GRACE = 15.0  # s for the program to end after a signal that is not Ctrl-C; connections and servers close in that time
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


@final
@define(eq=False)
class Interrupts:
    """The scopes that a signal may cancel.

    Attributes:
        signum: The signal that stops the whole program; 0 if none does.
        at_exit: What puts the terminal right before the process is ended the hard way.
    """

    signum: int = 0
    at_exit: list[Callable[[], object]] = field(factory=list[Callable[[], object]])
    _scopes: list[CancelScope] = field(factory=list[CancelScope])
    _cancelled: float = 0.0
    _unseen: int = 0
    _timers: list[threading.Timer] = field(factory=list[threading.Timer])
    _terminals: list[int] = field(factory=lambda: list(filter(os.isatty, (0, 1, 2))))

    @contextmanager
    def stops(self) -> Generator[CancelScope]:
        """Let Ctrl-C cancel what the block does."""
        with CancelScope() as scope:
            self._scopes.append(scope)
            try:
                yield scope
            finally:
                self._scopes.remove(scope)

    def hit(self, signum: int = signal.SIGINT) -> None:
        """Do what a signal asks for."""
        if not self._scopes:  # nothing has begun
            self._end(signum)
        if signum != signal.SIGINT:
            self.signum = signum
            self._scopes[0].cancel()
            return
        left = [scope for scope in self._scopes if not scope.cancel_called]
        if len(left) < len(self._scopes) and anyio.current_time() - self._cancelled < SOON:
            return
        if not left:
            self._end(signum)
        self._cancelled = anyio.current_time()
        if len(left) == 1:
            self.signum = signum
        left[-1].cancel()

    async def watch(self, *, task_status: TaskStatus[None]) -> None:
        """Receive signals until cancelled."""
        with ExitStack() as stack:
            try:
                signals = stack.enter_context(anyio.open_signal_receiver(*received()))
            except NotImplementedError:  # Windows: Ctrl-C ends the loop
                task_status.started()
                return
            for number in received():
                signal.signal(number, self._called)  # the loop is woken as before
            task_status.started()
            async for signum in signals:
                self._unseen = 0
                self.hit(signum)

    def hung_up(self) -> bool:
        """Return whether a terminal that the program was started in is gone, which may be seen before the signal."""
        return not all(map(os.isatty, self._terminals))

    def matters(self, record: logging.LogRecord) -> bool:
        """Return whether to log an error in the event loop: not if it drew on a terminal that is gone."""
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, OSError) and error.errno == errno.EIO and self.hung_up())

    def over(self) -> None:
        """Let nothing end the process any more: the program has ended."""
        for timer in self._timers:
            timer.cancel()

    def _called(self, signum: int, frame: Any) -> None:
        if signum != signal.SIGINT:
            timer = threading.Timer(GRACE, self._end, [signum])
            timer.daemon = True
            timer.start()
            self._timers.append(timer)
            return
        self._unseen += 1
        if self._unseen >= BLOCKED:
            self._end(signum)

    def _end(self, signum: int) -> None:
        for restore in self.at_exit:
            restore()
        with suppress(OSError):  # a terminal that is closed
            sys.stderr.write("\033[?25h\n" if sys.stderr.isatty() else "")
            sys.stderr.flush()
        os._exit(exits.SIGNALLED + signum)


def received() -> list[signal.Signals]:
    """Return the signals that end the program in good order; `nohup` makes it ignore SIGHUP, and that holds."""
    hangup = [HANGUP] if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *hangup]


def run(program: Callable[[Interrupts], Awaitable[int]]) -> int:
    """Run an async program and return its exit code: 128 + the number of the signal that stopped it."""
    code, interrupts = exits.INTERRUPTED, Interrupts()
    with filtered("asyncio", interrupts.matters):
        try:
            code = anyio.run(_watched, interrupts, program, backend="asyncio")
        except* KeyboardInterrupt:  # raised by a module that was imported, and put into groups
            pass
    return code


async def _watched(interrupts: Interrupts, program: Callable[[Interrupts], Awaitable[int]]) -> int:
    code, failure = 0, None
    async with anyio.create_task_group() as group:
        await group.start(interrupts.watch)
        with interrupts.stops():
            try:
                code = await program(interrupts)
            except Exception as exc:  # noqa: BLE001 - raised below, without a group around it
                failure = exc
        group.cancel_scope.cancel()
    interrupts.over()
    if HANGUP is not None and interrupts.hung_up():
        interrupts.signum = interrupts.signum or HANGUP
    if interrupts.signum:
        return exits.SIGNALLED + interrupts.signum
    if failure is not None:
        raise failure
    return code
