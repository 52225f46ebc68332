"""The live lines at the end of a terminal: rewritten in place, while what is above them is printed once and scrolls.

Only lines that changed are written again, in one write, so nothing flickers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import IO, final

from attrs import define, field
from rich.cells import cell_len

STYLE = re.compile(r"\033\[[0-9;]*m")
HIDE, SHOW = "\033[?25l", "\033[?25h"


@final
@define(eq=False)
class Region:
    """The live lines of a terminal; between updates, its cursor is at their end.

    Lines have no line breaks, and no escape sequences but styles.

    Args:
        file: The terminal.
        width: Returns its width in cells.
    """

    file: IO[str]
    width: Callable[[], int]
    _lines: list[str] = field(factory=list[str], init=False)
    _active: bool = field(default=False, init=False)

    def update(self, live: Sequence[str], above: Sequence[str] = ()) -> None:
        """Replace the live lines, and print lines above them for good.

        Args:
            live: The new live lines; they must fit on the screen.
            above: Lines to print above.
        """
        old, new = self._lines, [*above, *live]
        if new == old and not above:
            return
        same = 0
        while same < min(len(new) - bool(live), len(old)) and new[same] == old[same]:
            same += 1
        parts = [] if self._active else [HIDE]
        if same < len(old):
            up = sum(map(self._rows, old[same:])) - 1
            parts.append(f"\033[{up}A\r\033[J" if up else "\r\033[J")
        elif old:
            parts.append("\r\n")
        parts.append("\r\n".join(new[same:]))
        if new[same:] and not live:
            parts.append("\r\n")
        self._active, self._lines = True, list(live)
        self._write("".join(parts))

    def close(self) -> None:
        """Remove the live lines and show the cursor."""
        self.update([])
        if self._active:
            self._active = False
            self._write(SHOW)

    def _rows(self, line: str) -> int:
        """Return how many rows a line takes, which may have become more since it was written."""
        return max(1, -(-cell_len(STYLE.sub("", line)) // self.width()))

    def _write(self, text: str) -> None:
        self.file.write(text)
        self.file.flush()
