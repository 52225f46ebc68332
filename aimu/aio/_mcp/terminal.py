"""Questions of MCP servers, asked in the terminal, which they do not control: what is not printable is escaped."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from math import isfinite
from typing import Any

from aimu._core.escaping import printable
from aimu._doors import public
from aimu.aio._mcp.options import Elicitation
from aimu.aio._mcp.schemas import problem_of, validator_of


@public("aimu.tools")
def ask_in_terminal(question: Elicitation) -> dict[str, Any] | None:
    """Ask the user a question of an MCP server in the terminal; for `MCPClient(elicit=)`.

    Each field is asked for by itself. An empty line takes the default, or leaves out a field that is not required.

    Args:
        question: The question.

    Returns:
        The answers; None if the user declines, by Ctrl-D or by leaving a required field empty.
    """
    steps = dialogue(question)
    try:
        said, prompt = next(steps)
        while True:
            if said:
                print(said)  # noqa: T201 - the terminal is what it is for
            said, prompt = steps.send(input(prompt))
    except StopIteration as end:
        answers: dict[str, Any] | None = end.value
        return answers
    except EOFError:
        return None


def dialogue(question: Elicitation) -> Generator[tuple[str, str], str, dict[str, Any] | None]:
    """Yield what to print and then which line to ask for, take each line, and return the answers or None."""
    said = printable(f"\n{question.server} asks: {question.message}", keep="\n")
    if question.url is not None:
        return {} if _agrees((yield said, f"Visit {printable(question.url)}\nDone? [y/N] ")) else None
    schema = question.schema or {}
    required = schema.get("required") or ()
    fields = schema.get("properties") or {}
    answers: dict[str, Any] = {}
    for name, field in fields.items():
        answer = yield from _ask(said, name, field if isinstance(field, Mapping) else {}, name in required)
        said = ""
        if answer is None and name in required:
            return None
        if answer is not None:
            answers[name] = answer
    if not fields and not _agrees((yield said, "Agree? [y/N] ")):
        return None
    return answers


def _agrees(line: str) -> bool:
    return line.strip().lower() in ("y", "yes")


def _ask(said: str, name: str, field: Mapping[str, Any], required: bool) -> Generator[tuple[str, str], str, Any]:
    """Return the value of one field, or None for an empty line without a default."""
    choices = _choices(field)
    default = field.get("default")
    title = field.get("title") or name
    description = f" ({field['description']})" if field.get("description") else ""
    kind = _kind(field)
    shown = ", ".join(_shown(value, choices) for value in dict.fromkeys(choices.values())) if choices else kind
    marks = f" [{shown}{'' if required else ', optional'}{'' if default is None else f', default {default}'}]: "
    validator = validator_of(dict(field), f"the field {name!r} has an invalid schema, so the answer is not checked")
    while True:
        text = (yield said, printable(f"{title}{description}{marks}")).strip()
        if not text:
            return default
        value = _value(text, kind, choices)
        if value is None:
            said = f"{text!r} is not one of these: {printable(shown)}"
        elif (problem := problem_of(value, validator, f"the field {name!r} has a schema")) is not None:
            said = f"that does not fit: {printable(problem)}"
        else:
            return value


def _kind(field: Mapping[str, Any]) -> str:
    kinds = field.get("type", "string")
    return next((str(kind) for kind in kinds if kind != "null"), "string") if isinstance(kinds, list) else str(kinds)


def _choices(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a field, or each item of a list, may have, by what the user may type for them.

    Format: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation (read 2026-11-26)
    """
    if isinstance(items := field.get("items"), Mapping):
        field = items
    values = list(field.get("enum") or ())
    found = dict(zip(map(str, field.get("enumNames") or ()), values, strict=False))
    for option in field.get("oneOf") or field.get("anyOf") or ():
        if isinstance(option, Mapping) and "const" in option:
            values.append(option["const"])
            found[str(option.get("title") or option["const"])] = option["const"]
    return found | {str(value): value for value in values}


def _shown(value: Any, choices: Mapping[str, Any]) -> str:
    titles = [text for text, meant in choices.items() if meant == value and text != str(value)]
    return f"{value} ({titles[0]})" if titles else str(value)


def _value(text: str, kind: str, choices: Mapping[str, Any]) -> Any:
    """Return a text as a value of a type of JSON, or None if it is not one."""
    if kind == "array":
        parts = [part.strip() for part in text.split(",")]
        values = [choices.get(part) if choices else part for part in parts]
        return None if None in values else values
    if choices:
        return choices.get(text)
    if kind == "string":
        return text
    if kind == "boolean":
        return {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}.get(text.lower())
    try:
        value = json.loads(text)
    except ValueError:
        return None
    fits = type(value) is int if kind == "integer" else type(value) in (int, float) and isfinite(value)
    return value if fits else None
