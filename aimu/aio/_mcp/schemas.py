"""JSON Schemas of servers, used to check results and answers. None of their regular expressions is run."""

from __future__ import annotations

import logging
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


def validator_of(schema: Any, complaint: str) -> Any:
    """Return a validator that runs no regular expression; None, after a warning, if the schema is invalid."""
    from jsonschema import SchemaError
    from jsonschema.validators import extend, validator_for
    from referencing import Registry

    def skip(*_: Any) -> None:
        return None

    kind: Any = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as exc:
        log.warning("%s: %s", complaint, exc.message)
        return None
    additional = kind.VALIDATORS.get("additionalProperties", skip)

    def additional_properties(validator: Any, value: Any, instance: Any, parent: Any) -> Any:
        # It compares with the expressions of `patternProperties`.
        return None if "patternProperties" in parent else additional(validator, value, instance, parent)

    skipped = ("pattern", "patternProperties", "unevaluatedProperties")
    changed = {**dict.fromkeys(skipped, skip), "additionalProperties": additional_properties}
    return extend(kind, changed)(schema, registry=Registry())
