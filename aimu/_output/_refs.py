"""References in a JSON Schema to its definitions, which all are in its `$defs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEFINITIONS = "#/$defs/"


def definition(ref: str) -> str:
    """Return the name of the definition that a reference means."""
    return ref.removeprefix(_DEFINITIONS)


def used(node: Any) -> set[str]:
    """Return the names of the definitions that a schema, or a part of one, refers to directly."""
    found, waiting = set[str](), [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting.extend(item.values())
            if isinstance(ref := item.get("$ref"), str):
                found.add(definition(ref))
        elif isinstance(item, list):
            waiting.extend(item)
    return found
