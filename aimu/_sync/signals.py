"""Keeps signal handlers from raising inside an event loop.

Python runs a signal handler between any two bytecodes of the main thread. If the handler raises there, the loop may
lose a callback, or the library a slot, and the next call hangs. A `SignalGuard` therefore stands in for the program's
handlers while a loop runs: it calls them at once, and what they raise stops the call at its next `await`. Decides
neither how a call is stopped nor what the handlers do.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` adds look-ups of enums, which take ten times as long
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from signal import valid_signals
from types import FrameType
from typing import Any, cast, final

_getsignal: Callable[[int], Any] = cast(Any, _signal).getsignal
_setsignal: Callable[[int, Any], Any] = cast(Any, _signal).signal
_SIGNALS = sorted(map(int, valid_signals()))


@final
class SignalGuard:
    """Stands in for all Python signal handlers; in a thread other than the main one, where none runs, does nothing.

    `install` and `remove` may be called again, and put right what an exception has interrupted. A stand-in that is left
    behind behaves as the handler that it stands for.

    Args:
        stop: Called with what a handler raised.
    """

    def __init__(self, stop: Callable[[BaseException], object]) -> None:
        self._stop = stop
        self._main = threading.current_thread() is threading.main_thread()
        self._replaced: dict[int, Any] = {}
        self.installed = False

    @property
    def engaged(self) -> bool:
        """Whether it stands in for a handler, or is about to."""
        return self.installed or bool(self._replaced)

    def install(self) -> None:
        """Replace the handlers. Where one of them raises meanwhile, replace all the same, and raise what it raised."""
        if self._main:
            self.installed = True
            try:
                self._replace()
            except BaseException:
                self._replace()
                raise

    def remove(self) -> None:
        """Put the program's handlers back, except where the program has set a new one since.

        From now on they raise; where one of them does so at once, the others are put back all the same.
        """
        if self._main:
            try:
                self.installed = False
                self._put_back()
            except BaseException:
                self._put_back()
                raise

    # Each begins again where it is interrupted, as those that call it do, since a burst of signals interrupts more than
    # once. It takes no loop: Python runs handlers where one jumps back, which is in none of the blocks.

    def _replace(self) -> None:
        try:
            self._replace_each()
        except BaseException:
            self._replace_each()
            raise

    def _put_back(self) -> None:
        try:
            self._put_back_each()
        except BaseException:
            self._put_back_each()
            raise

    def _replace_each(self) -> None:
        ours = self._on_signal
        for number in _SIGNALS:
            handler = _getsignal(number)
            if callable(handler) and handler != ours:
                self._replaced[number] = handler
                _setsignal(number, ours)

    def _put_back_each(self) -> None:
        ours = self._on_signal
        while self._replaced:
            number = next(iter(self._replaced))
            if _getsignal(number) == ours:
                _setsignal(number, self._replaced[number])
            self._replaced.pop(number, None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        try:
            self._replaced[number](number, frame)
        except BaseException as exc:
            if not self.installed:
                raise
            self._stop(exc)


@contextmanager
def uninterrupted() -> Generator[None]:
    """Raise only at the end of the block what signal handlers raise in it."""
    raised: list[BaseException] = []
    guard = SignalGuard(raised.append)
    try:
        try:
            guard.install()
        except BaseException as exc:  # noqa: BLE001 - raised below
            raised.append(exc)
        yield
    finally:
        guard.remove()
        if raised:
            raise raised.pop()
