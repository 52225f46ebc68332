"""The field types of generic attrs classes: what each type variable stands for, also in inherited classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args, get_origin

import attrs


def field_types(kind: Any, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the types of an attrs class's fields without the type variables that `kind` gives a type.

    Args:
        kind: The class, or one with its parameters, such as `Box[int]`.
        hints: The types as the classes declare them.
    """
    types = dict(hints)
    if get_origin(kind) is None and not hasattr(kind, "__orig_bases__"):
        return types
    for owner, given in reversed(list(_bases(kind, {}))):
        own = (attribute.name for attribute in attrs.fields(owner) if not attribute.inherited)
        types.update({name: _applied(hints[name], given) for name in own if name in hints})
    return types


def with_parameters(hint: Any) -> bool:
    """Return whether a type is an attrs class with its parameters; pydantic itself reads other generic classes."""
    owner = get_origin(hint)
    return isinstance(owner, type) and attrs.has(owner)


def shown_name(kind: Any) -> str:
    """Return the name of a class, with its parameters."""
    parameters = ", ".join(getattr(one, "__name__", None) or str(one) for one in get_args(kind))
    name: str = (get_origin(kind) or kind).__name__
    return f"{name}[{parameters}]" if parameters else name


def _bases(kind: Any, known: Mapping[Any, Any]) -> Iterator[tuple[type, dict[Any, Any]]]:
    """Yield the attrs classes that a class is made of, itself first, with what their type variables stand for."""
    owner = get_origin(kind) or kind
    if not (isinstance(owner, type) and attrs.has(owner)):
        return
    kind = _applied(kind, known)
    given = dict(zip(getattr(owner, "__parameters__", ()), get_args(kind), strict=False))
    yield owner, given
    for base in vars(owner).get("__orig_bases__", owner.__bases__):
        yield from _bases(base, given)


def _applied(hint: Any, given: Mapping[Any, Any]) -> Any:
    """Return a type with its type variables replaced."""
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    free = getattr(hint, "__parameters__", ()) if get_origin(hint) is not None else ()
    return hint[tuple(given.get(one, one) for one in free)] if free else hint
