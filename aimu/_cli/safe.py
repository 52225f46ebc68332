"""Text that may go to a terminal: what models, tools and servers write must not control it.

Colours are the program's own and go to terminals only; `NO_COLOR` switches them off.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import suppress
from itertools import accumulate
from shutil import get_terminal_size
from textwrap import fill
from typing import IO
from unicodedata import category, east_asian_width

from aimu._core.escaping import printable

# Characters that `str.isprintable` refuses and that neither move the cursor nor reorder the text around them: spaces,
# those of newer Unicode versions and of private fonts, and what joins letters and emoji.
_HARMLESS = ("Zs", "Cn", "Co")
_JOINERS = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def shown(text: str) -> str:
    """Return the text with control characters escaped, except for line breaks and tabs."""
    text = text.replace("\r\n", "\n")
    if text.isprintable():
        return text
    return printable(text, keep="\n\t" + _JOINERS + "".join({char for char in text if category(char) in _HARMLESS}))


def line_of(text: str) -> str:
    """Return the text as a single line: each run of whitespace is a space, control characters are escaped."""
    return shown(" ".join(text.split()))


def cut(text: str, cells: int) -> str:
    """Return as much of a line as fits into so many cells of a terminal."""
    seen = text[: max(cells, 0) + 1]  # each character takes a cell at least, and a line may be a megabyte
    used = list(accumulate((2 if east_asian_width(char) in "WF" else 1 for char in seen), initial=0))
    if used[-1] <= cells:
        return text
    return text[: bisect_right(used, cells - 1) - 1] + "…" if cells > 0 else ""


def tell(text: str, file: IO[str]) -> None:
    """Print a line of the program's own; if nobody can read it, as where a terminal was closed, the program goes on."""
    with suppress(OSError):
        print(text, file=file, flush=True)


def is_terminal(file: IO[str] | None) -> bool:
    """Return whether a file is a terminal that can move its cursor."""
    return file is not None and file.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(file: IO[str] | None) -> bool:
    """Return whether to write colours to a file: to terminals, or wherever `FORCE_COLOR` is set; never with `NO_COLOR`.

    See https://no-color.org and https://force-color.org.
    """
    return not os.environ.get("NO_COLOR") and (is_terminal(file) or bool(os.environ.get("FORCE_COLOR")))


def folded(text: str, file: IO[str] | None, margin: int = 0) -> str:
    """Return one line as several that break between words, if the file is a terminal; later ones have a margin."""
    if not is_terminal(file):
        return text
    width = max(get_terminal_size().columns - 1, margin + 10)
    return fill(text, width, subsequent_indent=" " * margin, break_on_hyphens=False)


def styled(text: str, style: str, file: IO[str] | None) -> str:
    """Return the text in a style, such as "bold" or "red", if the file takes colours."""
    return f"\033[{_STYLES[style]}m{text}\033[0m" if text and has_colour(file) else text
