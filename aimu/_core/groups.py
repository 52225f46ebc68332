"""Exception groups: what leaves a task group when its tasks fail, are cancelled, or both.

The one owner of these rules, which hold on every backend:

- A failure outlasts a cancellation, as in sequential code whose clean-up fails. trio groups the two; the cancellations
  are dropped from the group, wherever they are in it.
- A cancellation alone stays a cancellation.
- A single failure is that failure, without its group; several stay an exception group.
- What is no Exception, such as a KeyboardInterrupt, ends the program: alone it always leaves without a group.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from math import inf
from typing import overload

from anyio import get_cancelled_exc_class


@overload
def unwrap(error: Exception, levels: float = inf) -> Exception: ...
@overload
def unwrap(error: BaseException, levels: float = inf) -> BaseException: ...
def unwrap(error: BaseException, levels: float = inf) -> BaseException:
    """Return what is inside groups of one, at most so many levels deep; anything else as it is."""
    while levels > 0 and isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
        levels -= 1
    return error


def without_cancellations(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the group without its cancellations; if there is nothing else in it, return one of the cancellations."""
    cancelled, failures = group.split(get_cancelled_exc_class())
    if cancelled is None:
        return group
    if failures is not None:
        return failures
    inside: BaseException = cancelled
    while isinstance(inside, BaseExceptionGroup):
        inside = inside.exceptions[0]
    return inside


@contextmanager
def single_failure(levels: float = inf) -> Generator[None, None, None]:
    """Around a task group, or around code that may open one: raise what the rules of this module say.

    Args:
        levels: How many groups to take off a single Exception; 0 leaves the group around it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error = unwrap(without_cancellations(group), levels)
        if not isinstance(inside := unwrap(error), Exception | BaseExceptionGroup):
            error = inside
        if error is group:
            raise
        raise error from error.__cause__
