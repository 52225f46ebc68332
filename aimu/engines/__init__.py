"""Engines, which run models in this process: `open_engine` makes the provider of an in-process model.

`ChatFormat` tells what a chat template makes of a conversation, and what the text of its model means.
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

__all__ = ["ChatFormat", "open_engine"]

__getattr__, __dir__ = door(__name__, {"ChatFormat": "aimu.engines._formats.chat_format"})


def open_engine(spec: ModelSpec, **options: Any) -> Provider:
    """Make the engine of a model; its weights are loaded unless `lazy=True`.

    Args:
        spec: The model; its `provider` must be one that runs in this process.
        **options: The options of the engine's class.

    Raises:
        UnknownProviderError: There is no such provider, or it does not run in this process.
        InvalidOptionError: The engine does not have one of the options; the text lists those it has.
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
