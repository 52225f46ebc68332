"""The command as it is: `python -m tests.cli.plain` in a terminal of a test."""

import sys

from aimu._cli.main import entry
from tests.cli.program import take_terminal

if __name__ == "__main__":
    take_terminal()
    entry(sys.argv[1:])
