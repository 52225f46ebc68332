"""Loads weights, tokenizer and processor of transformers: chooses the class, and shares out the keyword arguments.

Imports transformers, so only `_torch_model` and, when it loads weights, `_huggingface` import it.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils.hub import cached_file

from aimu.engines._memory import available_memory

_REACH_BOTH = ("subfolder", "code_revision", "gguf_file")
"""Arguments for files of tokenizer and weights that transformers takes out of `**kwargs`."""
_FOR_TOKENIZER = "tokenizer_", "use_fast", "mistral_format"
_CLASSES = "AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModelForMultimodalLM"
"""In this order, since the causal class of some models with vision (Qwen 3.5) is the part for text alone."""


def load(source: str, *, dtype: str, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return model and tokenizer of a folder or hub id.

    Args:
        source: The folder or hub id.
        dtype: A dtype of torch, or "auto".
        kwargs: Arguments of `from_pretrained`. Those about where files are found (`revision`, `token`, `cache_dir`,
            ...) reach model, configuration and tokenizer; those whose name begins with `tokenizer_`, `use_fast` and
            `mistral_format` reach the tokenizer only.
    """
    found, own = _places(kwargs)
    weights = {name: value for name, value in kwargs.items() if name not in own}
    with _bars_in_terminals_only():
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source, **found, **own)
        config = kwargs.get("config") or transformers.AutoConfig.from_pretrained(source, **found)
        if not tokenizer.chat_template:
            tokenizer.chat_template = _template_of_processor(source, found)
        model: Any = _class_of(config).from_pretrained(source, dtype=dtype, **weights)
    return model, tokenizer


def free_memory(device: str, dtype: str) -> tuple[int | None, int | None]:
    """Return the bits of a number of a dtype, None for "auto", and the bytes that are free where weights go.

    Those for a GPU come through the memory of the CPU.
    """
    known: Any = getattr(torch, dtype, None)
    bits = known.itemsize * 8 if isinstance(known, torch.dtype) else None
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind.startswith("cuda"):
        free, outside = int(torch.cuda.mem_get_info(torch.device(kind))[0]), available_memory()
        return bits, free if outside is None else min(free, outside)
    return bits, available_memory() if kind == "cpu" else None


def load_processor(source: str, config: Any, kwargs: Mapping[str, Any]) -> Any:
    """Return the processor of a model that takes images; its `image_processor` makes tensors of them.

    Processors that also take videos are made without their part for videos: only that part needs torchvision, and
    folders that were saved without torchvision lack its settings. `kwargs` are those of `load`.
    """
    found, own = _places(kwargs)
    known = {**found, **own}
    with _bars_in_terminals_only():
        auto: Any = transformers.AutoProcessor
        saved, _ = transformers.ProcessorMixin.get_processor_dict(source, **found)
        made: Any = getattr(transformers, saved.get("processor_class") or "", None)
        if made is None:
            made = PROCESSOR_MAPPING.get(type(config), None)
        if made is not None and "video_processor" in made.get_attributes():
            auto = without_videos(made)
        return auto.from_pretrained(source, **known)


def _template_of_processor(source: str, found: Mapping[str, Any]) -> str | None:
    """Return the chat template of older models with images, which their tokenizer does not know."""
    places = {name: value for name, value in found.items() if name in ("subfolder", "revision", "token", "cache_dir")}
    path = cached_file(source, "chat_template.json", **places, _raise_exceptions_for_missing_entries=False)
    if path is None:
        return None
    template: str | None = json.loads(Path(path).read_text("utf8")).get("chat_template")
    return template


def without_videos(made: Any) -> Any:
    """Return a class of processors without its part for videos; itself if it has none."""

    def get_attributes(cls: Any) -> list[str]:
        return [name for name in made.get_attributes() if name != "video_processor"]

    return type(made.__name__, (made,), {"get_attributes": classmethod(get_attributes)})


def _places(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments about where files are found, and those for the tokenizer only."""
    taken = inspect.signature(transformers.PreTrainedTokenizerBase.from_pretrained).parameters.values()
    shared = {name.name for name in taken if name.kind is not name.VAR_KEYWORD and name.default is not name.empty}
    found = {name: value for name, value in kwargs.items() if name in shared or name in _REACH_BOTH}
    return found, {name: value for name, value in kwargs.items() if name.startswith(_FOR_TOKENIZER)}


def _class_of(config: Any) -> Any:
    """Return the class of transformers that loads a configuration as a model of text, and of images if it can."""
    classes = [getattr(transformers, name) for name in _CLASSES if hasattr(transformers, name)]
    found = (auto for auto in classes if type(config) in auto._model_mapping)
    return next(found, transformers.AutoModelForCausalLM)


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
