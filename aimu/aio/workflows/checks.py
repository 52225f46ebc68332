"""What may be in the fields of workflows: validators of attrs that raise the library's own error."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from attrs import Attribute

from aimu.errors import InvalidOptionError


def not_empty(instance: object, attribute: Attribute[Any], value: Sized) -> None:
    if not value:
        raise InvalidOptionError(f"{attribute.name} is empty; give at least one runner")


def at_least_one(instance: object, attribute: Attribute[Any], value: int | None) -> None:
    """None, where a field allows it, is no bound."""
    if value is not None and value < 1:
        raise InvalidOptionError(f"{attribute.name} is at least 1, not {value!r}")
