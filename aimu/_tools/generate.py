"""Writes the generated files of the library; with `--check` it names those that differ, and fails.

python -m aimu._tools.generate [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from aimu._tools import sync_twins

GENERATORS = (sync_twins,)


def main() -> int:
    """Write the files, or compare them; returns the exit status."""
    differing: list[Path] = []
    for generator in GENERATORS:
        for path, text in generator.files().items():
            if not path.exists() or path.read_text(encoding="utf8") != text:
                differing.append(path)
                if "--check" not in sys.argv:
                    path.write_text(text, encoding="utf8")
    for path in differing:
        sys.stdout.write(f"{path}\n")
    return 1 if differing and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
