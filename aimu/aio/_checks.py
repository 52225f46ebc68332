"""Validators for attrs fields that raise InvalidOptionError."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from attrs import Attribute

from aimu.errors import InvalidOptionError


def not_empty(instance: object, attribute: Attribute[Any], value: Sized) -> None:
    if not value:
        raise InvalidOptionError(f"{attribute.name} is empty; give at least one runner")


def at_least_one(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if not _is_int(value) or value < 1:
        raise InvalidOptionError(f"{attribute.name} must be an integer of at least 1, got {value!r}")


def at_least_one_or_none(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None:
        at_least_one(instance, attribute, value)


def one_of(*names: str) -> Callable[[object, Attribute[Any], Any], None]:
    def check(instance: object, attribute: Attribute[Any], value: Any) -> None:
        if value not in names:
            raise InvalidOptionError(f"{attribute.name} must be {' or '.join(map(repr, names))}, got {value!r}")

    return check


def calls_at_once(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, int) or value < 0:
        raise InvalidOptionError(
            f"{attribute.name} must be True, False or the number of calls that may run at once, got {value!r}"
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
