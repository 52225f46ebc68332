"""Finds what leads to no cycle in a graph of names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping


def acyclic(uses: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names from which no path leads into a cycle.

    Args:
        uses: The names to which each name leads; those that are not keys lead nowhere.
    """
    left = {name: len(uses.keys() & set(others)) for name, others in uses.items()}
    users: defaultdict[str, list[str]] = defaultdict(list)
    for name, others in uses.items():
        for other in set(others):
            users[other].append(name)
    found, waiting = set[str](), [name for name, count in left.items() if not count]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for user in users[name]:
            left[user] -= 1
            if not left[user]:
                waiting.append(user)
    return found
