"""The contract of a tool: its description, the JSON Schema of its arguments, and their validation.

Only `_arguments`, `_models`, `_defaults` and `_plain` of this room load pydantic; others import them inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, final

from attrs import frozen
from pydantic import BaseModel

from aimu.errors import ToolSignatureError
from aimu.tools._docstrings import documented
from aimu.tools._models import UNUSABLE, Models, given, problems, schema_of
from aimu.tools._plain import plain_schema
from aimu.tools._signature import AnyCallable, Argument, arguments_of, origin, scope_of, written


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
    def of(cls, function: AnyCallable) -> Contract:
        """Read the contract off a function; a ToolSignatureError names the parameter whose type has no schema."""
        description, notes = documented(written(function).__doc__)
        arguments = arguments_of(function)

        def build(chosen: list[Argument]) -> type[BaseModel]:
            return Models(scope_of(function)).complete(written(function).__name__, chosen, notes)

        schema = plain_schema(arguments, notes)
        if schema is not None:
            return cls(description, schema, lambda: build(arguments))
        try:
            model = build(arguments)
            return cls(description, schema_of(model), lambda: model)
        except UNUSABLE:
            for argument in arguments:
                try:
                    schema_of(build([argument]))
                except UNUSABLE as exc:
                    why = str(exc).splitlines()[0].split(". ")[0]
                    raise ToolSignatureError(
                        f"{origin(function)}: cannot make a JSON Schema of parameter {argument.name!r}: {why}; "
                        "use plain types, dataclasses, attrs classes, TypedDicts or pydantic models"
                    ) from exc
            raise

    def validate(self, text: str) -> dict[str, Any]:
        """Parse and coerce the arguments in `text` (JSON); ValueError has one `args` item for each problem."""
        with problems("arguments", ("argument", self.schema["properties"])):
            return given(self._model.model_validate_json(text))
