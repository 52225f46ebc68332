"""What starts anew in a child of `os.fork()`.

A child has only the thread that forked. What the other threads held, they hold for ever: locks, slots, turns.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Protocol, final
from weakref import WeakSet


class Renewable(Protocol):
    def renew(self) -> None:
        """Forget what other threads held."""
        ...


_living: WeakSet[Renewable] = WeakSet()


def renew_in_children(thing: Renewable) -> None:
    """Call the object's `renew` in each forked child, before any other code runs there."""
    _living.add(thing)


@final
class FreshLock:
    """A lock that is free in a child, whoever held it when the process forked.

    Attributes:
        lock: The lock; ask for it each time.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        self.lock = Lock()


def _renew_all() -> None:
    for thing in list(_living):
        thing.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_renew_all)
