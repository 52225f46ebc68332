"""What a request asks of the text of its reply, told without loading anything: most requests ask nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu.errors import InvalidOptionError
from aimu.providers._base import Request

FIELDS = ("json_schema", "regex", "grammar")
"""Fields of `extra_body` that hold a grammar; a request has one at most."""


@final
@frozen(kw_only=True)
class Asked:
    """What the text has to be.

    Attributes:
        kind: "json_schema", "regex" or "grammar" (GBNF), or "" if only calls are asked for.
        value: The schema, or the text of the expression or grammar.
        own: Whether the user gave it as an option; then it is enforced, or the request fails.
        tools: The tools that may be called.
        forced: Whether a tool has to be called.
        several: Whether there may be several calls.
    """

    kind: str = ""
    value: Any = None
    own: bool = False
    tools: Sequence[Mapping[str, Any]] = ()
    forced: bool = False
    several: bool = True

    @property
    def verbatim(self) -> bool:
        """Whether marks in the answer are its text: the answer is JSON, which may hold any."""
        return bool(self.kind) and not self.own


def asked(request: Request) -> Asked | None:
    """Return what a request asks; None if the text may be anything.

    Raises:
        InvalidOptionError: It asks for two grammars, or for one that is not text.
    """
    options = request.options
    own = {name: value for name, value in options.get("extra_body", {}).items() if name in FIELDS and value is not None}
    typed = request.output is not None and request.output.mode == "grammar"
    if len(own) + typed > 1:
        names = [f"extra_body[{name!r}]" for name in own] + ["output_type"] * typed
        raise InvalidOptionError(f"{' and '.join(names)} exclude each other; give one of them")
    for kind, value in own.items():
        return Asked(kind=kind, value=_checked(kind, value), own=True)
    choice = options.get("tool_choice", "auto")
    forced = bool(request.tools) and choice not in ("auto", "none")
    if not typed and not forced:
        return None
    tools = [] if choice == "none" else request.tools
    if choice not in ("auto", "none", "required"):
        tools = [tool for tool in tools if tool["function"]["name"] == choice]
    return Asked(
        kind="json_schema" if typed else "",
        value=request.output.schema if typed and request.output is not None else None,
        tools=tools,
        forced=forced,
        several=options.get("parallel_tool_calls", True) is not False and choice in ("auto", "required"),
    )


def _checked(kind: str, value: Any) -> Any:
    if kind == "json_schema" and isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as exc:
            raise InvalidOptionError(f"extra_body['json_schema'] is not JSON: {exc}") from exc
    wanted: Any = Mapping if kind == "json_schema" else str
    if not isinstance(value, wanted):
        what = "a JSON Schema" if kind == "json_schema" else "text"
        raise InvalidOptionError(f"extra_body[{kind!r}] must be {what}, got {type(value).__name__}")
    return value
