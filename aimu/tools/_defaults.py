"""Reads defaults that stand for a value: pydantic's `Field(...)`, and the `field(...)` and factories of dataclasses and
attrs.

Python passes such an object on as it is, so the value has to be made for each call where no class does it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, final

import attrs
from attrs import frozen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from aimu.tools._signature import REQUIRED

FACTORY: Any = attrs.Factory  # a class, which its types declare as functions
_CountingAttr: Any = type(attrs.field())  # what `attrs.field()` returns before the class is made


@final
@frozen
class Default:
    """The default of a parameter.

    Attributes:
        options: How to say it to pydantic's `Field`: "default", "default_factory" or neither if there is no default.
        filled: Whether the value has to be passed, since the function or class would not make it by itself.
    """

    options: Mapping[str, Any]
    filled: bool

    @property
    def is_none(self) -> bool:
        return "default" in self.options and self.options["default"] is None


def default_of(given: Any, metadata: list[Any]) -> Default:
    """Return the default of a parameter, from what stands behind its "=" and the metadata of its type."""
    options = _options(given)
    if options is not None:
        return Default(options, filled=False)
    for source in (given, *reversed(metadata)):
        if found := _stated(source):
            return Default(found, filled=True)
    return Default({}, filled=False)


def without_default(mark: Any) -> Any:
    """Return a mark of a type; a FieldInfo loses its default, which pydantic would mix with the parameter's."""
    if not isinstance(mark, FieldInfo):
        return mark
    bare: Any = copy.copy(mark)
    bare.default, bare.default_factory = PydanticUndefined, None
    bare._attributes_set = {k: v for k, v in bare._attributes_set.items() if k not in ("default", "default_factory")}
    return bare


def with_names(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Let a factory that takes the values of the fields before it see them under their real names."""
    factory = options.get("default_factory")
    if factory is None or not FieldInfo(default_factory=factory).default_factory_takes_validated_data:
        return dict(options)

    def renamed(values: dict[str, Any]) -> Any:
        return factory({names[key]: value for key, value in values.items()})

    return {"default_factory": renamed}


def _options(given: Any) -> dict[str, Any] | None:
    """Return a default that is a value; None if it stands for one, or there is none."""
    stands = isinstance(given, FieldInfo | dataclasses.Field | FACTORY | _CountingAttr)
    return None if given is REQUIRED or given is ... or stands else {"default": given}


def _stated(source: Any) -> dict[str, Any]:
    """Return the default that a FieldInfo or its like states; empty if it states none."""
    value: Any = REQUIRED
    factory: Any = None
    if isinstance(source, FieldInfo | dataclasses.Field):
        value, factory = source.default, source.default_factory
    elif isinstance(source, _CountingAttr):
        return _stated(source._default) or _value(source._default)
    elif isinstance(source, FACTORY):
        factory = source.factory
    if factory is not None and factory is not dataclasses.MISSING:
        return {"default_factory": factory}
    return _value(value)


def _value(value: Any) -> dict[str, Any]:
    missing = (REQUIRED, ..., PydanticUndefined, dataclasses.MISSING, attrs.NOTHING)
    return {} if any(value is one for one in missing) else {"default": value}
