"""Hugging Face models in this process: what the options of engine and requests mean to transformers.

The forward passes are `torch_model`'s, everything between a request and its reply is `local`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from aimu.engines._local import LocalEngine, Tokens
from aimu.engines._rounds import StopFlag
from aimu.errors import EngineError, InvalidOptionError
from aimu.models._spec import ModelSpec

if TYPE_CHECKING:
    from aimu.engines._torch_batch import TorchBatch
    from aimu.engines._torch_model import Sampler, TorchModel


@final
class HuggingFaceEngine(LocalEngine["TorchModel"]):
    """A `Provider` that runs a causal language model of transformers.

    `model` is a folder, a hub id or a ModelSpec with one of them. The weights are loaded here and now, which blocks,
    or at the first request or `load()` with `lazy=True`. `device` is "auto" (CUDA where there is one), or what torch
    calls a device; `dtype` "auto" is that of the files; `threads` is torch's number of threads (process-wide);
    `prefix_cache_bytes` bounds what is kept of past prompts (0: nothing); `tool_format` overrides what the chat
    template tells; up to `batch` concurrent requests share forward passes (1: none does); `model_kwargs` go to
    `AutoModelForCausalLM.from_pretrained` (`device_map`, `quantization_config`).

    Raises EngineError where there are no such weights or requests to them cannot be batched, MissingExtraError without
    torch and transformers. An option that cannot be honoured is named once in the log. `extra_body` may hold fields of
    transformers' GenerationConfig, and `chat_template_kwargs`.
    """

    extra = "hf"
    packages = ("torch", "transformers", "jinja2")
    distributions = ("transformers", "torch")

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelSpec,
        *,
        lazy: bool = False,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        prefix_cache_bytes: int = 256 << 20,
        tool_format: str | None = None,
        batch: int = 1,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        spec = model if isinstance(model, ModelSpec) else ModelSpec(os.fspath(model), "hf", vision=False)
        if batch < 1:
            raise InvalidOptionError(f"batch={batch!r}; at least one request is answered at a time")
        self._source = _source(spec.id)
        self._size = batch
        self._batch: TorchBatch | None = None
        self._settings: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "threads": threads,
            "kwargs": dict(model_kwargs or {}),
        }
        super().__init__(spec, lazy=lazy, prefix_cache_bytes=prefix_cache_bytes, tool_format=tool_format, share=batch)

    def _load(self) -> TorchModel:
        from aimu.engines._torch_model import TorchModel

        model = TorchModel(self._source, **self._settings)
        if self._size > 1:
            from aimu.engines._torch_batch import TorchBatch

            self._batch = TorchBatch(model)
        return model

    def _free(self) -> None:
        self._batch = None
        super()._free()

    def _tokens(self, model: TorchModel, ids: list[int], states: Any, sampler: Any, stopped: StopFlag) -> Tokens:
        return (self._batch or model).tokens(ids, states, sampler, stopped)

    def _sampler(self, model: TorchModel, options: Mapping[str, Any]) -> Sampler:
        settings = model.settings()
        for field, value in options.get("extra_body", {}).items():
            setattr(settings, field, value)
        for name, field in (("top_p", "top_p"), ("top_k", "top_k"), ("repeat_penalty", "repetition_penalty")):
            if name in options:
                setattr(settings, field, options[name])
        if options.keys() & {"temperature", "top_p", "top_k"}:
            settings.do_sample = options.get("temperature") != 0
        if options.get("temperature"):
            settings.temperature = float(options["temperature"])
        return model.sampler(
            settings,
            seed=options.get("seed"),
            presence=options.get("presence_penalty", 0.0),
            frequency=options.get("frequency_penalty", 0.0),
        )


def _source(model: str) -> str:
    """What to load: a folder's path, or a hub id. What can only be a path is never looked for on the hub."""
    path = Path(model).expanduser()
    if path.is_dir():
        return os.fspath(path)
    if model.startswith((".", "~", os.sep)) or model.count("/") > 1 or "\\" in model:
        raise EngineError(
            f"there is no folder {os.fspath(path)!r}; give the folder that holds config.json and the weights, "
            "or a hub id such as 'Qwen/Qwen3-0.6B'"
        )
    return model
