"""Finds what follows from what, and so what leads to no cycle in a graph of names, in linear time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def following(needs: Mapping[K, tuple[int, Collection[K]]]) -> set[K]:
    """Return the keys that follow: each does as soon as enough of those that it needs do.

    Args:
        needs: How many it needs, and of which, by key. A key that is listed twice counts twice.
    """
    left = {key: count for key, (count, _) in needs.items()}
    users: defaultdict[K, list[K]] = defaultdict(list)
    for key, (_, others) in needs.items():
        for other in others:
            users[other].append(key)
    found, waiting = set[K](), [key for key, count in left.items() if not count]
    while waiting:
        key = waiting.pop()
        found.add(key)
        for user in users[key]:
            left[user] -= 1
            if not left[user]:
                waiting.append(user)
    return found


def acyclic(uses: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names from which no path leads into a cycle.

    Args:
        uses: The names to which each name leads; those that are not keys lead nowhere.
    """
    known = {name: uses.keys() & set(others) for name, others in uses.items()}
    return following({name: (len(others), others) for name, others in known.items()})
