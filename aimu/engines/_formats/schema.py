"""What the text of an argument means under its schema, where the format gives it no type of its own.

Never raises on any text: what cannot be read stays text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aimu._core.json_text import DEPTH
from aimu.engines._formats.literals import python_value
from aimu.engines._formats.values import loads
from aimu.tools._refs import definition

_WORDS = {"true": True, "false": False, "null": None, "none": None}
_CDATA = re.compile(r"\s*<!\[CDATA\[(.*)\]\]>\s*", re.DOTALL)
_ODD = object()
_NONE: Mapping[str, Any] = {}


def typed(text: str, schema: Any, hint: str = "", definitions: Mapping[str, Any] = _NONE) -> Any:
    """The value of an argument that carries no type of its own.

    Where the schema wants text it stays text, unless it reads as another type that the schema takes as well. `hint` is
    what the model wrote of the type ("string", "number"); the schema may refer to the `definitions`.
    """
    data = _CDATA.fullmatch(text)
    text = data[1] if data else text
    types = types_of(schema, definitions)
    if hint == "string" and not types - {"string"}:
        return text
    value = _literal(text)
    if not types:
        return text if value is _ODD or hint == "string" else value
    if value is _ODD:
        return text
    others = types - {"string"}
    if "string" not in types:
        return value
    return value if others and _type(value) & others else text


def _literal(text: str) -> Any:
    value = loads(text, _ODD)
    if value is not _ODD:
        return value
    if text.lstrip()[:1] in ("{", "["):
        try:
            return python_value(text)
        except (ValueError, RecursionError):
            return _ODD
    return _WORDS.get(text.strip().lower(), _ODD)


def _type(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    names = {float: "number", str: "text", list: "array", dict: "object", type(None): "null"}
    return {names[type(value)]}


def types_of(
    schema: Any, definitions: Mapping[str, Any] = _NONE, depth: int = 0, met: set[str] | None = None
) -> set[str]:
    """The JSON types that a schema names, also by reference to a definition; those that it `met` before add none."""
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return set()
    met = set() if met is None else met
    named = schema.get("type") or ()
    types = {named} if isinstance(named, str) else {name for name in named if isinstance(name, str)}
    if not types:
        values = listed_values(schema)
        types = {"string" if isinstance(value, str) else name for value in values for name in _type_of_json(value)}
    if schema.get("nullable") is True and types:
        types.add("null")
    options = [option for key in ("anyOf", "oneOf", "allOf") for option in _list(schema.get(key))]
    if isinstance(ref := schema.get("$ref"), str) and ref not in met:
        met.add(ref)
        options.append(definitions.get(definition(ref)))
    for option in options:
        types |= types_of(option, definitions, depth + 1, met)
    return types


def listed_values(schema: Mapping[str, Any]) -> Sequence[Any]:
    """The values that a schema lists as `const` or `enum`; none if it has neither."""
    return [schema["const"]] if "const" in schema else _list(schema.get("enum"))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _type_of_json(value: Any) -> set[str]:
    try:
        return _type(value)
    except KeyError:
        return set()


def tagged_value(text: str, key: tuple[str, str], closing: str) -> Any:
    """What stands in marks with names of their own: an object, or a list of items; None where it is neither."""
    begin = re.compile(rf"\s*{re.escape(key[0])}([\w.\-]+){re.escape(key[1])}")
    stack: list[list[tuple[str, Any]]] = [[]]
    names: list[str] = []
    at = 0
    while at < len(text):
        opened = begin.match(text, at)
        if opened and len(names) < DEPTH:
            names.append(opened[1])
            stack.append([])
            at = opened.end()
            continue
        end = closing.replace("*", names[-1]) if names else ""
        stop = text.find(end, at) if end else -1
        if stop < 0:
            return None if text[at:].strip() else _collected(stack[0])
        leaf = text[at:stop]
        parts = stack.pop()
        stack[-1].append((names.pop(), _collected(parts) if parts else typed(leaf, None)))
        at = stop + len(end)
    return None if names else _collected(stack[0])


def _collected(parts: list[tuple[str, Any]]) -> Any:
    names = [name for name, _ in parts]
    if set(names) == {"item"} or len(names) != len(set(names)):
        return [value for _, value in parts]
    return dict(parts)
