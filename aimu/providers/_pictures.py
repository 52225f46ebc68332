"""The pictures of a history, in formats that the service accepts.

Pictures of a call were checked before they reached the history. Those of a tool, of a loaded history, or of a
conversation that began with another service are checked here, in the request; the history stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve

from aimu._core.escaping import escaping
from aimu._core.images import accepted_part
from aimu._core.messages import Message
from aimu.errors import InvalidImageError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._base import Request

log = escaping(logging.getLogger("aimu.providers"))


def presentable(request: Request, spec: ModelSpec) -> Request:
    """Return a request whose pictures the service accepts.

    A picture from a tool that cannot be converted becomes a text that says so: the model can go on without it.

    Raises:
        InvalidImageError: A picture of the user cannot be converted.
    """
    row = TABLE.get(spec.provider)
    if row is None or not any(isinstance(message.get("content"), list) for message in request.messages):
        return request
    return evolve(request, messages=[_presentable(message, row.images, str(spec)) for message in request.messages])


def _presentable(message: Message, accepted: Collection[str], who: str) -> Message:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, message, accepted, who) for part in content]}


def _part(part: Any, message: Message, accepted: Collection[str], who: str) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image_url":
        return part
    try:
        return accepted_part(dict(part), accepted, who)
    except InvalidImageError as exc:
        if message["role"] != "tool":
            raise
        log.warning("a picture of the tool %r is left out: %s", message.get("name"), exc)
        return {"type": "text", "text": f"(a picture is left out: {exc})"}
