"""Makes the JSON Schema of a signature whose types are all plain, such as `str` or `list[int]`, without a model of it.

A program with thousands of tools pays a pydantic model, which costs a millisecond, only for those that are called.
"""

from __future__ import annotations

import copy
import datetime as dt
import math
import types
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import TypeAdapter

from aimu.tools._refs import Schema
from aimu.tools._schema import accepted_part, untitled
from aimu.tools._signature import REQUIRED, Argument

_PLAIN: tuple[Any, ...] = (
    *(str, int, float, bool, None, types.NoneType, list, dict, Any),
    *(dt.date, dt.datetime, dt.time, dt.timedelta, UUID),
)
_COMPOSED: tuple[Any, ...] = (list, dict, Union, types.UnionType)
_VALUES = (str, int, bool, types.NoneType)  # that JSON has as they are


def plain_schema(arguments: Iterable[Argument], notes: Mapping[str, str]) -> Schema | None:
    """Return the JSON Schema of arguments; None if a type or default needs a model."""
    properties: Schema = {}
    required: list[str] = []
    for argument in arguments:
        hint, default = argument.hint, argument.default
        if default is not REQUIRED and not _is_plain_value(default):
            return None
        if not _is_plain(hint):
            return None
        hint = hint | None if default is None else hint
        part = {**_schema_of(repr(hint), hint)}
        if any(isinstance(value, dict | list) for value in part.values()):
            part = copy.deepcopy(part)
        if default is REQUIRED:
            required.append(argument.name)
        else:
            part["default"] = default
        if note := notes.get(argument.name):
            part["description"] = note
        properties[argument.name] = dict(sorted(part.items()))
    schema = {"additionalProperties": False, "properties": properties, "type": "object"}
    return {**schema, "required": required} if required else schema


def _is_plain_value(value: Any) -> bool:
    return type(value) in _VALUES or (type(value) is float and math.isfinite(value))


def _is_plain(hint: Any) -> bool:
    if any(hint is plain for plain in _PLAIN):
        return True
    kind = get_origin(hint)
    if kind is Literal:
        return all(type(value) in _VALUES for value in get_args(hint))
    return any(kind is composed for composed in _COMPOSED) and all(map(_is_plain, get_args(hint)))


@lru_cache(maxsize=1024)
def _schema_of(written: str, hint: Any) -> Schema:
    """Return the schema of a type; `written` is part of the key, since `int | str` and `str | int` are equal."""
    return untitled(accepted_part(TypeAdapter(hint).json_schema()))
