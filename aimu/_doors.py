"""The public line: names that a package exports and imports at first use (PEP 562), and where users find a thing.

What a package exports, and from where, is the package's own business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")


def door(
    package: str, home: Mapping[str, str], *, packages: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Args:
        package: The name of the package.
        home: The module of each exported name.
        packages: Names of modules below the package that are imported when they are first used.
    """
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name in packages:
            return import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(home[name]), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *home, *packages})

    return get, names


def public(package: str) -> Callable[[T], T]:
    """Say which package exports a class or function, so that its `__module__` is where users import it from."""

    def declare(thing: T) -> T:
        thing.__module__ = package
        return thing

    return declare
