"""Runs Hugging Face models in this process: translates the options of engine and requests for transformers.

`_torch_model` runs the forward passes; `_local` does everything else between a request and its reply.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from attrs import evolve

from aimu._doors import public
from aimu.engines._hub import Place, fetch_model, weights_of
from aimu.engines._local import LocalEngine
from aimu.engines._memory import check_memory, weights_bytes
from aimu.engines._rounds import StopFlag
from aimu.errors import EngineError
from aimu.models._spec import ModelSpec

if TYPE_CHECKING:
    from aimu.engines._grammars.constraint import Constraint
    from aimu.engines._torch_batch import TorchRows
    from aimu.engines._torch_model import Sampler, TorchModel

_REMEDY = (
    "close other programs, choose a smaller model, load it in 16 bits (dtype='bfloat16'), or quantized or spread over "
    "devices by model_kwargs={'quantization_config': …} or {'device_map': 'auto'}"
)


@public("aimu.engines")
@final
class HuggingFaceEngine(LocalEngine["TorchModel"]):
    """A provider that runs a language model of transformers, also one that sees images.

    `generate_kwargs["extra_body"]` may hold `chat_template_kwargs`, the fields of transformers' GenerationConfig by
    which a token is picked, and one of `json_schema`, `regex` and `grammar` (GBNF), which the answer then follows; a
    field that GenerationConfig does not have raises InvalidOptionError. The engine logs a warning, once, about each
    option that it does not support.

    Args:
        model: A folder with config.json and weights, a hub id, or a ModelSpec with one of them.
        lazy: Whether to load the weights at the first request or `load()`, instead of now, which blocks.
        device: "auto" (CUDA if available, else the CPU), or a device of torch such as "cuda:1".
        dtype: A dtype of torch such as "bfloat16", or "auto" for the dtype of the files.
        threads: Number of torch's threads, at least 1, in the whole process. None leaves it as it is.
        prefix_cache_bytes: Upper bound of the memory for states of past prompts, in bytes; 0 keeps nothing.
        tool_format: The format of tool calls. By default read off the chat template.
        batch: Number of concurrent requests that may share forward passes, at least 1; 1 means that none do.
        model_kwargs: Arguments of `from_pretrained`, such as `device_map` and `quantization_config`. Those about where
            files are found (`revision`, `token`, `cache_dir`, `subfolder`, `local_files_only`, `trust_remote_code`)
            reach the tokenizer, too; those whose name begins with `tokenizer_` reach only the tokenizer.

    Raises:
        NotEnoughMemoryError: The weights are larger than the memory that is free.
        EngineError: The weights cannot be found, fetched or loaded, or requests to this model cannot be batched.
        MissingExtraError: torch, transformers or jinja2 is not installed.
        InvalidOptionError: `batch` is below 1.

    Example:
        engine = HuggingFaceEngine("Qwen/Qwen3-0.6B", batch=8)
        client = aimu.client(engine)
    """

    row: ClassVar[str] = "hf"
    extra: ClassVar[str] = "hf"
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers", "jinja2")
    distributions: ClassVar[tuple[str, ...]] = ("transformers", "torch")

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
        spec = model if isinstance(model, ModelSpec) else ModelSpec(os.fspath(model), "hf")
        self._source = _source(spec.id)
        self._settings: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "threads": threads,
            "kwargs": dict(model_kwargs or {}),
        }
        super().__init__(spec, lazy=lazy, prefix_cache_bytes=prefix_cache_bytes, tool_format=tool_format, batch=batch)

    def _load(self, stopped: StopFlag) -> TorchModel:
        from aimu.engines._torch_load import free_memory
        from aimu.engines._torch_model import TorchModel

        kwargs = self._settings["kwargs"]
        folder = Path(self._source)
        if not folder.is_dir():
            place = Place(self._source, kwargs.get("revision") or "main", kwargs.get("token"), kwargs.get("cache_dir"))
            if "/" in self._source and not (
                kwargs.keys() & {"gguf_file", "variant", "force_download"} or kwargs.get("local_files_only")
            ):
                fetch_model(place, kwargs.get("subfolder", ""), stopped)
            folder = place.snapshot
        files = weights_of(folder / kwargs.get("subfolder", "")) or []
        if not kwargs.keys() & {"device_map", "quantization_config"}:
            bits, free = free_memory(self._settings["device"], self._settings["dtype"])
            check_memory(self.spec.id, weights_bytes(files, bits), free, _REMEDY)
        model = TorchModel(self._source, **self._settings)
        if self.spec.vision is None:
            self.spec: ModelSpec = evolve(self.spec, vision=model.sees)
        return model

    def _rows(self, model: TorchModel) -> TorchRows:
        from aimu.engines._torch_batch import TorchRows

        return TorchRows(model)

    def _sampler(self, model: TorchModel, options: Mapping[str, Any], constraint: Constraint | None) -> Sampler:
        settings = model.settings()
        for field, value in self._extra_body(options, model.settings_fields, vars(settings)).items():
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
            constraint=constraint,
        )


def _source(model: str) -> str:
    """Return the path of a folder, or a hub id; what can only be a path is never looked up on the hub."""
    path = Path(model).expanduser()
    if path.is_dir():
        return os.fspath(path)
    if model.startswith((".", "~", os.sep)) or model.count("/") > 1 or "\\" in model:
        raise EngineError(
            f"there is no folder {os.fspath(path)!r}; give the folder that holds config.json and the weights, "
            "or a hub id such as 'Qwen/Qwen3-0.6B'"
        )
    return model
