"""Keeps signal handlers from raising inside an event loop.

Python runs a signal handler between any two bytecodes of the main thread. If the handler raises there, the loop may lose
a callback, or the library a slot, and the next call hangs. A `SignalGuard` therefore stands in for the program's
handlers while a loop runs: it calls them at once, and what they raise stops the call at its next `await`. Decides
neither how a call is stopped nor what the handlers do.
"""

from __future__ import annotations

import _signal  # `signal` wraps these functions in enum look-ups that take eight times as long
import threading
from collections.abc import Callable
from signal import valid_signals
from types import FrameType
from typing import Any, cast, final

_getsignal: Callable[[int], Any] = cast(Any, _signal).getsignal
_setsignal: Callable[[int, Any], Any] = cast(Any, _signal).signal
_SIGNALS = sorted(map(int, valid_signals()))


@final
class SignalGuard:
    """Stands in for all Python signal handlers; in a thread other than the main one, where none runs, does nothing.

    `install` and `remove` may be called again if a handler raised in the middle of them.

    Args:
        stop: Called with what a handler raised; it may raise the exception to let it out at once.
    """

    def __init__(self, stop: Callable[[BaseException], object]) -> None:
        self._stop = stop
        self._main = threading.current_thread() is threading.main_thread()
        self._replaced: dict[int, Any] = {}
        self._installed = False
        self._handler = self._on_signal

    def install(self) -> None:
        if self._main:
            self._installed = True
            for number in _SIGNALS:
                handler = _getsignal(number)
                if callable(handler) and handler is not self._handler:
                    self._replaced[number] = handler
                    _setsignal(number, self._handler)

    def remove(self) -> None:
        """Put the program's handlers back, except where the program has set a new one since."""
        self._installed = False
        while self._replaced:
            number, handler = next(iter(self._replaced.items()))
            if _getsignal(number) is self._handler:
                _setsignal(number, handler)
            self._replaced.pop(number, None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        try:
            self._replaced[number](number, frame)
        except BaseException as exc:
            if not self._installed:
                raise
            self._stop(exc)
