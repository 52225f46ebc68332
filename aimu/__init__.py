"""aimu: one interface to language models, agents and workflows; the sync surface."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimu._sync.client import BaseModelClient, ModelClient, chat, client
    from aimu._sync.stream import Stream
    from aimu.aio.request import Limits
    from aimu.core.chunks import StreamChunk, StreamingContentType

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

# module -> names that are imported when they are first used
_LAZY = {
    "aimu._sync.client": ("BaseModelClient", "ModelClient", "chat", "client"),
    "aimu._sync.stream": ("Stream",),
    "aimu.aio.request": ("Limits",),
    "aimu.core.chunks": ("StreamChunk", "StreamingContentType"),
}
_HOME = {name: module for module, names in _LAZY.items() for name in names}

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
