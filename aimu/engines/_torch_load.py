"""Loads weights and tokenizer of transformers: chooses the class, and shares out the keyword arguments.

Imports transformers, so only `_torch_model` imports it. A model whose class is multimodal is loaded whole and used for
text.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import transformers

_REACH_BOTH = ("subfolder", "code_revision", "gguf_file")
"""Arguments for files of tokenizer and weights that transformers takes out of `**kwargs`."""
_FOR_TOKENIZER = "tokenizer_", "use_fast", "mistral_format"
_CLASSES = "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModelForMultimodalLM"


def load(source: str, *, dtype: str, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return model and tokenizer of a folder or hub id.

    Args:
        source: The folder or hub id.
        dtype: A dtype of torch, or "auto".
        kwargs: Arguments of `from_pretrained`. Those about where files are found (`revision`, `token`, `cache_dir`,
            ...) reach model, configuration and tokenizer; those whose name begins with `tokenizer_`, `use_fast` and
            `mistral_format` reach the tokenizer only.
    """
    taken = inspect.signature(transformers.PreTrainedTokenizerBase.from_pretrained).parameters.values()
    shared = {name.name for name in taken if name.kind is not name.VAR_KEYWORD and name.default is not name.empty}
    found = {name: value for name, value in kwargs.items() if name in shared or name in _REACH_BOTH}
    own = {name: value for name, value in kwargs.items() if name.startswith(_FOR_TOKENIZER)}
    weights = {name: value for name, value in kwargs.items() if name not in own}
    with _bars_in_terminals_only():
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source, **found, **own)
        config = kwargs.get("config") or transformers.AutoConfig.from_pretrained(source, **found)
        model: Any = _class_of(config).from_pretrained(source, dtype=dtype, **weights)
    return model, tokenizer


def _class_of(config: Any) -> Any:
    """Return the class of transformers that loads a configuration as a text model; the first one if none knows it."""
    classes = [getattr(transformers, name) for name in _CLASSES if hasattr(transformers, name)]
    return next((auto for auto in classes if type(config) in auto._model_mapping), classes[0])


@contextmanager
def _bars_in_terminals_only() -> Generator[None]:
    """Hide progress bars unless stderr is a terminal: elsewhere they fill the log, and leak a thread of tqdm."""
    bars = transformers.utils.logging
    silence = bars.is_progress_bar_enabled() and not sys.stderr.isatty()
    if silence:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        if silence:
            bars.enable_progress_bar()
