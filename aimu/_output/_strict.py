"""Rewrites a JSON Schema for services that decode against it and refuse what they cannot decode.

A rewriting loses nothing: what a service does not enforce is put into the description, where the model reads it, and is
validated here afterwards. A schema whose meaning would change has no strict form, and another means is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, final

from attrs import define, evolve, frozen

from aimu._output._refs import used

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
        max_optional: How many properties may be optional; None is no limit.
        max_unions: How many schemas may have several types; None is no limit.
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
    max_optional: int | None = None
    max_unions: int | None = None
    max_choices: int | None = None
    type_lists: bool = True


_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})

# https://platform.openai.com/docs/guides/structured-outputs#supported-schemas (2026-11-25)
OPENAI = Dialect(
    keywords=_OF_NUMBERS | {"pattern", "format", "minItems", "maxItems"},
    formats=_FORMATS,
    all_required=True,
    recursive=True,
    max_depth=10,
    max_properties=5000,
    max_enum=1000,
)
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations (2026-11-25)
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
    rewriting = _Rewriting(dialect)
    made = rewriting.schema(schema, "the schema", 1)
    rewriting.check()
    return made


@define
class _Rewriting:
    """One pass over a schema, and what it counted."""

    _dialect: Dialect
    _properties: int = 0
    _optional: int = 0
    _enum: int = 0
    _unions: int = 0

    def check(self) -> None:
        bounds = self._dialect
        for count, limit, what in (
            (self._properties, bounds.max_properties, "properties"),
            (self._optional, bounds.max_optional, "optional properties"),
            (self._enum, bounds.max_enum, "values of enums"),
            (self._unions, bounds.max_unions, "schemas of several types"),
        ):
            if limit is not None and count > limit:
                raise NotStrictError(f"it has {count} {what}, and at most {limit} are accepted")

    def schema(self, given: Mapping[str, Any], where: str, depth: int) -> _Schema:
        for key in _CHANGING:
            if key in given:
                raise NotStrictError(f"{where} has {key!r}")
        if self._dialect.max_depth is not None and depth > self._dialect.max_depth:
            raise NotStrictError(f"it nests deeper than {self._dialect.max_depth} objects")
        node = _merged(given, where)
        made: _Schema = {}
        if "$ref" in node:
            made["$ref"] = node["$ref"]
        elif "anyOf" in node:
            made["anyOf"] = [self.schema(item, f"{where}, choice {n}", depth) for n, item in enumerate(node["anyOf"])]
        elif "enum" in node or "const" in node:
            self._choice(node, made, where)
        else:
            self._typed(node, made, where, depth)
        self._unions += "anyOf" in made or isinstance(made.get("type"), list)
        if defs := node.get("$defs"):
            made["$defs"] = {name: self.schema(item, f"definition {name!r}", depth) for name, item in defs.items()}
        return self._spread(self._described(node, made), where)

    def _choice(self, node: Mapping[str, Any], made: _Schema, where: str) -> None:
        values = node.get("enum", [node.get("const")])
        if not all(value is None or isinstance(value, str | int | float) for value in values):
            raise NotStrictError(f"{where} has an enum of objects or arrays")
        self._enum += len(values)
        made["enum"] = list(values)
        made["type"] = _one_or_more(dict.fromkeys(_TYPE_NAMES[type(value)] for value in values))

    def _typed(self, node: Mapping[str, Any], made: _Schema, where: str, depth: int) -> None:
        kinds = node.get("type")
        if kinds is None:
            raise NotStrictError(f"{where} accepts any value")
        made["type"] = kinds
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "object" in kinds:
            self._object(node, made, where, depth)
        if "array" in kinds:
            if not node.get("items"):
                raise NotStrictError(f"{where} is an array of any values")
            made["items"] = self.schema(node["items"], f"the items of {where}", depth)

    def _object(self, node: Mapping[str, Any], made: _Schema, where: str, depth: int) -> None:
        properties = node.get("properties", {})
        more = node.get("additionalProperties", False)
        if more is not False and (more is not True or not properties):
            raise NotStrictError(f"{where} has properties with any names")
        required = [name for name in node.get("required", ()) if name in properties]
        made["properties"] = {}
        for name, item in properties.items():
            self._properties += 1
            shown = self.schema(item, f"property {name!r}", depth + 1)
            if name not in required:
                self._optional += 1
                shown = self._spread(_nullable(shown), f"property {name!r}") if self._dialect.all_required else shown
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
    uses = {name: used(item) for name, item in defs.items()}
    while uses:
        leaves = [name for name, names in uses.items() if not names & uses.keys()]
        if not leaves:
            raise NotStrictError(f"{min(uses)!r} refers to itself")
        for name in leaves:
            del uses[name]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
