"""The type of what a tool returns: the schema that is listed, and the structured content of a result.

A tool without a return type has none, nor has one that returns text or content parts, which a client reads as content.
"""

from __future__ import annotations

import json
import types
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from enum import Enum
from typing import Annotated, Any, Literal, Union, final, get_args, get_origin

from attrs import field, frozen
from pydantic import TypeAdapter

from aimu._core.json_check import best_error
from aimu._core.surrogates import whole
from aimu._output._type import WRAPPER, OutputType, resolved
from aimu.errors import InvalidOptionError, ToolError
from aimu.tools._schema import untitled
from aimu.tools._signature import REQUIRED, resolved_annotation, signature_of, written

_RESULT = "result"  # the name that FastMCP and the SDK use
_SEVERAL = (AsyncGenerator, AsyncIterator, AsyncIterable, Generator, Iterator, Iterable)
_BLOCKS = ("mcp_types", "fastmcp")  # packages whose classes are content


@final
@frozen(eq=False)
class Output:
    """The type of a tool's results.

    Attributes:
        schema: The JSON Schema of the structured content, an object.
        wrapped: Whether the result is the object's only property, `result`.
    """

    schema: Mapping[str, Any]
    wrapped: bool
    _validator: Any = field(repr=False)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Output | None:
        """Return the type that a function promises to return, or None if a client should read the content alone."""
        kind = _returned(function)
        schema = _schema(kind) if _content(kind) is None else None
        if not schema:
            return None
        from jsonschema.validators import Draft202012Validator

        wrapped = schema.get("type") != "object"
        if wrapped:
            defs = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            schema = {"type": "object", "properties": {_RESULT: schema}, "required": [_RESULT], **defs}
        return cls(schema, wrapped, Draft202012Validator(schema))

    def structured(self, value: Any) -> dict[str, Any]:
        """Return the structured content of a result, which is JSON data.

        Raises:
            ToolError: It does not fit the type.
        """
        made = {_RESULT: value} if self.wrapped else value
        try:
            error = best_error(self._validator, made)
        except RecursionError:
            raise ToolError("its result nests too deeply to be checked against its return type") from None
        if error is None:
            try:
                content: dict[str, Any] = json.loads(whole(json.dumps(made, ensure_ascii=False, allow_nan=False)))
                return content
            except ValueError as exc:
                raise ToolError(f"its result has a number that JSON does not know: {exc}") from exc
        raise ToolError(f"its result does not fit its return type: {error.message}")


def _returned(function: Callable[..., Any]) -> Any:
    """Return the type of what a call gives in the end: of the items, if the function is a generator."""
    kind = signature_of(written(function)).return_annotation
    if kind is REQUIRED:
        return Any
    try:
        kind = resolved_annotation(function, kind)
    except Exception:  # noqa: BLE001 - evaluating an annotation can raise anything; without it the type is unknown
        return Any
    while get_origin(kind) in (Awaitable, Coroutine):
        kind = get_args(kind)[-1]
    return list[get_args(kind)[0]] if get_origin(kind) in _SEVERAL else kind  # type: ignore[misc]


def _content(kind: Any) -> Literal["text", "parts"] | None:
    """Return what a client reads if a tool returns this type, or None if it is data."""
    kind = getattr(kind, "__value__", kind)  # of a `type` statement
    if kind in (Any, object, str, bytes, None, type(None)):
        return "text"
    if get_origin(kind) is Annotated:
        return _content(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        found = set(map(_content, get_args(kind)))
        return "parts" if "parts" in found else "text" if found == {"text"} else None
    if kind is list or get_origin(kind) is list:
        [item] = get_args(kind) or [Any]
        open_dict = item is dict or (get_origin(item) is dict and get_args(item)[1] in (Any, object))
        return "parts" if item in (Any, object) or open_dict or _content(item) == "parts" else None
    if not isinstance(kind, type):
        return None
    if kind.__module__.partition(".")[0] in _BLOCKS:
        return "parts"
    return "text" if issubclass(kind, str) and not issubclass(kind, Enum) else None


def _schema(kind: Any) -> dict[str, Any] | None:
    """Return the JSON Schema of what a type looks like as JSON; None if there is none."""
    try:
        schema = TypeAdapter(kind).json_schema(mode="serialization")
        return untitled(resolved(schema, schema))
    except Exception:  # noqa: BLE001 - of a type with a hook of its own, anything; nor does pydantic know attrs classes
        pass
    try:
        known = OutputType[Any].of(kind)
    except InvalidOptionError:
        return None
    return untitled(resolved(known.schema["properties"][WRAPPER], known.schema) if known.wrapped else known.schema)
