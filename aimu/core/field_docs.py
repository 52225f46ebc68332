"""The fields of attrs classes in `help()`: what the class docstring says of each."""

from __future__ import annotations

import inspect
import re
from typing import Any, TypeVar

C = TypeVar("C")

_ENTRY = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def with_field_docs(cls: type[C]) -> type[C]:
    """Take the docs of the slots of an attrs class from `Args:` in its docstring; `inspect.getdoc` reads them there."""
    notes = dict(_ENTRY.findall(inspect.cleandoc(cls.__doc__ or "")))
    made: Any = cls
    made.__slots__ = {name: notes.get(name) for name in made.__slots__}  # a dict is the language's own form
    return cls
