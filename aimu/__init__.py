"""aimu: one interface to language models, agents and workflows; the sync surface."""

from typing import TYPE_CHECKING

from aimu._doors import door

if TYPE_CHECKING:
    from aimu._core.chunks import StreamChunk, StreamingContentType
    from aimu._sync.client import BaseModelClient, ModelClient, chat, client
    from aimu._sync.stream import Stream
    from aimu.aio._request import Limits

__version__ = "0.1.0"

__all__ = [
    "BaseModelClient",
    "Limits",
    "ModelClient",
    "Stream",
    "StreamChunk",
    "StreamingContentType",
    "chat",
    "client",
]

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong
    __getattr__, __dir__ = door(
        __name__,
        {
            **dict.fromkeys(["BaseModelClient", "ModelClient", "chat", "client"], "aimu._sync.client"),
            **dict.fromkeys(["StreamChunk", "StreamingContentType"], "aimu._core.chunks"),
            "Stream": "aimu._sync.stream",
            "Limits": "aimu.aio._request",
        },
    )
