"""Write the generated files of this checkout, or check that they are up to date.

    python -m aimu._tools.generate           # write them
    python -m aimu._tools.generate --check   # print the files that differ; exit with 1 if there are any

Run it in the root of the checkout. It needs the standard library only. Each module in `MODULES` has a function
`files()`, which returns the text of each file that it generates, by path.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aimu._tools import provider_classes, sync_twins

ROOT = Path(__file__).resolve().parents[2]


class Generator(Protocol):
    """A module that generates files."""

    def files(self) -> Mapping[Path, str]:
        """Return the text of each file, by its path relative to the root of the checkout."""
        ...


MODULES: tuple[Generator, ...] = (provider_classes, sync_twins)


def outdated() -> dict[Path, str]:
    """Return the right text of each generated file that is missing or differs."""
    wanted = {ROOT / path: text for module in MODULES for path, text in module.files().items()}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text("utf8") != text}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m aimu._tools.generate", description="Write the generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file differs")
    check = parser.parse_args(arguments).check
    found = outdated()
    for path, text in found.items():
        sys.stdout.write(f"{os.path.relpath(path, ROOT)} {'differs' if check else 'written'}\n")
        if not check:
            path.write_text(text, "utf8", newline="\n")
    if check and found:
        sys.stdout.write("run `python -m aimu._tools.generate`\n")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
