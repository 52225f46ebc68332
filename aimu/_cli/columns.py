"""Tables of plain text: aligned and cut in a terminal, with tabs elsewhere, as programs like them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import IO

from aimu._cli.safe import cut, is_terminal, line_of, styled


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], file: IO[str]) -> None:
    """Print a table; the last column takes what is left of the line."""
    rows = [[line_of(cell) for cell in row] for row in rows]
    if not is_terminal(file):
        for row in rows:
            print("\t".join(row), file=file)
        return
    width = shutil.get_terminal_size().columns
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for number, row in enumerate((heads, *rows)):
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        line = cut(line, width)
        print(styled(line, "bold", file) if number == 0 else line, file=file)
