"""Questions of MCP servers, asked in the terminal, which they do not control: what is not printable is escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aimu._core.escaping import printable
from aimu._doors import public
from aimu.aio._mcp.options import Elicitation


@public("aimu.tools")
def ask_in_terminal(question: Elicitation) -> dict[str, Any] | None:
    """Ask the user a question of an MCP server in the terminal; for `MCPClient(elicit=)`.

    Each field is asked for by itself. An empty line takes the default, or leaves out a field that is not required.

    Args:
        question: The question.

    Returns:
        The answers; None if the user declines, by Ctrl-D or by leaving a required field empty.
    """
    asked = printable(f"{question.server} asks: {question.message}", keep="\n")
    print(f"\n{asked}")  # noqa: T201 - the terminal is what it is for
    try:
        if question.url is not None:
            return (
                {} if input(f"Visit {printable(question.url)}\nDone? [y/N] ").strip().lower() in ("y", "yes") else None
            )
        answers: dict[str, Any] = {}
        schema = question.schema or {}
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            answer = _ask(name, field, name in required)
            if answer is None and name in required:
                return None
            if answer is not None:
                answers[name] = answer
        if not schema.get("properties") and input("Agree? [y/N] ").strip().lower() not in ("y", "yes"):
            return None
        return answers
    except EOFError:
        return None


def _ask(name: str, field: Mapping[str, Any], required: bool) -> Any:
    """Return the value of one field, or None for an empty line without a default."""
    choices = field.get("enum")
    default = field.get("default")
    title = field.get("title") or name
    description = f" ({field['description']})" if field.get("description") else ""
    kind = ", ".join(map(str, choices)) if choices else field.get("type", "string")
    marks = f" [{kind}{'' if required else ', optional'}{'' if default is None else f', default {default}'}]: "
    while True:
        text = input(printable(f"{title}{description}{marks}")).strip()
        if not text:
            return default
        value = _value(text, field.get("type", "string"))
        if value is not None and (not choices or value in choices):
            return value
        print(f"{text!r} is not one of these: {printable(kind)}")  # noqa: T201 - likewise


def _value(text: str, kind: str) -> Any:
    """Return a text as a value of a type of JSON, or None if it is not one."""
    if kind == "string":
        return text
    if kind == "boolean":
        return {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}.get(text.lower())
    if kind == "array":
        return [part.strip() for part in text.split(",")]
    try:
        value = json.loads(text)
    except ValueError:
        return None
    fits = type(value) is int if kind == "integer" else type(value) in (int, float)
    return value if fits else None
