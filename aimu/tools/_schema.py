"""Rewrites JSON Schemas of arguments so that services accept them.

Services refuse the whole request for an array without `items`, and tuples have `prefixItems` only. Schemas of MCP
servers may hold null or an empty list where a keyword needs something else; that reads as if the keyword were absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from aimu._core.json_equality import json_key
from aimu.errors import ToolSignatureError
from aimu.tools._refs import NAMED, ONE, SEVERAL, Schema, gathered

_VALUES = ("default", "const", "example")  # of which null is one


def accepted(schema: Mapping[str, Any]) -> Schema:
    """Return the schema of a tool's arguments, which are an object, in a form that services accept.

    A schema that as a whole is a reference to its own definition becomes that definition.

    Raises:
        ToolSignatureError: The schema nests too deeply, or without end.
    """
    try:
        made = accepted_part(gathered(schema) if isinstance(schema.get("$ref"), str) else schema)
    except RecursionError:
        raise ToolSignatureError(
            "the schema of a tool's arguments nests too deeply or contains itself; put its parts into `$defs`"
        ) from None
    made["type"] = "object"
    made.setdefault("properties", {})
    return made


def accepted_part(schema: Mapping[str, Any]) -> Schema:
    """Return the schema of a value in a form that services accept."""
    return cast(Schema, _walked(schema, _plain))


def untitled(schema: Mapping[str, Any]) -> Schema:
    """Return the schema without the titles that pydantic adds, which only repeat the names."""
    return cast(Schema, _walked(schema, lambda node: {key: value for key, value in node.items() if key != "title"}))


def _walked(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """Return a copy in which each schema, from the inside out, is changed; names and values are left as they are."""
    if not isinstance(schema, Mapping):
        return {} if schema is True or schema is None else schema
    made: Schema = {}
    for key, value in schema.items():
        if value is None and key not in _VALUES:
            continue
        if key in NAMED:
            found = value if isinstance(value, Mapping) else {}
            made[key] = {name: _walked(item, change) for name, item in found.items()}
        elif key in SEVERAL or key == "items":
            many = isinstance(value, list)
            made[key] = [_walked(item, change) for item in value] if many else _walked(value, change)
        elif key in ONE and isinstance(value, Mapping):
            made[key] = _walked(value, change)
        else:
            made[key] = value
    return change(made)


def _plain(schema: Schema) -> Schema:
    required = schema.pop("required", None)
    if isinstance(required, list):
        schema["required"] = list(dict.fromkeys(name for name in required if isinstance(name, str)))
    for key in SEVERAL:
        if key in schema and not (isinstance(schema[key], list) and schema[key]):
            del schema[key]
    kinds = schema.get("type")
    if kinds == "array" or (isinstance(kinds, list) and "array" in kinds) or "prefixItems" in schema:
        _array(schema)
    return schema


def _array(schema: Schema) -> None:
    """Give an array one schema for all its items; what each place of a tuple holds is put into words."""
    items = schema.get("items", {})
    places = schema.pop("prefixItems", None)
    if places is None and isinstance(items, list):  # a tuple as JSON Schema wrote it before 2020-12
        places, items = items, schema.pop("additionalItems", {})
    if items is False:
        schema.setdefault("maxItems", len(places or ()))
    if places:
        is_open = schema.get("maxItems", len(places) + 1) > len(places)
        rest = [items] if is_open and items is not False else []
        names = [_name(place) for place in places if isinstance(place, dict)]
        if all(names) and len(set(names)) > 1:
            order = f"The items are, in this order: {', '.join(map(str, names))}."
            schema["description"] = " ".join(filter(None, (schema.get("description"), order)))
        schema["items"] = _any_of([*places, *rest])
    else:
        schema["items"] = items if isinstance(items, dict) else {}


def _name(place: Schema) -> str | None:
    """Return a word for a place of a tuple: its title, the name of its definition, or its type."""
    kind = place.get("title") or str(place.get("$ref", "")).rpartition("/")[2] or place.get("format")
    kind = kind or place.get("type")
    return kind if isinstance(kind, str) else None


def _any_of(schemas: Iterable[Any]) -> Schema:
    distinct: dict[Any, Schema] = {}
    for schema in schemas:
        shown = {key: value for key, value in schema.items() if key not in ("title", "default")} if schema else {}
        if not shown:
            return {}
        distinct.setdefault(json_key(shown), shown)
    several = [*distinct.values()]
    return several[0] if len(several) == 1 else {"anyOf": several}
