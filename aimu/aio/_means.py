"""How the model of a turn is held to the type of its answer: by the strongest means that its provider has.

Decides before the first request, and has no I/O. `aimu._output` knows types and texts, the providers know their wire
formats.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu._core.escaping import escaping
from aimu._output._expected import Expected, instruction, output_tool
from aimu.aio._request import SharedProvider
from aimu.errors import InvalidOptionError
from aimu.providers._base import OutputSchema

log = escaping(logging.getLogger("aimu.aio"))

TOOL = "final_answer"


@final
@frozen(kw_only=True)
class Means:
    """How a model is held to the type of its answer.

    Attributes:
        output: What every request of the turn says of the reply's text; None if the prompt alone asks for JSON.
        tool: The tool that takes the answer, in OpenAI's function format, or None.
        forced: Whether every request can demand a tool call.
        instruction: What to add to the user's message, or "".
        retries: How often the model may give another answer after one that does not fit.
    """

    output: OutputSchema | None = None
    tool: Mapping[str, Any] | None = None
    forced: bool = False
    instruction: str = ""
    retries: int = 0

    def applied(
        self, tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any], *, last: bool
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        """Return the tools and options of a request; the last one of a turn may only give the answer.

        So may one whose options forbid tools: the output tool is none of the user's.
        """
        if self.tool is None:
            return tools, options
        if last or options.get("tool_choice") == "none":  # which is about the other tools
            tools, options = (), {key: value for key, value in options.items() if key != "tool_choice"}
        if self.forced and options.get("tool_choice", "auto") == "auto":
            options = {**options, "tool_choice": "required"}
        return [*tools, self.tool], options


def means_for(
    expected: Expected, provider: SharedProvider, options: Mapping[str, Any], tools: Collection[str]
) -> Means:
    """Return the means to use.

    Args:
        expected: What the run asks.
        provider: The provider of the model.
        options: The options of the requests.
        tools: The names of the tools that the model may call.

    Raises:
        InvalidOptionError: The run asks for a means that the provider or the model does not have.
    """
    mode = expected.mode
    if mode in ("auto", "grammar") and provider.holds_grammars:
        output = OutputSchema(name=expected.type.name, schema=expected.type.exact, mode="grammar")
        # A grammar does not tell the model what is wanted, only what is possible.
        return Means(output=output, instruction=instruction(expected.type.schema), retries=expected.retries)
    if mode == "grammar":
        raise InvalidOptionError(
            f"{provider.spec} has no constrained decoding; use output_mode='auto', which takes the strongest means"
        )
    if mode in ("auto", "schema"):
        try:
            schema = provider.output_schema(expected.type.schema, tools=bool(tools))
        except ValueError as exc:
            if mode == "schema":
                raise InvalidOptionError(f"output_mode='schema' is not possible: {exc}; use 'auto'") from exc
            log.info("%s: the output type is not held by a JSON Schema: %s", provider.spec, exc)
        else:
            output = OutputSchema(name=expected.type.name, schema=schema, mode="schema")
            return Means(output=output, retries=expected.retries)
    if mode == "prompt" or (mode == "auto" and provider.spec.tools is False):
        return Means(instruction=instruction(expected.type.schema), retries=expected.retries)
    if provider.spec.tools is False:
        raise InvalidOptionError(f"output_mode='tool' is not possible: {provider.spec} cannot call tools; use 'auto'")
    name = _free(tools)
    return Means(
        output=OutputSchema(name=name, schema=expected.type.schema, mode="tool"),
        tool=output_tool(name, expected.type.schema),
        forced=options.get("tool_choice", "auto") in ("auto", "none") and provider.forces_tools(options),
        retries=expected.retries,
    )


def _free(taken: Collection[str]) -> str:
    """Return a name for the output tool that no other tool has."""
    name, number = TOOL, 1
    while name in taken:
        number += 1
        name = f"{TOOL}_{number}"
    return name
