"""Names that a package exports and imports when they are first used (PEP 562).

Owns the one `__getattr__` of the packages; what they export, and from where, is theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def door(package: str, home: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of `package`; `home` is the module of each name."""
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(home[name]), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *home})

    return get, names
