"""JSON that a model, a service or a file has written: parsed with a bound on its depth. Also what JSON can express.

Deep nesting is refused like any other malformed JSON. Otherwise what one stack can parse, another cannot write: a call
recorded in a history would make every later request fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from aimu._core.surrogates import paired

DEPTH = 100
"""How deep lists and objects may nest; a model that repeats itself nests without end."""
_LONGEST_INT = 10_000  # bits; Python writes and reads somewhat longer numbers, and refuses very long ones


def read_json(text: str, decode: Callable[[str], Any] = json.loads) -> Any:
    """Parse JSON.

    Args:
        text: The JSON text.
        decode: The parser, which raises ValueError for malformed JSON.

    Raises:
        ValueError: The text is not JSON, or it nests deeper than `DEPTH`.
    """
    try:
        value = decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if text.count("{") + text.count("[") > DEPTH:
        check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise ValueError if lists and dicts nest deeper than `DEPTH`."""
    level = [value]
    for _ in range(DEPTH):
        level = [item for outer in level if type(outer) in (list, dict) for item in _items(outer)]
        if not level:
            return
    if any(type(item) in (list, dict) for item in level):
        raise ValueError(f"the JSON is nested deeper than {DEPTH} levels")


def json_copy(value: Any, depth: int = DEPTH) -> Any:
    """Return a copy of JSON data, of plain dicts, lists, texts and numbers: what JSON gives back.

    Args:
        value: The data; a Mapping becomes a dict, a tuple a list, and an object of a subclass a plain one.
        depth: How deep lists and dicts may nest.

    Raises:
        ValueError: JSON cannot express it, or it nests too deep.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return paired(str.__str__(value))
    if isinstance(value, int) and value.bit_length() <= _LONGEST_INT:
        return int.__int__(value)
    if isinstance(value, float) and isfinite(value):
        return float.__float__(value)
    if not isinstance(value, list | tuple | Mapping):
        raise ValueError(f"JSON cannot express this {type(value).__name__}")
    if not depth:
        raise ValueError(f"it is nested deeper than {DEPTH} levels")
    if not isinstance(value, Mapping):
        return [json_copy(item, depth - 1) for item in value]
    if not all(isinstance(key, str) for key in value):
        raise ValueError("a dict has keys that are not texts")
    return {paired(str.__str__(key)): json_copy(item, depth - 1) for key, item in value.items()}


def _items(outer: Any) -> Any:
    return outer.values() if type(outer) is dict else outer
