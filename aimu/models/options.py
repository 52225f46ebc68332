"""`generate_kwargs`: the one vocabulary, how layers of it merge, and what is said about a key that cannot be honoured.

Knows the meaning and range of each key, not how a provider spells it: that is the codec's. Refuses keys of its own
making; what a provider alone understands goes into `extra_body`, unchecked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias, cast

from aimu.errors import InvalidOptionError

logger = logging.getLogger("aimu.models")

# What is expected, in words, and the check of it.
_Rule: TypeAlias = tuple[str, Callable[[Any], bool]]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(low: float, high: float) -> _Rule:
    return (
        f"a number from {low:g} to {high:g}",
        lambda value: (_is_int(value) or isinstance(value, float)) and low <= value <= high,
    )


def _integer(low: int) -> _Rule:
    return f"an integer of at least {low}", lambda value: _is_int(value) and value >= low


def _is_stop(value: object) -> bool:
    texts = cast("list[object]", value if isinstance(value, list | tuple) else [value])
    return all(isinstance(text, str) and text for text in texts)


_BOOL: _Rule = ("True or False", lambda value: isinstance(value, bool))

VOCABULARY: Mapping[str, _Rule] = {
    "max_tokens": _integer(1),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "top_k": _integer(0),
    "stop": ("a non-empty string or a list of them", _is_stop),
    "seed": ("an integer", _is_int),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "repeat_penalty": _number(0.01, 10),
    "thinking": _BOOL,
    "thinking_budget_tokens": _integer(1),
    "tool_choice": (
        "'auto', 'none', 'required' or a tool's name",
        lambda value: isinstance(value, str) and value != "",
    ),
    "parallel_tool_calls": _BOOL,
    "extra_body": ("a mapping", lambda value: isinstance(value, Mapping)),
}


def check(options: Mapping[str, Any]) -> None:
    """Raise InvalidOptionError for a key that is not in the vocabulary or a value that its key cannot mean.

    None is no value: it unsets, see `merge`.
    """
    for key, value in options.items():
        if key not in VOCABULARY:
            raise InvalidOptionError(
                f"generate_kwargs has no key {key!r}; known: {', '.join(VOCABULARY)}. "
                "What only one provider understands goes into extra_body={...}"
            )
        expected, accepts = VOCABULARY[key]
        if value is not None and not accepts(value):
            raise InvalidOptionError(f"generate_kwargs[{key!r}] must be {expected}, not {value!r}")


def merge(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """One dict of options from layers of rising precedence (catalog, client, call), checked.

    None unsets a key that an earlier layer set; `stop` comes out as a list; no layer is changed.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer:
            check(layer)
            merged.update(layer)
    options = {key: value for key, value in merged.items() if value is not None}
    if "stop" in options:
        stop = options["stop"]
        options["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return options


@cache
def warn_unsupported(provider: str, key: str) -> None:
    """Log once per process that `provider` cannot honour `key`; the request goes out without it."""
    logger.warning("%s cannot honour generate_kwargs[%r]; it is left out", provider, key)
