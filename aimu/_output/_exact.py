"""The JSON Schema of a type as exactly as one can say it, for decoding against it.

The schema that services are shown says less: they refuse tuples with a type for each place, and pydantic's schemas say
nothing about the digits of a Decimal, or about keys that are numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_NUMBER = r"-?[0-9]{1,15}(\.[0-9]{1,15})?"
_KEYS = {"int": "0|-?[1-9][0-9]{0,17}", "float": _NUMBER, "decimal": _NUMBER, "bool": "true|false"}
_ANY_KEY = "str", "any"
_LARGEST = 10**15  # a number such as 1e999 has no finite value
_DIGITS = 28
_BOUNDS = {"le": "maximum", "ge": "minimum", "lt": "exclusiveMaximum", "gt": "exclusiveMinimum"}


@final
class ExactSchema(GenerateJsonSchema):
    """Makes the schema."""

    def emit_warning(self, kind: str, detail: str) -> None:
        """Ignore the warning that a default is not JSON: the schema leaves it out."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Describe numbers that a Decimal can be made of; as text only if they have no bounds."""
        given: Mapping[str, Any] = schema
        limits = {key: float(given[name]) for name, key in _BOUNDS.items() if given.get(name) is not None}
        if (step := given.get("multiple_of")) is not None:
            limits["multipleOf"] = float(step)
        digits, places = given.get("max_digits"), given.get("decimal_places")
        if digits is None and places is None:
            number = {"type": "number", **_bounded(limits)}
            text = {"type": "string", "pattern": f"^{_of_digits(_DIGITS * 2, _DIGITS)}$"}
            return number if limits else {"anyOf": [number, text]}
        if limits:
            # JSON Schema has no such keywords: whoever makes a grammar of this reports them as unchecked.
            return {"type": "number", **_bounded(limits), "maxDigits": digits, "maxDecimalPlaces": places}
        return {"type": "string", "pattern": f"^{_of_digits(digits or _DIGITS, places)}$"}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Describe the keys, too."""
        made = super().dict_schema(schema)
        keys: Mapping[str, Any] = schema.get("keys_schema") or {"type": "any"}
        if "propertyNames" in made or "patternProperties" in made:
            return made
        kinds = [keys, *keys.get("choices", ())] if keys["type"] == "union" else [keys]
        if not any(isinstance(kind, dict) and kind["type"] in _ANY_KEY for kind in kinds):
            plain = keys.keys() <= {"type", "metadata", "ref", "strict"}
            pattern = _KEYS.get(keys["type"]) if plain else None
            made["propertyNames"] = {"pattern": f"^({pattern})$"} if pattern else self.generate_inner(cast(Any, keys))
        return made


def _bounded(limits: Mapping[str, float]) -> dict[str, float]:
    low = {} if limits.keys() & {"minimum", "exclusiveMinimum", "multipleOf"} else {"minimum": -_LARGEST}
    high = {} if limits.keys() & {"maximum", "exclusiveMaximum", "multipleOf"} else {"maximum": _LARGEST}
    return {**low, **high, **limits}


def _of_digits(digits: int, places: int | None) -> str:
    """Return a pattern for numbers of at most so many digits, and at most so many of them behind the point."""
    if places is None:
        parts = [f"(0|[1-9][0-9]{{0,{left - 1}}})(\\.[0-9]{{1,{digits - left}}})?" for left in range(1, digits)]
        return f"-?({'|'.join(['0', f'[1-9][0-9]{{0,{digits - 1}}}', *parts])})"
    behind = min(places, digits)
    before = digits - behind
    if not before:  # pydantic counts the 0 of "0", but not that of "0.5"
        return f"-?0\\.[0-9]{{1,{behind}}}"
    return f"-?(0|[1-9][0-9]{{0,{before - 1}}})" + (f"(\\.[0-9]{{1,{behind}}})?" if behind else "")
