"""`generate_kwargs`: the vocabulary, how layers merge, and the warning about a key that a provider cannot honour.

Knows the meaning and the range of each key; how a provider spells it is in the table of providers and in the codecs.
Options that only one provider understands go into `extra_body`, unchecked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias, cast

from aimu._core.escaping import escaping
from aimu._core.nearest import did_you_mean
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.models"))

# What a value must be, in words, and the function that checks it.
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
    """Check the keys and values of `generate_kwargs`.

    A value of None is accepted for every key, see `merge`.

    Raises:
        InvalidOptionError: `options` is not a mapping, a key is not in the vocabulary, or a value is invalid.
    """
    if not isinstance(options, Mapping):
        raise InvalidOptionError(
            f"generate_kwargs must be a dict such as {{'max_tokens': 500}}, got {type(options).__name__} {options!r}"
        )
    for key, value in options.items():
        if key not in VOCABULARY:
            raise InvalidOptionError(
                f"generate_kwargs has the unknown key {key!r}{did_you_mean(key, VOCABULARY)}; "
                f"the keys are: {', '.join(VOCABULARY)}. "
                "Put options that only one provider understands into extra_body={...}"
            )
        expected, accepts = VOCABULARY[key]
        if value is not None and not accepts(value):
            raise InvalidOptionError(f"generate_kwargs[{key!r}] must be {expected}, got {value!r}")


def merge(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge layers of `generate_kwargs`.

    Args:
        *layers: Options of rising precedence: the catalog's, the client's, the call's. None as a value unsets a key
            that an earlier layer set.

    Returns:
        A new dict without unset keys, in which `stop` is a list.

    Raises:
        InvalidOptionError: A key is not in the vocabulary, or a value is invalid for its key.
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
    """Warn once per process that `provider` cannot honour `key`; the request is sent without it."""
    log.warning("%s does not support generate_kwargs[%r]; the request is sent without it", provider, key)
