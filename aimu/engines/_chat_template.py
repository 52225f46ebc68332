"""Chat templates rendered as transformers renders them, for engines that have the template's text only.

Sandboxed: a template comes with the weights, from strangers. Imports jinja2, so it is imported when weights are loaded.
What templates may use: https://huggingface.co/docs/transformers/chat_templating_writing (read 2026-11-22).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Generation(Extension):  # type: ignore[misc]
    """`{% generation %}` marks an assistant's text for training; here it is just its text."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own way

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON for a model, without the escapes that jinja2's own filter makes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def compile_template(text: str, variables: Mapping[str, Any]) -> Any:
    """A jinja2 template, whose `render` takes `messages`, `tools` and what else it uses beside `variables`."""
    environment: Any = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals.update(
        raise_exception=_raise_exception, strftime_now=lambda form: datetime.now().strftime(form), **variables
    )
    return environment.from_string(text)
