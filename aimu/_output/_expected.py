"""What a run asks of its answer: the type, how the model is held to it, and how often it may try again.

Owns the texts that tell a model about it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast, final, get_args

from attrs import frozen

from aimu._output._type import OutputType
from aimu.errors import InvalidOptionError

OutputMode: TypeAlias = Literal["auto", "schema", "grammar", "tool", "prompt"]
OutputValidator: TypeAlias = Callable[[Any], "object | Awaitable[object]"]

RETRIES = 2


@final
@frozen(eq=False, kw_only=True)
class Expected:
    """The type that an answer must have.

    Attributes:
        type: The type.
        mode: How the model is held to it.
        retries: How often a model may give another answer after one that does not fit.
        validator: The user's own check of the value, or None. It raises ValueError with what is wrong.
    """

    type: OutputType[Any]
    mode: OutputMode = "auto"
    retries: int = RETRIES
    validator: OutputValidator | None = None

    @classmethod
    def asked(cls, kind: Any, mode: Any, retries: Any, validator: Any) -> Expected | None:
        """Return what a user asks with `output_type` and the options beside it; None if there is no `output_type`.

        Raises:
            InvalidOptionError: An option is invalid, or the type has no JSON Schema.
        """
        if kind is None:
            for name, value, default in (
                ("output_mode", mode, "auto"),
                ("output_retries", retries, RETRIES),
                ("output_validator", validator, None),
            ):
                if value != default:
                    raise InvalidOptionError(f"{name} needs output_type; pass the type of the answer as well")
            return None
        if mode not in get_args(OutputMode):
            known = ", ".join(map(repr, get_args(OutputMode)))
            raise InvalidOptionError(f"output_mode must be one of {known}, got {mode!r}")
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise InvalidOptionError(f"output_retries must be an integer of at least 0, got {retries!r}")
        if validator is not None and not callable(validator):
            raise InvalidOptionError(
                f"output_validator must be a function of the value, got {type(validator).__name__}"
            )
        return cls(type=OutputType.of(kind), mode=cast(OutputMode, mode), retries=retries, validator=validator)


def instruction(schema: Mapping[str, Any]) -> str:
    """Return what asks a model for JSON where nothing else holds it to the schema."""
    return f"Answer with JSON alone, without any other text, that fits this JSON Schema:\n{_compact(schema)}"


def correction(reasons: Iterable[str]) -> str:
    """Return what tells a model that its answer does not fit."""
    listed = "".join(f"\n- {reason}" for reason in reasons)
    return f"The answer does not fit:{listed}\nGive the whole answer again, corrected."


def output_tool(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tool that takes the answer, in OpenAI's function format."""
    about = "Give the final answer by calling this tool, once, when everything else is done. Do not answer with text."
    return {"type": "function", "function": {"name": name, "description": about, "parameters": dict(schema)}}


def _compact(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
