"""Questions of MCP servers, asked in the terminal, which they do not control: what is not printable is escaped."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
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
    required = schema.get("required", ())
    answers: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        answer = yield from _ask(said, name, field, name in required)
        said = ""
        if answer is None and name in required:
            return None
        if answer is not None:
            answers[name] = answer
    if not schema.get("properties") and not _agrees((yield said, "Agree? [y/N] ")):
        return None
    return answers


def _agrees(line: str) -> bool:
    return line.strip().lower() in ("y", "yes")


def _ask(said: str, name: str, field: Mapping[str, Any], required: bool) -> Generator[tuple[str, str], str, Any]:
    """Return the value of one field, or None for an empty line without a default."""
    choices = field.get("enum")
    default = field.get("default")
    title = field.get("title") or name
    description = f" ({field['description']})" if field.get("description") else ""
    kind = ", ".join(map(str, choices)) if choices else field.get("type", "string")
    marks = f" [{kind}{'' if required else ', optional'}{'' if default is None else f', default {default}'}]: "
    while True:
        text = (yield said, printable(f"{title}{description}{marks}")).strip()
        if not text:
            return default
        value = _value(text, field.get("type", "string"))
        if value is not None and (not choices or value in choices):
            return value
        said = f"{text!r} is not one of these: {printable(kind)}"


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
