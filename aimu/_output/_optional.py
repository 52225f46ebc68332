"""Removes the nulls that stand for "not given".

Strict services have every property required, so an optional one is shown as nullable; other models write null by
themselves where a property is optional.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aimu.tools._refs import definition


def without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the value without the properties that are null although their schema has no null and no need of them.

    Args:
        value: JSON data.
        schema: Its JSON Schema, with `$defs`.

    Returns:
        The value itself if there is nothing to remove.
    """
    return _cleaned(value, [schema], schema.get("$defs", {}))


def _cleaned(value: Any, schemas: list[Mapping[str, Any]], defs: Mapping[str, Any]) -> Any:
    # Each shape once: the alternatives of a recursive type would double at each level.
    shapes = list({id(shape): shape for schema in schemas for shape in _shapes(schema, defs)}.values())
    if isinstance(value, list):
        items = [shape["items"] for shape in shapes if isinstance(shape.get("items"), Mapping)]
        cleaned = [_cleaned(item, items, defs) for item in value] if items else value
        return cleaned if any(new is not old for new, old in zip(cleaned, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, item in value.items():
        owners = [shape for shape in shapes if name in shape.get("properties", {})]
        known = [shape["properties"][name] for shape in owners]
        if item is None and known and not _needed(name, owners, known, defs):
            continue
        others = [s["additionalProperties"] for s in shapes if isinstance(s.get("additionalProperties"), Mapping)]
        made[name] = _cleaned(item, known or others, defs)
    same = len(made) == len(value) and all(made[name] is value[name] for name in made)
    return value if same else made


def _needed(
    name: str, owners: list[Mapping[str, Any]], known: list[Mapping[str, Any]], defs: Mapping[str, Any]
) -> bool:
    required = any(name in owner.get("required", ()) for owner in owners)
    return required or any(_nullable(shape) for schema in known for shape in _shapes(schema, defs))


def _nullable(shape: Mapping[str, Any]) -> bool:
    kind = shape.get("type")
    if "enum" in shape or "const" in shape:
        return None in shape.get("enum", [shape.get("const")])
    return kind is None or kind == "null" or (isinstance(kind, list) and "null" in kind)


def _shapes(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas without references and alternatives that a schema stands for."""
    waiting, seen = [schema], set[str]()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Mapping):  # true, which allows anything
            node = {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            if ref not in seen:
                seen.add(ref)
                waiting.append(defs.get(definition(ref), {}))
            continue
        branches = [branch for key in ("anyOf", "oneOf", "allOf") for branch in node.get(key, ())]
        if branches:
            waiting.extend(reversed(branches))
        else:
            yield node
