"""Exception groups of one: what a task group makes of a single failure, and how it is taken out again."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from math import inf
from typing import overload


@overload
def unwrap(error: Exception, levels: float = inf) -> Exception: ...
@overload
def unwrap(error: BaseException, levels: float = inf) -> BaseException: ...
def unwrap(error: BaseException, levels: float = inf) -> BaseException:
    """What is inside groups of one, at most so many levels deep; anything else as it is."""
    while levels > 0 and isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
        levels -= 1
    return error


@contextmanager
def single_failure(levels: float = inf) -> Generator[None, None, None]:
    """Around a task group: raise a single failure itself, without its group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error = unwrap(group, levels)
        if error is group:
            raise
        raise error from error.__cause__
