"""JSON with calls in it, and the names of calls.

Never raises on any text: what cannot be read stays text, or is None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from aimu._core.json_text import read_json
from aimu._core.reply import UNKNOWN_NAME
from aimu.tools._refs import gathered

Tools = Mapping[str, Mapping[str, Any]]
"""The functions that were offered, by name."""

NAME_KEYS = ("name", "tool_name", "function", "function_name", "tool", "recipient_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "kwargs", "tool_input", "input")
CALL_KEYS = (*NAME_KEYS, *ARGUMENT_KEYS, "type", "id", "tool_call_id")

_NAMED = re.compile(rf'"(?:{"|".join(NAME_KEYS)})"\s*:\s*"([^"\\]+)"')
_LENIENT = json.JSONDecoder(strict=False)
_CODE = ("python", "ipython", "code_interpreter")
_READABLE = re.compile(r"[\w.:/-]+")
_INDEXED = re.compile(r"(.+?)(?::\d+)?")


def loads(text: str, default: Any = None) -> Any:
    """The value of JSON text, `default` where it is none."""
    try:
        return read_json(text, _LENIENT.decode)
    except ValueError:
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


def argument_text(text: str, properties: Mapping[str, Any]) -> str:
    """Arguments as JSON text, of what stands in their place: nothing, an object, a string with one in it, or code.

    Code is what a tool with one argument, a text, gets without any JSON.
    """
    bare = text.strip()
    if bare.startswith('"') and isinstance(inner := loads(bare), str):
        return inner
    kinds = [schema.get("type") for schema in properties.values() if isinstance(schema, Mapping)]
    if bare and kinds == ["string"] and len(properties) == 1 and bare[0] not in "{[":
        return dumps({next(iter(properties)): text.strip("\n")})
    return bare or "{}"


def code_tool(tools: Tools) -> str:
    """The offered tool that runs code, "" if there is none."""
    return next((name for name in _CODE if name in tools and argument_text("x", properties_of(name, tools)) != "x"), "")


def properties_of(name: str, tools: Tools) -> Mapping[str, Any]:
    """The schemas of a tool's arguments; empty where they are unknown."""
    parameters = tools.get(name, {}).get("parameters")
    return _mapping(parameters.get("properties")) if isinstance(parameters, Mapping) else {}


def resolvable_properties_of(name: str, tools: Tools) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The same, and the definitions that they refer to."""
    try:
        schema = gathered(_mapping(tools.get(name, {}).get("parameters")))
    except RecursionError:
        return properties_of(name, tools), {}
    return _mapping(schema.get("properties")), schema.get("$defs", {})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
