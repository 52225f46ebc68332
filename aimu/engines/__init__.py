"""Engines, which run models in this process; `open_engine` makes the one of a model.

An engine is imported when its name is first used. `ChatFormat` tells what a chat template makes of a conversation, and
what the text of its model means.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aimu._doors import door
from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._base import Provider

if TYPE_CHECKING:
    from aimu.engines._formats.chat_format import ChatFormat
    from aimu.engines._huggingface import HuggingFaceEngine
    from aimu.engines._llamacpp import LlamaCppEngine

__all__ = ["ChatFormat", "HuggingFaceEngine", "LlamaCppEngine", "open_engine"]

if not TYPE_CHECKING:  # type checkers see the imports above, so they still report a wrong name
    __getattr__, __dir__ = door(
        __name__,
        {
            "ChatFormat": "aimu.engines._formats.chat_format",
            "HuggingFaceEngine": "aimu.engines._huggingface",
            "LlamaCppEngine": "aimu.engines._llamacpp",
        },
    )


def open_engine(spec: ModelSpec, **options: Any) -> Provider:
    """Make the engine of a model, and load its weights unless `lazy=True`.

    Args:
        spec: The model; its `provider` must be one that runs in this process.
        **options: The options of the engine's class.

    Raises:
        UnknownProviderError: The provider is unknown, or does not run in this process.
        InvalidOptionError: The engine does not have one of the options; the text lists all that it has.
        MissingExtraError: A package that the engine needs is not installed.
        EngineError: The weights could not be loaded.
    """
    row = TABLE.get(spec.provider)
    if row is None or row.engine is None:
        raise UnknownProviderError(spec.provider, [row.name for row in TABLE.values() if row.in_process])
    module, _, name = row.engine.partition(":")
    engine: Any = getattr(import_module(module), name)
    known = [name for name in inspect.signature(engine).parameters if name != "model"]
    unknown = options.keys() - set(known)
    if unknown:
        names = ", ".join(map(repr, sorted(unknown)))
        raise InvalidOptionError(f"{spec} has no option {names}; its options are: {', '.join(known)}")
    opened: Provider = engine(spec, **options)
    return opened
