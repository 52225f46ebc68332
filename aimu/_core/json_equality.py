"""Compares JSON values as JSON Schema does: 1 and 1.0 are one number, and true is no number.

JSON Schema Core 2020-12, section 4.2.2 (json-schema.org, read 2026-11-26).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any


def json_key(value: Any) -> Hashable:
    """Return what is equal for two JSON values if, and only if, JSON Schema calls them equal."""
    if isinstance(value, Mapping):
        return "object", frozenset((key, json_key(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return "array", tuple(map(json_key, value))
    return isinstance(value, bool), value
