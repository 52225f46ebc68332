"""What stays in its process: it holds connections, locks or weights, so it cannot be pickled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

C = TypeVar("C", bound=type[Any])


def stays_in_its_process(what: str, instead: str) -> Callable[[C], C]:
    """Return a class decorator that lets pickling and copying an object of the class raise TypeError in words.

    What holds such an object can still be copied, but not deep-copied.

    Args:
        what: Names the objects of the class.
        instead: Says what to do, after a semicolon.
    """

    def refuse(self: object) -> NoReturn:
        raise TypeError(f"{what} cannot be pickled, deep-copied or sent to another process; {instead}")

    def decorate(cls: C) -> C:
        cast(Any, cls).__reduce__ = refuse
        return cls

    return decorate
