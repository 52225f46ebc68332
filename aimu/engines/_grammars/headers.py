"""Replies whose messages have a header, as the template writes them: an answer, a call, thinking before them.

What stands before and between the parts is seen in conversations that the template renders.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, final

from attrs import frozen

from aimu.engines._formats.chat_format import UNKNOWN, ChatFormat
from aimu.engines._formats.table import table_of
from aimu.engines._grammars.lark import Lark, either, quoted
from aimu.engines._grammars.rendering import ARGUMENTS, NAME, rendered, said

_ANSWER, _THOUGHT = "probe answer", "probe thought"


@final
@frozen(kw_only=True)
class Headers:
    """What a template writes behind the beginning of a reply.

    Attributes:
        answer: Before an answer.
        call: Before the name of a tool that is called.
        named: Between the name and the arguments, which are JSON; "" if calls are written in another way.
        thought: Before thinking, and between thinking and what follows; None if the template shows no thinking.
    """

    answer: str
    call: str
    named: str
    thought: tuple[str, str] | None


@lru_cache(maxsize=64)
def before_thought(form: ChatFormat) -> str:
    """Return what a template writes before thinking, from the end of the prompt on; "" if it shows none."""
    text, found, _ = rendered(form, said(thought=_THOUGHT, calls=1)).partition(_THOUGHT)
    return text if found else ""


def has_headers(form: ChatFormat) -> bool:
    """Return whether messages of a format have a header."""
    return form.name != UNKNOWN and table_of(form.rows).header is not None


@lru_cache(maxsize=64)
def headers_of(form: ChatFormat) -> Headers:
    """Return the headers; raise ValueError if the template does not show them."""
    answer, found, _ = rendered(form, said(_ANSWER)).partition(_ANSWER)
    if not found:
        raise ValueError(f"the template shows no header before answers of the format {form.name!r}")
    text = rendered(form, said(calls=1))
    call, _, rest = text.partition(NAME)
    named, found, _ = rest.partition(ARGUMENTS)
    before, thought, behind = rendered(form, said(thought=_THOUGHT, calls=1)).partition(_THOUGHT)
    closing = behind.partition(f"{call}{NAME}")[0] if call else ""
    around = (before, closing) if thought and closing else None
    return Headers(answer=answer, call=call, named=named if found else "", thought=around)


def header_calls(
    lark: Lark,
    form: ChatFormat,
    tools: Sequence[Mapping[str, Any]],
    schema_of: Callable[[Mapping[str, Any]], Any],
) -> str:
    """Add rules for a call of one of the tools; return what stands for it.

    Args:
        lark: Where rules are added.
        form: The chat format.
        tools: The tools that may be called.
        schema_of: Turns the JSON Schema of arguments into one that llguidance accepts.
    """
    headers = headers_of(form)
    if not headers.named:
        raise ValueError(f"no grammar describes the tool calls of the format {form.name!r}")
    found: list[str] = []
    for index, tool in enumerate(tools):
        function = tool["function"]
        schema = schema_of({"properties": {}, "additionalProperties": False, **(function.get("parameters") or {})})
        value = lark.rule(f"arguments{index}", f"%json {json.dumps(schema)}")
        found.append(f"{lark.exact(headers.call)} {quoted(function['name'])} {lark.exact(headers.named)} {value}")
    return either(found)
