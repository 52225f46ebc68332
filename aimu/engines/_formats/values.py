"""Values of arguments: what text means under a tool's schema, and JSON with calls in it.

Never raises on any text: what cannot be read stays text, or is None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from aimu._core.reply import UNKNOWN_NAME

Tools = Mapping[str, Mapping[str, Any]]
"""The functions that were offered, by name."""

DEPTH = 100
"""How deep arguments may nest; a model that repeats itself nests without an end."""
NAME_KEYS = ("name", "tool_name", "function", "function_name", "tool", "recipient_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "kwargs", "tool_input", "input")
CALL_KEYS = (*NAME_KEYS, *ARGUMENT_KEYS, "type", "id", "tool_call_id")

_NAMED = re.compile(rf'"(?:{"|".join(NAME_KEYS)})"\s*:\s*"([^"\\]+)"')
_READABLE = re.compile(r"[\w.:/-]+")
_INDEXED = re.compile(r"(.+?)(?::\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_ODD = object()


def loads(text: str, default: Any = None) -> Any:
    """The value of JSON text, `default` where it is none."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return default


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def guessed_name(text: str) -> str:
    """The name in a call that cannot be read."""
    guess = _NAMED.search(text)
    return guess[1] if guess and _READABLE.fullmatch(guess[1]) else UNKNOWN_NAME


def offered_name(text: str) -> tuple[int, str] | None:
    """`(end, name)` of the first name in the beginning of a JSON text."""
    found = _NAMED.search(text)
    return (found.end(), found[1]) if found else None


def plain_name(name: str, tools: Tools) -> str:
    """A name without the words and numbers that some models put around it."""
    if name in tools or not name:
        return name or UNKNOWN_NAME
    bare = name
    for prefix in ("functions.", "function.", "tools."):
        bare = bare.removeprefix(prefix)
    short = _INDEXED.fullmatch(bare)
    bare = short[1] if short else bare
    called = bare.removesuffix(".call")  # as Llama 3 calls what it was trained with
    return called if called in tools else bare or UNKNOWN_NAME


def json_calls(value: Any, tools: Tools, name_key: str = "", arguments_key: str = "") -> list[tuple[str, str]] | None:
    """`(name, arguments as JSON text)` of a JSON value that is a call or a list of them; None for another value."""
    items = value if isinstance(value, list) else [value]
    found = [_json_call(item, tools, name_key, arguments_key) for item in items]
    return None if not found or None in found else cast(list[tuple[str, str]], found)


def _json_call(value: Any, tools: Tools, name_key: str, arguments_key: str) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return None
    call = cast(dict[str, Any], value)
    inner = call.get("function")
    if isinstance(inner, dict):
        call = cast(dict[str, Any], inner)
    name = next((call[key] for key in (name_key, *NAME_KEYS) if isinstance(call.get(key), str)), None)
    argument_keys = [key for key in (arguments_key, *ARGUMENT_KEYS) if key in call]
    if name is None and len(call) == 1 and not argument_keys:
        [(name, arguments)] = call.items()
        return (name, dumps(arguments)) if name in tools and isinstance(arguments, dict) else None
    if name is None and not argument_keys:
        return None
    arguments = call[argument_keys[0]] if argument_keys else None
    if arguments is None:
        return plain_name(name or "", tools), "{}"
    return plain_name(name or "", tools), arguments if isinstance(arguments, str) else dumps(arguments)


def argument_text(text: str) -> str:
    """Arguments as JSON text, of what stands in their place: nothing, an object, or a string with one in it."""
    text = text.strip()
    if text.startswith('"') and isinstance(inner := loads(text), str):
        return inner
    return text or "{}"


def typed(text: str, schema: Any, hint: str = "") -> Any:
    """The value of an argument that carries no type of its own.

    Where the schema wants text it stays text, unless it reads as another type that the schema takes as well. `hint` is
    what the model wrote of the type ("string", "number").
    """
    types = _types(schema)
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
    return _WORDS.get(text.strip().lower(), value) if value is _ODD else value


def _type(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    names = {float: "number", str: "text", list: "array", dict: "object", type(None): "null"}
    return {names[type(value)]}


def _types(schema: Any, depth: int = 0) -> set[str]:
    """The JSON types that a schema names."""
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return set()
    named = schema.get("type") or ()
    types = {named} if isinstance(named, str) else {name for name in named if isinstance(name, str)}
    values = [schema["const"]] if "const" in schema else schema.get("enum") or ()
    if not types and isinstance(values, list | tuple):
        types = {"string" if isinstance(value, str) else name for value in values for name in _type_of_json(value)}
    if schema.get("nullable") is True and types:
        types.add("null")
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        if isinstance(options, list | tuple):
            types = types.union(*(_types(option, depth + 1) for option in options))
    return types


def _type_of_json(value: Any) -> set[str]:
    try:
        return _type(value)
    except KeyError:
        return set()


def properties_of(name: str, tools: Tools) -> Mapping[str, Any]:
    """The schemas of a tool's arguments; empty where they are unknown."""
    parameters = tools.get(name, {}).get("parameters")
    found = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return found if isinstance(found, Mapping) else {}
