"""JSON that a model, a service or a file has written: parsed with a bound on its depth.

Deep nesting is refused like any other malformed JSON. Otherwise what one stack can parse, another cannot write: a call
recorded in a history would make every later request fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

DEPTH = 100
"""How deep lists and objects may nest; a model that repeats itself nests without end."""


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


def _items(outer: Any) -> Any:
    return outer.values() if type(outer) is dict else outer
