"""The progress line: which program runs, which measurement and round, and how long all of it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO


@dataclass
class Progress:
    """Shows one line, which a terminal keeps in place; elsewhere, a line for each measurement.

    Args:
        estimates: Seconds that each program is expected to take, in the order of the run.
        out: Where the line goes.
    """

    estimates: Mapping[str, float]
    out: TextIO = field(default_factory=lambda: sys.stderr)
    _began: float = field(default_factory=time.monotonic, init=False)
    _program: str = field(default="", init=False)
    _program_began: float = field(default=0.0, init=False)
    _done: dict[str, float] = field(default_factory=dict, init=False)

    def begin(self, program: str) -> None:
        self._program, self._program_began = program, time.monotonic()

    def end(self) -> float:
        """End the program; return the seconds that it took."""
        self._done[self._program] = time.monotonic() - self._program_began
        return self._done[self._program]

    def step(self, title: str, number: int, of: int) -> None:
        """Show that a round begins."""
        position = f"[{list(self.estimates).index(self._program) + 1}/{len(self.estimates)}]"
        took = time.monotonic() - self._began
        line = f"{position} {self._program}: {title}, round {number} of {of}"
        times = f"{_clock(took)} of about {_clock(took + self.left())}"
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{line} · {times}")
        elif number == 1:
            self.out.write(f"{line} · {times}\n")
        self.out.flush()

    def clear(self) -> None:
        """Make room for other output."""
        if self.out.isatty():
            self.out.write("\r\x1b[K")
            self.out.flush()

    def left(self) -> float:
        """Return the seconds left; programs that have ended show by how much the estimates are wrong here."""
        estimated = sum(self.estimates[name] for name in self._done)
        pace = sum(self._done.values()) / estimated if estimated else 1.0
        now = time.monotonic() - self._program_began if self._program not in self._done else 0.0
        ahead = sum(seconds for name, seconds in self.estimates.items() if name not in self._done)
        return max(0.0, ahead * pace - now)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
