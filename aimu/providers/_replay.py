"""What a service needs back verbatim belongs to that service: each reply says from which host and model it came.

Pure. Reasoning, its signatures and encrypted items go back to the host that sent them, and nowhere else: another host
would refuse them, or read what is not meant for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from aimu._core.messages import Message
from aimu.providers._base import Request


def with_origin(replay: Mapping[str, Any], host: str, model: str) -> dict[str, Any]:
    """Return the replay data of a reply with the host and the model that it came from."""
    return {
        key: {**kept, "host": host, "model": model} if isinstance(kept, Mapping) else kept
        for key, kept in replay.items()
    }


def for_host(request: Request, host: str) -> Request:
    """Return a request without the replay data of other hosts."""
    replies = (message for message in request.messages if message["role"] == "assistant")
    if not any(_is_foreign(kept, host) for message in replies for kept in message.values()):
        return request
    return evolve(request, messages=[_without(message, host) for message in request.messages])


def _without(message: Message, host: str) -> Message:
    return {key: kept for key, kept in message.items() if not _is_foreign(kept, host)}


def _is_foreign(kept: object, host: str) -> bool:
    return isinstance(kept, Mapping) and isinstance(kept.get("host"), str) and kept["host"] != host
