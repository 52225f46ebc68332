"""Checks JSON values by jsonschema, however deep they nest."""

from __future__ import annotations

from typing import Any


def best_error(validator: Any, value: Any) -> Any:
    """Return jsonschema's error that says most about why a value does not fit; None if it fits.

    Raises:
        RecursionError: The value nests too deeply, or the schema refers to itself without end.
        referencing.exceptions.Unresolvable: The schema refers to what it does not have.
    """
    from jsonschema.exceptions import best_match

    try:
        return best_match(validator.iter_errors(value))
    except BaseException as exc:
        # rpds, below jsonschema, makes a panic of a RecursionError; its class cannot be imported.
        if type(exc).__name__ != "PanicException":
            raise
        raise RecursionError(str(exc)) from None
