"""The fields of attrs classes in `help()`: what the class docstring says of each."""

from __future__ import annotations

import inspect
import re
from typing import Any, TypeVar, final

C = TypeVar("C")

_ENTRY = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def with_field_docs(cls: type[C]) -> type[C]:
    """Take the docs of the fields of an attrs class from `Args:` or `Attributes:` in its docstring.

    `help()` and `inspect.getdoc` find them: with the slots of the class, or on its attributes if it has no slots.
    """
    notes: dict[str, str] = dict(_ENTRY.findall(inspect.cleandoc(cls.__doc__ or "")))
    made: Any = cls
    if "__slots__" in cls.__dict__:
        made.__slots__ = {name: notes.get(name) for name in made.__slots__}  # a dict is the language's own form
    else:
        for name in notes.keys() & {attribute.name for attribute in made.__attrs_attrs__ if not attribute.inherited}:
            if name in cls.__dict__:
                cls.__dict__[name].__doc__ = notes[name]
            else:
                setattr(cls, name, _Described(name, notes[name]))
    return cls


@final
class _Described:
    """An attribute that lives in the instance's `__dict__`, as it would without this."""

    def __init__(self, name: str, doc: str) -> None:
        self._name = name
        self.__doc__ = doc

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__!r} object has no attribute {self._name!r}") from None

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value
