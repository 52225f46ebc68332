"""Applies `extra_body`: what it may add to a request, and what it must not replace.

Pure. The tools in it join the conversation's own. A key that the request itself sets is refused before anything is
sent, since the answer would belong to another request than the history says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from attrs import evolve

from aimu.errors import InvalidOptionError
from aimu.providers._base import Request
from aimu.providers._wire import overlay

_CHAT = "pass the text to chat() or generate(), or assign `messages`"
_SYSTEM = "set `system_message`"
_ALWAYS = {
    "model": "make a client for that model",
    "messages": _CHAT,
    "stream": "pass stream=True to the call",
    "tool_choice": "use generate_kwargs['tool_choice']",
}
# Refused if the format of the service has the key and the request sets it.
_IF_SET = {
    "input": _CHAT,
    "prompt": _CHAT,
    "system": _SYSTEM,
    "instructions": _SYSTEM,
    "images": "pass images= to the call",
    "response_format": "use output_type=",
    "format": "use output_type=",
}


def split_extra(request: Request) -> tuple[Request, Mapping[str, Any]]:
    """Return the request without its `extra_body`, but with the tools in it, and the rest of `extra_body`.

    Raises:
        InvalidOptionError: `extra_body` has a key that every request sets, or its tools do not fit.
    """
    if "extra_body" not in request.options:
        return request, {}
    extra = dict(request.options["extra_body"] or {})
    for key, remedy in _ALWAYS.items():
        if key in extra:
            raise _refused(key, remedy)
    options = {key: value for key, value in request.options.items() if key != "extra_body"}
    tools: Any = extra.pop("tools", ())
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InvalidOptionError(
            f"extra_body['tools'] must be a list of tool definitions, which joins the conversation's own tools, "
            f"not {tools!r:.100}"
        )
    more = cast("list[Mapping[str, Any]]", tools)
    names = {_name(tool) for tool in request.tools} - {None}
    for tool in more:
        if _name(tool) in names:
            raise InvalidOptionError(
                f"extra_body['tools'] has a tool {_name(tool)!r}, and so has the conversation; rename one of them"
            )
    return evolve(request, tools=(*request.tools, *more), options=options), extra


def overlay_extra(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the rest of `extra_body` into `body` and return it.

    Raises:
        InvalidOptionError: It has a key under which this request sends the conversation.
    """
    if not extra:
        return body
    for key, remedy in _IF_SET.items():
        if key in extra and key in body:
            raise _refused(key, remedy)
    included, more = body.get("include"), extra.get("include")
    if isinstance(included, list) and isinstance(more, list):
        extra = {**extra, "include": [*included, *(item for item in more if item not in included)]}
    return overlay(body, extra)


def _refused(key: str, remedy: str) -> InvalidOptionError:
    return InvalidOptionError(f"extra_body must not have the key {key!r}, which the request itself sets; {remedy}")


def _name(tool: Mapping[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, Mapping) else tool.get("name")
