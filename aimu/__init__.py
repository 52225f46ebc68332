"""aimu: one interface to language models, agents and workflows; the sync surface."""

from typing import TYPE_CHECKING

from aimu._doors import door

if TYPE_CHECKING:
    from aimu import agents as agents
    from aimu import aio as aio
    from aimu import engines as engines
    from aimu import errors as errors
    from aimu import evals as evals
    from aimu import models as models
    from aimu import providers as providers
    from aimu import skills as skills
    from aimu import testing as testing
    from aimu import tools as tools
    from aimu import types as types
    from aimu._core.answer import Answer
    from aimu._core.chunks import StreamChunk, StreamingContentType
    from aimu._sync.client import BaseModelClient, ModelClient, chat, client
    from aimu._sync.stream import Stream
    from aimu.aio._request import Limits

__version__ = "0.1.0"

__all__ = [
    "Answer",
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
            "Answer": "aimu._core.answer",
            "Stream": "aimu._sync.stream",
            "Limits": "aimu.aio._request",
        },
        packages=[
            "agents",
            "aio",
            "engines",
            "errors",
            "evals",
            "models",
            "providers",
            "skills",
            "testing",
            "tools",
            "types",
        ],
    )
