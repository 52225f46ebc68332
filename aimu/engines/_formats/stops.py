"""Where a stop string ends a growing text, the same at any cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final


@final
class StopStrings:
    """`feed` gives the text that is certain to stand before any of the strings; behind one all is ignored.

    `stopped` is true once one has come. `rest` gives what was held back, at the end of the text.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = [text for text in strings if text]
        self._held = ""  # the end of the text, which may be the beginning of a stop string
        self.stopped = False

    def feed(self, text: str) -> str:
        if self.stopped or not self._strings:
            return "" if self.stopped else text
        held = self._held + text
        ends = [(at + len(stop), at) for stop in self._strings if (at := held.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return held[: min(ends)[1]]  # of the one that was complete first, as when the text comes by letters
        keep = max(_overlap(held, stop) for stop in self._strings)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def rest(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the end of `text` that may be the beginning of `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
