"""JSON Schemas of servers, used to check results and answers. None of their regular expressions is compiled or run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aimu._core.escaping import escaping
from aimu._core.json_check import best_error

log = escaping(logging.getLogger("aimu.aio"))

_SHOWN = 300  # characters of both ends of a long reason


def problem_of(value: Any, validator: Any, owner: str) -> str | None:
    """Return why a value does not fit a schema; None if it does, or if that cannot be said.

    `owner` says in a warning whose schema it is.
    """
    if validator is None:
        return None
    from referencing.exceptions import Unresolvable

    try:
        error = best_error(validator, value)
    except Unresolvable as exc:
        log.warning("%s with an unknown $ref: %s", owner, exc)
        return None
    except RecursionError:
        log.warning("%s that refers to itself without end, or a value that nests too deeply: not checked", owner)
        return None
    if error is None:
        return None
    text = str(error.message)  # begins with the value, and ends with the reason
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]} ... {text[-_SHOWN:]}"


def validator_of(schema: Mapping[str, Any], complaint: str) -> Any:
    """Return a validator that runs no regular expression; None, after a warning, if the schema is invalid."""
    from jsonschema.validators import Draft202012Validator, extend, validator_for
    from referencing import Registry

    def skip(*_: Any) -> None:
        return None

    dialect = schema.get("$schema")
    known = {"$schema": dialect} if isinstance(dialect, str) else {}
    kind: Any = validator_for(known, default=Draft202012Validator)
    try:
        # `check_schema` would compile the regular expressions.
        error = best_error(kind(kind.META_SCHEMA), schema)
    except RecursionError:
        log.warning("%s: it nests too deeply", complaint)
        return None
    if error is not None:
        log.warning("%s: %s", complaint, error.message)
        return None
    additional = kind.VALIDATORS.get("additionalProperties", skip)

    def additional_properties(validator: Any, value: Any, instance: Any, parent: Any) -> Any:
        # It compares with the expressions of `patternProperties`.
        return None if "patternProperties" in parent else additional(validator, value, instance, parent)

    skipped = ("pattern", "patternProperties", "unevaluatedProperties")
    changed = {**dict.fromkeys(skipped, skip), "additionalProperties": additional_properties}
    return extend(kind, changed)(schema, registry=Registry())
