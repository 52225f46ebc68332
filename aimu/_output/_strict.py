"""Rewrites a JSON Schema for services that decode against it and refuse what they cannot decode.

A rewriting loses nothing: what a service does not enforce is put into the description, where the model reads it, and is
validated here afterwards. A schema whose meaning would change has no strict form, and another means is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

from attrs import evolve, frozen

from aimu._core.acyclic import acyclic
from aimu.tools._refs import definition, used

_Schema = dict[str, Any]
_ANNOTATIONS = ("title", "$schema", "$id", "$comment", "discriminator", "readOnly", "writeOnly", "deprecated")
_OF_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_CHANGING = ("not", "if", "then", "else", "patternProperties", "dependentRequired", "dependentSchemas", "contains")
_NESTED = ("properties", "items", "anyOf", "$defs", "$ref", "required", "additionalProperties", "type", "description")


@final
@frozen(kw_only=True)
class Dialect:
    """What a service accepts in a strict schema.

    Attributes:
        keywords: What it enforces beside types, properties, items, enums and `anyOf`; all else becomes words.
        formats: The formats of strings that it enforces.
        min_items: The values of `minItems` that it enforces; None is any.
        all_required: Whether every property must be required; optional ones are then shown as nullable.
        recursive: Whether a schema may refer to itself.
        max_depth: How deep objects may nest; None is no limit.
        max_properties: How many properties there may be in all; None is no limit.
        max_enum: How many values all enums may have together; None is no limit.
        max_characters: How long the names of properties and definitions and the values of enums may be together; None
            is no limit.
        long_enum: Above how many values an enum may have so many characters only; None is no limit.
        max_optional: How many properties may be optional; None is no limit.
        max_unions: How many schemas may be an `anyOf` or have several types; None is no limit.
        max_choices: How many schemas an `anyOf` may have; None is no limit.
        type_lists: Whether `type` may be a list; otherwise `anyOf` says the same.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    min_items: frozenset[int] | None = None
    all_required: bool
    recursive: bool
    max_depth: int | None = None
    max_properties: int | None = None
    max_enum: int | None = None
    max_characters: int | None = None
    long_enum: tuple[int, int] | None = None
    max_optional: int | None = None
    max_unions: int | None = None
    max_choices: int | None = None
    type_lists: bool = True


_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})

# https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas, as public repositories quote it
# (2026-11-26), and what `openai.lib._pydantic` of the SDK does. The page does not say whether references count as
# nesting; here they do.
OPENAI = Dialect(
    keywords=_OF_NUMBERS | {"pattern", "format", "minItems", "maxItems"},
    formats=_FORMATS,
    all_required=True,
    recursive=True,
    max_depth=10,
    max_properties=5000,
    max_enum=1000,
    max_characters=120_000,
    long_enum=(250, 15_000),
)
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs, as public repositories quote it (2026-11-26)
# and `anthropic.lib._parse` of the SDK does it. `pattern` is enforced in part only, and so not used.
ANTHROPIC = Dialect(
    keywords=frozenset({"format", "minItems"}),
    formats=_FORMATS | {"uri"},
    min_items=frozenset({0, 1}),
    all_required=False,
    recursive=False,
    max_optional=24,
    max_unions=16,
)
# What all services with `schemas="plain"` accept; their rows in `aimu.models._table` name the sources. None of these
# says of all of them that a schema may refer to itself. The limits on size are OpenAI's.
PLAIN = evolve(
    OPENAI, keywords=frozenset[str](), formats=frozenset[str](), recursive=False, max_choices=5, type_lists=False
)


class NotStrictError(ValueError):
    """The schema has no strict form; the message says why. Does not leave the library."""


def strict(schema: Mapping[str, Any], dialect: Dialect) -> _Schema:
    """Return the schema in a form that a service with this dialect accepts.

    Args:
        schema: A JSON Schema of an object.
        dialect: What the service accepts.

    Raises:
        NotStrictError: There is no such form.
    """
    if not dialect.recursive:
        _refuse_recursion(schema)
    try:
        made = _Rewriting(dialect).schema(schema, "the schema")
        _check_size(made, dialect)
    except RecursionError:
        raise NotStrictError("it nests too deeply") from None
    return made


def _check_size(made: _Schema, bounds: Dialect) -> None:
    nodes = list(_nodes(made))
    enums = [node["enum"] for node in nodes if "enum" in node]
    names = [name for node in nodes for key in ("properties", "$defs") for name in node.get(key, ())]
    optional = sum(len(node.get("properties", ())) - len(node.get("required", ())) for node in nodes)
    for count, limit, what in (
        (sum(len(node.get("properties", ())) for node in nodes), bounds.max_properties, "properties"),
        (optional, bounds.max_optional, "optional properties"),
        (sum(map(len, enums)), bounds.max_enum, "values of enums"),
        (sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes), bounds.max_unions, "unions"),
        (_characters(names) + sum(map(_characters, enums)), bounds.max_characters, "characters of names and values"),
        (_nesting(made), bounds.max_depth, "levels of objects"),
    ):
        if limit is not None and count > limit:
            raise NotStrictError(f"it has {count} {what}, and at most {limit} are accepted")
    if bounds.long_enum is not None:
        size, limit = bounds.long_enum
        if any(len(values) > size and _characters(values) > limit for values in enums):
            raise NotStrictError(f"an enum of over {size} values has more than {limit} characters")


def _nodes(schema: _Schema) -> Iterator[_Schema]:
    """Yield each schema in a schema, itself included."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += _inside(node)
        waiting += node.get("$defs", {}).values()


def _inside(node: _Schema) -> list[_Schema]:
    """Return the schemas that a schema consists of, without definitions."""
    items = [node["items"]] if "items" in node else []
    return [*node.get("properties", {}).values(), *node.get("anyOf", ()), *items]


def _characters(texts: Iterable[Any]) -> int:
    return sum(len(text) for text in texts if isinstance(text, str))


def _nesting(made: _Schema) -> int:
    """Return how deep objects nest, also by way of references; a reference to what it is in adds nothing."""
    known: dict[str, int] = {}

    def depth(node: _Schema, within: frozenset[str]) -> int:
        inside = max((depth(item, within) for item in _inside(node)), default=0)
        if "$ref" in node and (name := definition(node["$ref"])) not in within:
            if name not in known:
                known[name] = depth(made.get("$defs", {}).get(name, {}), within | {name})
            inside = max(inside, known[name])
        return inside + ("properties" in node)

    return depth(made, frozenset())


@frozen
class _Rewriting:
    """One pass over a schema."""

    _dialect: Dialect

    def schema(self, given: Mapping[str, Any], where: str) -> _Schema:
        for key in _CHANGING:
            if key in given:
                raise NotStrictError(f"{where} has {key!r}")
        node = _merged(given, where)
        made: _Schema = {}
        if "$ref" in node:
            made["$ref"] = node["$ref"]
        elif "anyOf" in node:
            made["anyOf"] = [self.schema(item, f"{where}, choice {n}") for n, item in enumerate(node["anyOf"])]
        elif "enum" in node or "const" in node:
            self._choice(node, made, where)
        else:
            self._typed(node, made, where)
        if defs := node.get("$defs"):
            made["$defs"] = {name: self.schema(item, f"definition {name!r}") for name, item in defs.items()}
        return self._spread(self._described(node, made), where)

    def _choice(self, node: Mapping[str, Any], made: _Schema, where: str) -> None:
        values = node.get("enum", [node.get("const")])
        if not all(value is None or isinstance(value, str | int | float) for value in values):
            raise NotStrictError(f"{where} has an enum of objects or arrays")
        made["enum"] = list(values)
        made["type"] = _one_or_more(dict.fromkeys(_TYPE_NAMES[type(value)] for value in values))

    def _typed(self, node: Mapping[str, Any], made: _Schema, where: str) -> None:
        kinds = node.get("type")
        if kinds is None:
            raise NotStrictError(f"{where} accepts any value")
        made["type"] = kinds
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "object" in kinds:
            self._object(node, made, where)
        if "array" in kinds:
            if not node.get("items"):
                raise NotStrictError(f"{where} is an array of any values")
            made["items"] = self.schema(node["items"], f"the items of {where}")

    def _object(self, node: Mapping[str, Any], made: _Schema, where: str) -> None:
        properties = node.get("properties", {})
        more = node.get("additionalProperties", False)
        if more is not False and (more is not True or not properties):
            raise NotStrictError(f"{where} has properties with any names")
        required = [name for name in node.get("required", ()) if name in properties]
        made["properties"] = {}
        for name, item in properties.items():
            shown = self.schema(item, f"property {name!r}")
            if name not in required and self._dialect.all_required:
                shown = self._spread(_nullable(shown), f"property {name!r}")
            made["properties"][name] = shown
        made["required"] = list(properties) if self._dialect.all_required else required
        made["additionalProperties"] = False

    def _spread(self, made: _Schema, where: str) -> _Schema:
        """Return the schema with `anyOf` for a list of types, where the service does not know lists."""
        if not self._dialect.type_lists and isinstance(made.get("type"), list):
            made = _any_of_types(made)
        limit, count = self._dialect.max_choices, len(made.get("anyOf", ()))
        if limit is not None and count > limit:
            raise NotStrictError(f"{where} has {count} choices, and at most {limit} are accepted")
        return made

    def _described(self, node: Mapping[str, Any], made: _Schema) -> _Schema:
        """Add what the service enforces, and put the rest into words."""
        words: list[str] = []
        for key, value in node.items():
            if key in made or key in _NESTED or key in _ANNOTATIONS or key == "const":
                continue
            if key == "default":
                words += [] if value is None else [f"default: {_json(value)}"]
            elif "$ref" not in made and self._enforced(key, value):
                made[key] = value
            else:
                words.append(f"{key}: {_json(value)}")
        about = [node["description"]] if isinstance(node.get("description"), str) else []
        about += [f"({'; '.join(words)})"] if words else []
        if not about:
            return made
        if "$ref" in made:  # which may have no siblings
            made = {"anyOf": [made]}
        return {**made, "description": " ".join(about)}

    def _enforced(self, key: str, value: Any) -> bool:
        if key not in self._dialect.keywords:
            return False
        if key == "format":
            return value in self._dialect.formats
        return key != "minItems" or self._dialect.min_items is None or value in self._dialect.min_items


_OF_TYPES = {"object": ("properties", "required", "additionalProperties"), "array": ("items",)}
_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _one_or_more(kinds: Mapping[str, Any]) -> str | list[str]:
    names = list(kinds)
    return names[0] if len(names) == 1 else names


def _any_of_types(made: _Schema) -> _Schema:
    """Return a schema with a choice for each of its types."""
    rest = dict(made)
    kinds, values = rest.pop("type"), rest.pop("enum", None)
    choices: list[_Schema] = [{"type": kind} for kind in kinds]
    for one in choices:
        if values is not None and one["type"] != "null":
            one["enum"] = [value for value in values if _TYPE_NAMES[type(value)] == one["type"]]
        one.update({key: rest.pop(key) for key in _OF_TYPES.get(one["type"], ())})
    return {"anyOf": choices, **rest}


def _merged(given: Mapping[str, Any], where: str) -> _Schema:
    """Return a schema without `oneOf`, whose exclusiveness is validated here, and without an `allOf` of one."""
    node = dict(given)
    if several := node.pop("oneOf", None):
        node.setdefault("anyOf", several)
    if parts := node.pop("allOf", None):
        if len(parts) > 1 or parts[0].keys() & node.keys() - {"description", "default"}:
            raise NotStrictError(f"{where} combines schemas by 'allOf'")
        node = {**parts[0], **node}
    return node


def _nullable(schema: _Schema) -> _Schema:
    """Return the schema with null added: "not given" for an optional property."""
    kind = schema.get("type")
    if "anyOf" in schema:
        has_null = any(item.get("type") == "null" for item in schema["anyOf"])
        return schema if has_null else {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if kind is None:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = kind if isinstance(kind, list) else [kind]
    if "null" in kinds:
        return schema
    if "enum" in schema:
        return {**schema, "type": [*kinds, "null"], "enum": [*schema["enum"], None]}
    if "object" in kinds or "array" in kinds:
        about = {"description": schema.pop("description")} if "description" in schema else {}
        return {"anyOf": [schema, {"type": "null"}], **about}
    return {**schema, "type": [*kinds, "null"]}


def _refuse_recursion(schema: Mapping[str, Any]) -> None:
    """Raise NotStrictError if a definition refers to itself, also by way of others."""
    defs = schema.get("$defs", {})
    if around := defs.keys() - acyclic({name: used(item) for name, item in defs.items()}):
        raise NotStrictError(f"{min(around)!r} refers to itself, or to one that does")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
