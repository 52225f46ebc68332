"""Which attributes may be set on an object of the library: those that it has, so that a misspelt one is an error."""

from __future__ import annotations

from typing import Any, TypeVar

from aimu._core.nearest import did_you_mean

C = TypeVar("C")


def with_known_attributes(cls: type[C]) -> type[C]:
    """Let objects of the class refuse public attributes that the class does not have.

    Objects of subclasses that users write take any. Not a method of the class: type checkers would then accept every
    attribute.
    """
    made: Any = cls
    inherited = made.__setattr__

    def set_known(self: Any, name: str, value: Any) -> None:
        kind = type(self)
        if not name.startswith("_") and not hasattr(kind, name) and kind.__module__.partition(".")[0] == "aimu":
            meant = did_you_mean(name, [known for known in dir(kind) if not known.startswith("_")])
            own = " For" if meant else "; for"
            raise AttributeError(
                f"{kind.__name__} has no attribute {name!r}{meant}{own} an attribute of your own, write a subclass"
            )
        inherited(self, name, value)

    made.__setattr__ = set_known
    return cls
