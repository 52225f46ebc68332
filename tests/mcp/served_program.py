"""A program that serves tools of every kind, over stdio or over HTTP at a given port, on asyncio or trio."""

import sys
from dataclasses import dataclass
from functools import partial

import anyio

from aimu.tools import current_call, serve_mcp


@dataclass
class Sum:
    """A sum."""

    total: int
    of: list[int]


def add(numbers: list[int]) -> Sum:
    """Add numbers."""
    for done, number in enumerate(numbers, 1):
        current_call().progress(done, len(numbers), f"adds {number}")
    current_call().log(f"added {len(numbers)} numbers")
    return Sum(sum(numbers), numbers)


async def wait(marks: str) -> str:
    """Wait for ever, and leave marks."""
    await anyio.Path(marks, "began").touch()
    try:
        current_call().progress(1)
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.Path(marks, "ended").touch()
    return ""


if __name__ == "__main__":
    server = serve_mcp([add, wait], name="served", resources={"notes://today": "It rained."})
    options = {"show_banner": False}
    if sys.argv[2:]:
        options |= {"transport": "http", "port": int(sys.argv[2]), "log_level": "CRITICAL"}
    anyio.run(partial(server.run_async, **options), backend=sys.argv[1])
