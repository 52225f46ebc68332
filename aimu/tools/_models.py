"""Makes pydantic models of parameters and of the record classes in their types: attrs classes, dataclasses, TypedDicts.

The models validate only; the record itself is then built from the given values, so the function or class applies its
own defaults. Used for the arguments of tools and for typed output.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
from attrs import define, field
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from aimu.errors import ToolSignatureError
from aimu.tools._defaults import FACTORY, default_of, with_names, without_default
from aimu.tools._docstrings import documented
from aimu.tools._generics import field_types, shown_name, with_parameters
from aimu.tools._schema import accepted, untitled
from aimu.tools._signature import REQUIRED, Argument

_FILLED = "f"  # begins the name of a model's field whose default has to be passed
_UNSHOWN = object()  # the argument is optional, but the schema shows no default: it is computed


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a model of arguments, without titles and in a form that services accept."""
    return untitled(accepted(model.model_json_schema(schema_generator=_Generator)))


def reason(exc: Exception) -> str:
    """Return in a few words why a type has no JSON Schema, from what pydantic or the type itself has raised."""
    first, *more = [line.strip() for line in str(exc).strip().splitlines()] or [type(exc).__name__]
    return (more[-1] if more and first.endswith(":") else first).split(". ")[0]


@contextmanager
def problems(whole: str, item: tuple[str, Iterable[str]], skip: int = 0) -> Generator[None]:
    """Turn what a validation raises into a ValueError with one `args` item for each problem.

    Args:
        whole: What is validated, for problems that concern all of it.
        item: What one part of it is called, and the names of the parts there are.
        skip: How many places of each problem's path to leave out.
    """
    try:
        yield
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False)
        raise ValueError(*(_problem(error, whole, item, skip) for error in errors)) from exc
    except Exception as exc:  # a user's validator may raise anything
        raise ValueError(f"{type(exc).__name__}: {exc}") from exc


def _problem(error: ErrorDetails, whole: str, item: tuple[str, Iterable[str]], skip: int) -> str:
    path = error["loc"][skip:]
    where = ".".join(map(str, path)) or whole
    if error["type"] == "missing":
        return f"{where}: required, but missing"
    if error["type"] == "extra_forbidden":
        kind, known = item
        names = "" if path[1:] else f"; known {kind}s: {', '.join(known) or 'none'}"
        return f"{where}: no such {kind}{names}"
    return f"{where}: {error['msg']} (got {repr(error['input'])[:100]})"


@define
class Models:
    """The pydantic models of a function's parameters and of the record classes in their types, also recursive ones."""

    _scope: Mapping[str, Any]
    _keys: dict[Any, str] = field(factory=dict[Any, str])  # by record class, or one with its parameters
    _records: dict[str, type[BaseModel]] = field(factory=dict[str, type[BaseModel]])
    _within: set[type] = field(factory=set[type])

    def complete(self, name: str, arguments: Iterable[Argument], notes: Mapping[str, str]) -> type[BaseModel]:
        root = self._model(name, arguments, notes)
        for model in (*self._records.values(), root):
            model.model_rebuild(_types_namespace=self._records)
        return root

    def _model(
        self, name_of_model: str, arguments: Iterable[Argument], notes: Mapping[str, str], about: str | None = None
    ) -> type[BaseModel]:
        # The real names are aliases, since pydantic refuses fields with names such as "schema" or "_x".
        fields: dict[str, Any] = {}
        names: dict[str, str] = {}
        for index, argument in enumerate(arguments):
            kind, *metadata = get_args(argument.hint) if get_origin(argument.hint) is Annotated else (argument.hint,)
            default = default_of(argument.default, metadata)
            marks = [*metadata, argument.default] if isinstance(argument.default, FieldInfo) else metadata
            hint = self._described(kind, marks, notes.get(argument.name), or_none=default.is_none)
            key = f"{_FILLED if default.filled else 'p'}{index}"
            names[key] = name = argument.name
            fields[key] = (hint, Field(alias=name, validation_alias=name, **with_names(default.options, names)))
        return create_model(name_of_model, __config__=ConfigDict(extra="forbid"), __doc__=about, **fields)

    def _described(self, kind: Any, metadata: Iterable[Any], note: str | None, *, or_none: bool = False) -> Any:
        """Add a description to a type; one in the metadata wins over `note`, since pydantic takes the last of several.

        With `or_none` the type accepts None too: a model sends the default None that the schema shows, even if the
        hint does not allow it (`unit: str = None`).
        """
        kind = kind | None if or_none else kind
        marks = [Field(description=mark) if isinstance(mark, str) else without_default(mark) for mark in metadata]
        return Annotated[(self._converted(kind), Field(description=note), *marks)]

    def _converted(self, hint: Any) -> Any:
        """Replace every record class in a type by its model."""
        if (isinstance(hint, type) or with_parameters(hint)) and (fields := self._fields_of(hint)) is not None:
            return self._record(hint, fields)
        if _is_named_tuple(hint) and hint not in self._within:
            return self._named_tuple(hint)
        kind: Any = get_origin(hint)
        if kind is Annotated:
            kind, *metadata = get_args(hint)
            return self._described(kind, metadata, None)
        if kind is Literal or kind is None:
            return hint
        converted = tuple(map(self._converted, get_args(hint)))
        return hint if converted == get_args(hint) else (Union if kind is types.UnionType else kind)[converted]

    def _named_tuple(self, hint: Any) -> Any:
        """Return a named tuple as it is, unless pydantic cannot read the record classes in it."""
        hints = self._hints_of(hint)
        self._within.add(hint)  # pydantic itself reads one that refers to itself
        converted = {name: self._converted(hints.get(name, Any)) for name in hint._fields}
        self._within.discard(hint)
        if all(converted[name] == hints.get(name, Any) for name in converted):
            return hint
        shadow: Any = NamedTuple(hint.__name__, list(converted.items()))  # type: ignore[misc]
        shadow._field_defaults = hint._field_defaults
        return Annotated[shadow, AfterValidator(lambda places: hint(*places))]

    def _record(self, hint: Any, fields: list[Argument]) -> Any:
        record: type[Any] = get_origin(hint) or hint
        if hint not in self._keys:
            name: str = record.__name__
            key = self._keys[hint] = f"record{len(self._keys)}"
            automatic = dataclasses.is_dataclass(record) and (record.__doc__ or "").startswith(f"{name}(")
            about, notes = documented(None if automatic else record.__doc__)
            self._records[key] = self._model(shown_name(hint), fields, notes, about or None)
        return Annotated[ForwardRef(self._keys[hint]), AfterValidator(partial(_construct, record))]

    def _fields_of(self, hint: Any) -> list[Argument] | None:
        """Return the constructor arguments of an attrs class, dataclass or TypedDict; None for any other type."""
        record: type[Any] = get_origin(hint) or hint
        if hasattr(record, "__pydantic_core_schema__") or hasattr(record, "__get_pydantic_core_schema__"):
            return None
        if not (attrs.has(record) or dataclasses.is_dataclass(record) or hasattr(record, "__required_keys__")):
            return None
        hints = self._hints_of(record)
        if attrs.has(record):
            hints = field_types(hint, hints)
            return [
                Argument(a.alias or a.name, hints.get(a.name, Any), _shown(a.default, attrs.NOTHING))
                for a in attrs.fields(record)
                if a.init
            ]
        if dataclasses.is_dataclass(record):
            missing = dataclasses.MISSING
            return [
                Argument(
                    f.name, hints[f.name], _shown(f.default, missing) if f.default_factory is missing else _UNSHOWN
                )
                for f in dataclasses.fields(record)
                if f.init
            ]
        return [_item(record, name, hint) for name, hint in hints.items()]

    def _hints_of(self, record: type) -> dict[str, Any]:
        try:
            return get_type_hints(record, None, {**self._scope, record.__name__: record}, include_extras=True)
        except NameError as exc:
            raise ToolSignatureError(
                f"cannot resolve the field types of {record.__qualname__} ({exc}); define or import them at module "
                "level, not under TYPE_CHECKING"
            ) from exc


def _is_named_tuple(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _shown(default: Any, missing: object) -> Any:
    if default is missing:
        return REQUIRED
    return _UNSHOWN if isinstance(default, FACTORY) else default


def _item(record: Any, name: str, hint: Any) -> Argument:
    # The hint takes precedence: `__required_keys__` does not see NotRequired in a string annotation.
    marked = get_origin(hint) in (Required, NotRequired)
    required = get_origin(hint) is Required if marked else name in record.__required_keys__
    return Argument(name, get_args(hint)[0] if marked else hint, REQUIRED if required else _UNSHOWN)


def given(model: BaseModel) -> dict[str, Any]:
    """Return the given values by their real names, in the order of the signature, and those that have to be filled."""
    passed = (
        (key, field)
        for key, field in type(model).model_fields.items()
        if key in model.model_fields_set or key.startswith(_FILLED)
    )
    return {cast(str, field.alias): getattr(model, key) for key, field in passed}


def _construct(record: Callable[..., Any], model: BaseModel) -> Any:
    try:
        return record(**given(model))
    except TypeError as exc:  # raised by a validator of the record; pydantic handles ValueError only
        raise ValueError(str(exc)) from exc


class _Generator(GenerateJsonSchema):
    def emit_warning(self, kind: str, detail: str) -> None:
        """Ignore the warning that a default is not JSON: the schema leaves it out."""
