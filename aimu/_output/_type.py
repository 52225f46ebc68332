"""What `output_type=` asks for: the JSON Schema that a model is shown, and how its text becomes the value.

A schema on the wire is always one of an object. The type of a list, a union or a number is shown as an object with one
property, `response`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, Generic, TypeVar, Union, cast, final, get_origin

from attrs import frozen
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from aimu._output._exact import ExactSchema
from aimu._output._optional import without_nulls
from aimu.errors import InvalidOptionError
from aimu.tools._models import Models, given, problems, reason, schema_of
from aimu.tools._refs import definition, used
from aimu.tools._schema import untitled
from aimu.tools._signature import Argument

T = TypeVar("T")

WRAPPER = "response"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_FENCE = "```"
_OBJECT = re.compile(r'\{\s*(?:["}]|$)')  # begins an object, unlike "{this}" in prose
_VALUES = (str, bytes, int, float, list, tuple, set, Mapping)


@final
@frozen(eq=False)
class OutputType(Generic[T]):
    """A type that an answer must have.

    Attributes:
        name: A name for the schema: letters, digits, underscores and hyphens, at most 64 characters.
        schema: The JSON Schema of the text, of an object.
        wrapped: Whether the value is the object's only property, `response`.
    """

    name: str
    schema: Mapping[str, Any]
    wrapped: bool
    _model: type[BaseModel]

    @classmethod
    def of(cls, kind: Any) -> OutputType[Any]:
        """Return the output type of a Python type: what pydantic can validate, and attrs classes, also nested.

        Raises:
            InvalidOptionError: The type has no JSON Schema.
        """
        try:
            return _made(kind, repr(kind))
        except TypeError:  # not hashable
            return _make(kind)

    @property
    def exact(self) -> Mapping[str, Any]:
        """The schema as exactly as JSON Schema can say it; no service accepts all of it."""
        return _exact(self._model)

    def parse(self, text: str) -> T:
        """Return the value that a model's text holds; prose and a Markdown fence around the JSON are ignored.

        Raises:
            ValueError: The text does not fit the type; `args` has one item for each problem.
        """
        found = _json_in(text)
        if self.wrapped and not (isinstance(found.value, dict) and WRAPPER in found.value):
            body = f'{{"{WRAPPER}":{found.text}}}'  # the bare value, as a model without a strict mode may write it
        else:
            value = without_nulls(found.value, self.schema)
            body = found.text if value is found.value else to_json(value).decode()
            body = body if self.wrapped else f'{{"{WRAPPER}":{body}}}'
        with problems("the answer", ("field", self.schema.get("properties", ())), skip=1):
            return cast(T, given(self._model.model_validate_json(body))[WRAPPER])


@lru_cache(maxsize=256)
def _made(kind: Any, _shown: str) -> OutputType[Any]:  # by its text too: `A | B == B | A`, but the first may win
    return _make(kind)


def _make(kind: Any) -> OutputType[Any]:
    if isinstance(kind, _VALUES):
        raise InvalidOptionError(f"output_type must be a type, got {type(kind).__name__} {kind!r:.80}")
    try:
        model = Models({}).complete("output", [Argument(WRAPPER, kind)], {})
        schema, wrapped = _shown(schema_of(model))
    except Exception as exc:  # evaluating a type, and whatever is not one, can raise anything
        raise InvalidOptionError(
            f"output_type={kind!r} has no JSON Schema: {reason(exc)}; "
            "use plain types, dataclasses, attrs classes, TypedDicts or pydantic models"
        ) from exc
    return OutputType(_name(kind), schema, wrapped, model)


@lru_cache(maxsize=256)
def _exact(model: type[BaseModel]) -> Mapping[str, Any]:
    return _shown(untitled(model.model_json_schema(schema_generator=ExactSchema)))[0]


def _shown(schema: dict[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the schema of what a model writes, and whether the value is its property `response`."""
    inner = resolved(schema["properties"][WRAPPER], schema)
    wrapped = inner.get("type") != "object"
    return (schema if wrapped else inner), wrapped


def _name(kind: Any) -> str:
    name = "" if get_origin(kind) in (Union, UnionType) else getattr(kind, "__name__", "")
    return _NOT_IN_A_NAME.sub("_", name).strip("_")[:64] or "output"


def resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property's schema as one that stands alone; its own keywords win over those that it refers to."""
    defs = root.get("$defs", {})
    made, seen = dict(node), set[str]()
    while (ref := made.pop("$ref", None)) is not None and ref not in seen:
        seen.add(ref)
        made = {**defs.get(definition(ref), {}), **made}
    needed = _reachable(made, defs)
    return {**made, "$defs": {name: defs[name] for name in defs if name in needed}} if needed else made


def _reachable(node: Any, defs: Mapping[str, Any]) -> set[str]:
    found, waiting = set[str](), [node]
    while waiting:
        new = used(waiting.pop()) & defs.keys() - found
        found |= new
        waiting.extend(defs[name] for name in new)
    return found


@final
@frozen
class _Json:
    """One JSON value as written, and parsed."""

    text: str
    value: Any


def _json_in(text: str) -> _Json:
    """Return the JSON in a text: all of it, else the last fenced block, else from its first object to the last `}`.

    Raises:
        ValueError: None of these is JSON.
    """
    failure: ValueError | None = None
    for candidate in _candidates(text):
        try:
            return _Json(candidate, from_json(candidate))
        except ValueError as exc:
            failure = failure or exc
    if failure is None:
        raise ValueError("the answer is empty")
    if (count := _values_in(text)) > 1:
        raise ValueError(f"there are {count} answers; give one")
    prose = text.lstrip()[:1].isalpha() and "{" not in text and "[" not in text  # a parser's words would not help
    raise ValueError(f"the answer is not JSON: {f'it begins with {text[:40]!r}' if prose else failure}") from failure


def _values_in(text: str) -> int:
    """Return how many JSON objects a text is, or 0 if it is anything else."""
    count, rest, decoder = 0, text.strip(), json.JSONDecoder()
    while rest.startswith("{"):
        try:
            _, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return 0
        count, rest = count + 1, rest[end:].lstrip()
    return 0 if rest else count


def _candidates(text: str) -> Iterable[str]:
    text = text.strip()
    if not text:
        return
    yield text
    end = text.rfind(_FENCE)
    start = text.rfind(_FENCE, 0, end) if end > 0 else -1
    if start >= 0:
        block = text[start + len(_FENCE) : end]
        yield block.partition("\n")[2].strip() or block.strip()
    first, last = _OBJECT.search(text), text.rfind("}")
    if first is not None and first.start() < last:
        yield text[first.start() : last + 1]


def partial(text: str) -> Any:
    """Return the JSON data that the beginning of an answer allows so far, or None if there is none yet."""
    start = _OBJECT.search(text)
    if start is None:
        return None
    try:
        return from_json(text[start.start() :], allow_partial="trailing-strings")
    except ValueError:
        return None
