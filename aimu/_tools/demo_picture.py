"""Draws what the demo prints in a terminal: `docs/demo.light.svg` and `docs/demo.dark.svg`.

    python -m aimu._tools.demo_picture            # runs the demo on the embedded model and draws it
    python -m aimu._tools.demo_picture --check    # says whether the pictures are what the demo prints now

Owns the picture: the part of the output that it shows, its colours, and the terminal's codes that the demo uses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COMMAND = ("docs/demo.py", "--seed", "7")
_COLUMN, _LINE, _MARGIN, _BAR = 8.4, 20, 18, 34  # pixels: a character, a line, around the text, the bar above it
_COLUMNS = 66
_FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_CODE = re.compile(r"\x1b\[(\d+)m")
_STYLES = {"0": "", "1": "bold", "2": "dim", "36": "call"}


class Theme(NamedTuple):
    paper: str
    frame: str
    ink: str
    dim: str
    call: str


THEMES = {
    "light": Theme(paper="#f6f8fa", frame="#d1d9e0", ink="#1f2328", dim="#59636e", call="#0a6b74"),
    "dark": Theme(paper="#0d1117", frame="#30363d", ink="#e6edf3", dim="#9198a1", call="#56d4dd"),
}


def shown(output: str) -> list[str]:
    """Return the lines that the picture shows: those of the run on asyncio, below the command."""
    run = output.partition("== asyncio ==")[2].partition("\n\n")[0].splitlines()[1:]
    return [f"$ python {' '.join(COMMAND)}", *run]


def pieces(line: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of a line, each with its style."""
    style = ""
    for index, text in enumerate(_CODE.split(line)):
        if index % 2:
            style = _STYLES[text]
        elif text:
            yield style, text


def drawn(lines: Sequence[str], theme: Theme) -> str:
    """Return the SVG of a terminal with these lines."""
    width = _COLUMNS * _COLUMN + 2 * _MARGIN
    height = _BAR + len(lines) * _LINE + _MARGIN
    dots = "".join(f'<circle cx="{_MARGIN + 16 * number}" cy="17" r="5"/>' for number in range(3))
    rows = []
    for number, line in enumerate(lines):
        column = 0
        y = _BAR + (number + 0.8) * _LINE
        for style, given in pieces(line):
            text = given.strip()
            column += len(given) - len(given.lstrip())
            x, length = _MARGIN + column * _COLUMN, len(text) * _COLUMN
            kind = f' class="{style}"' if style else ""
            place = f'x="{x:.1f}" y="{y:.0f}" textLength="{length:.1f}"'
            if text:
                rows.append(f"<text {place}{kind}>{escape(text, quote=False)}</text>")
            column += len(given.lstrip())
    style = (
        f"text{{font:14px {_FONT};fill:{theme.ink}}}"
        f".bold{{font-weight:700}}text.dim{{fill:{theme.dim}}}text.call{{fill:{theme.call}}}"
    )
    box = f'width="{width:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box}>'
    frame = (
        f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8" '
        f'fill="{theme.paper}" stroke="{theme.frame}"/>'
    )
    title = "<title>The demo in a terminal</title>"
    return "\n".join(
        [head, title, f"<style>{style}</style>", frame, f'<g fill="{theme.frame}">{dots}</g>', *rows, "</svg>\n"]
    )


def pictures() -> dict[Path, str]:
    """Run the demo, and return the text of each picture by its path."""
    command = [sys.executable, *COMMAND]
    environment = {**os.environ, "FORCE_COLOR": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    lines = shown(done.stdout)
    return {ROOT / f"docs/demo.{name}.svg": drawn(lines, theme) for name, theme in THEMES.items()}


def main(arguments: Sequence[str]) -> int:
    stale = {path: text for path, text in pictures().items() if not path.exists() or path.read_text("utf8") != text}
    for path, text in stale.items():
        if "--check" in arguments:
            sys.stdout.write(
                f"{path.relative_to(ROOT)} is not what the demo prints now: python -m aimu._tools.demo_picture\n"
            )
        else:
            path.write_text(text, "utf8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
