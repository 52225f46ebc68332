"""Exception groups of one: what a task group makes of a single failure, and how it is taken out again."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


def unwrap(error: BaseException) -> BaseException:
    """The single leaf of a group, at any depth; anything else as it is."""
    leaf = error
    while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
        leaf = leaf.exceptions[0]
    return error if isinstance(leaf, BaseExceptionGroup) else leaf


@contextmanager
def single_failure() -> Generator[None, None, None]:
    """Around a task group: raise a single failure itself, without its group."""
    try:
        yield
    except BaseExceptionGroup as group:
        leaf = unwrap(group)
        if leaf is group:
            raise
        raise leaf from leaf.__cause__
