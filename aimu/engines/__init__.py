"""Weights in this process: `open_engine` gives the provider of an in-process model string.

`ChatFormat` tells what a chat template makes of a conversation, and what the text of its model means.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models.spec import ModelSpec
from aimu.providers.base import Provider

if TYPE_CHECKING:
    from aimu.engines.formats.chat_format import ChatFormat

__all__ = ["ChatFormat", "open_engine"]


def __getattr__(name: str) -> Any:
    if name == "ChatFormat":
        from aimu.engines.formats.chat_format import ChatFormat

        return ChatFormat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_engine(spec: ModelSpec, **options: Any) -> Provider:
    """The engine of `spec`, with weights loaded unless `lazy=True`.

    `options` are those of the engine's class; another one is an InvalidOptionError that lists them.
    """
    engine = _engine_class(spec.provider)
    known = [name for name in inspect.signature(engine).parameters if name != "model"]
    unknown = options.keys() - set(known)
    if unknown:
        raise InvalidOptionError(f"{spec} takes no {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    opened: Provider = engine(spec, **options)
    return opened


def _engine_class(provider: str) -> Any:
    if provider == "hf":
        from aimu.engines.huggingface import HuggingFaceEngine

        return HuggingFaceEngine
    if provider == "llamacpp":
        from aimu.engines.llamacpp import LlamaCppEngine

        return LlamaCppEngine
    raise UnknownProviderError(provider, ("hf", "llamacpp"))
