"""The `timeout=` of a call: what it may be, and the error when it expires."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import anyio

from aimu.errors import InvalidOptionError

CLOSING = 5.0  # s; the time that a user's provider or async generator gets to close when a run has ended


def checked_timeout(timeout: Any) -> float | None:
    """Return `timeout` if it is None or a number of seconds; raise InvalidOptionError otherwise."""
    if timeout is None:
        return None
    if not isinstance(timeout, bool) and isinstance(timeout, Real) and (seconds := float(timeout)) >= 0:
        return seconds
    raise InvalidOptionError(f"timeout= must be a number of seconds of at least 0, or None, got {timeout!r}")


def expired(what: str, seconds: float) -> TimeoutError:
    """Return the error that says what did not end in time."""
    return TimeoutError(f"{what} did not end within {seconds:g} seconds; pass a longer timeout=, or None for no limit")


@contextmanager
def within(seconds: float, what: Callable[[], str]) -> Generator[None]:
    """Cancel the block after `seconds` and raise TimeoutError."""
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise expired(what(), seconds)
