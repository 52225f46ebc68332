"""The contract of a tool: its description, the JSON Schema of its arguments, and their validation.

Only `_arguments`, `_models`, `_defaults` and `_plain` of this room load pydantic; others import them inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, final

from attrs import frozen
from pydantic import BaseModel

from aimu.errors import ToolSignatureError
from aimu.tools._docstrings import documented
from aimu.tools._models import Models, given, problems, reason, schema_of
from aimu.tools._plain import plain_schema
from aimu.tools._signature import AnyCallable, Argument, origin, scope_of, written


@final
@frozen
class Contract:
    """What a model may rely on: a function's description, the JSON Schema of its arguments, and their validation."""

    description: str
    schema: dict[str, Any]
    _build: Callable[[], type[BaseModel]]

    @cached_property
    def _model(self) -> type[BaseModel]:
        return self._build()

    @classmethod
    def of(cls, function: AnyCallable, arguments: list[Argument]) -> Contract:
        """Read the contract off a function; a ToolSignatureError names the parameter whose type has no schema.

        Args:
            function: The function.
            arguments: What `arguments_of` returns for it.
        """
        description, notes = documented(written(function).__doc__)

        def build(chosen: list[Argument]) -> type[BaseModel]:
            return Models(scope_of(function)).complete(written(function).__name__, chosen, notes)

        # pydantic asserts that a Literal has values, and classes may have hooks of their own: anything may be raised.
        try:
            schema = plain_schema(arguments, notes)
            if schema is not None:
                return cls(description, schema, lambda: build(arguments))
            model = build(arguments)
            return cls(description, _complete(model, arguments), lambda: model)
        except Exception as whole:
            for argument in arguments:
                try:
                    _complete(build([argument]), [argument])
                except Exception as exc:
                    raise _unusable(function, f"parameter {argument.name!r}", exc) from exc
            raise _unusable(function, "its parameters together", whole) from whole

    def validate(self, text: str) -> dict[str, Any]:
        """Parse and coerce the arguments in `text` (JSON); ValueError has one `args` item for each problem."""
        with problems("arguments", ("argument", self.schema["properties"])):
            return given(self._model.model_validate_json(text))


def _complete(model: type[BaseModel], arguments: Iterable[Argument]) -> dict[str, Any]:
    """Return the schema of the arguments.

    Raises:
        TypeError: It does not have all of them.
    """
    schema = schema_of(model)
    for argument in arguments:
        if argument.name not in schema["properties"]:
            raise TypeError(f"{argument.hint} is not the type of a value")
    return schema


def _unusable(function: AnyCallable, what: str, exc: Exception) -> ToolSignatureError:
    return ToolSignatureError(
        f"{origin(function)}: cannot make a JSON Schema of {what}: {reason(exc)}; "
        "use plain types, dataclasses, attrs classes, TypedDicts or pydantic models"
    )
