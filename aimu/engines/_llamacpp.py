"""Runs GGUF models in this process: finds the file, and translates the options of engine and requests for llama.cpp.

`_gguf_model` runs the forward passes; `_local` does everything else between a request and its reply.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from attrs import fields_dict

from aimu._doors import public
from aimu.engines._gguf_header import read_header
from aimu.engines._gguf_names import gguf_name, gguf_parts
from aimu.engines._hub import fetch_gguf
from aimu.engines._local import LocalEngine
from aimu.engines._memory import available_memory, check_memory, context_bytes
from aimu.engines._rounds import StopFlag
from aimu.errors import EngineError, InvalidOptionError
from aimu.models._spec import ModelSpec

if TYPE_CHECKING:
    from aimu.engines._gguf_batch import GGUFRows
    from aimu.engines._gguf_model import GGUFModel, Sampling
    from aimu.engines._grammars.constraint import Constraint

_REMEDY = "close other programs, or choose a smaller quant, such as Q4_K_M, or a smaller model"
_REMEDY_OF_CONTEXT = "give a smaller n_ctx or batch, close other programs, or choose a smaller quant or model"


@public("aimu.engines")
@final
class LlamaCppEngine(LocalEngine["GGUFModel"]):
    """A provider that runs a GGUF file with llama.cpp.

    `generate_kwargs["extra_body"]` may hold `min_p`, `typical_p`, `chat_template_kwargs`, and one of `json_schema`,
    `regex` and `grammar` (GBNF), which the answer then follows; another field raises InvalidOptionError. The engine
    logs a warning, once, about each option that it does not support. llama.cpp's own log of the whole process goes to
    the logger "aimu.engines" at DEBUG.

    Args:
        model: Path of the file, or a file on the Hugging Face Hub: `"<org>/<repo>:<quant or file>"`, or
            `"<org>/<repo>"` if it has one GGUF model only. It is taken from the hub's cache, or downloaded when the
            weights are loaded. Or a ModelSpec with either.
        model_path: Path or name of the file to run in place of the ModelSpec's id.
        lazy: Whether to load the weights at the first request or `load()`, instead of now, which blocks.
        n_ctx: Number of tokens that prompt and answer may have together, at least 1; its memory is allocated at once.
            None: the model's own, at most 8,192.
        n_gpu_layers: Number of layers that a build with a GPU keeps there; -1 means all.
        threads: Number of threads of one evaluation, at least 1. None: half of the CPUs.
        prefix_cache_bytes: Upper bound of the memory for states of past prompts, in bytes; 0 keeps nothing.
        tool_format: The format of tool calls. By default read off the chat template.
        batch: Number of concurrent requests that may share forward passes, 1 to 256; 1 means that none do. Each has
            memory for `n_ctx` tokens.

    Raises:
        EngineError: The file does not exist or cannot be fetched, or llama.cpp cannot load it.
        NotEnoughMemoryError: File and context together are larger than the memory that is free.
        MissingExtraError: llama-cpp-python or jinja2 is not installed.
        InvalidOptionError: `n_ctx`, `threads` or `batch` is out of its range.

    Example:
        engine = LlamaCppEngine("models/qwen3-0.6b-q8_0.gguf", n_ctx=16_384)
        client = aimu.client(engine)
    """

    row: ClassVar[str] = "llamacpp"
    extra: ClassVar[str] = "llamacpp"
    packages: ClassVar[tuple[str, ...]] = ("llama_cpp", "jinja2")
    distributions: ClassVar[tuple[str, ...]] = ("llama-cpp-python",)

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelSpec,
        *,
        model_path: str | os.PathLike[str] | None = None,
        lazy: bool = False,
        n_ctx: int | None = None,
        n_gpu_layers: int = -1,
        threads: int | None = None,
        prefix_cache_bytes: int = 256 << 20,
        tool_format: str | None = None,
        batch: int = 1,
    ) -> None:
        spec = model if isinstance(model, ModelSpec) else ModelSpec(os.fspath(model), "llamacpp", vision=False)
        for name, value in (("n_ctx", n_ctx), ("threads", threads)):
            if value is not None and value < 1:
                raise InvalidOptionError(
                    f"{name} must be at least 1 or None, got {name}={value!r}; use None for the default"
                )
        name = spec.id if model_path is None else os.fspath(model_path)
        self._name = None if Path(name).exists() else gguf_name(name)
        self._path = name if self._name else _gguf(name)
        self._settings: dict[str, Any] = {
            "context": n_ctx,
            "layers_on_gpu": n_gpu_layers,
            "threads": threads,
            "rows": batch,
        }
        super().__init__(spec, lazy=lazy, prefix_cache_bytes=prefix_cache_bytes, tool_format=tool_format, batch=batch)

    def _load(self, stopped: StopFlag) -> GGUFModel:
        from aimu.engines._gguf_model import GGUFModel, offloads

        def check(weights: int, context: int = 0) -> None:
            if not offloads():
                remedy = _REMEDY_OF_CONTEXT if context else _REMEDY
                check_memory(self.spec.id, weights, available_memory(), remedy, context=context)

        if self._name:
            self._path = _gguf(os.fspath(fetch_gguf(self._name, stopped, check)))
        parts = gguf_parts(Path(self._path))
        check(sum(part.stat().st_size for part in parts), self._context_bytes(parts[0]))
        return GGUFModel(self._path, **self._settings)

    def _context_bytes(self, file: Path) -> int:
        try:
            header = read_header(file)
        except ValueError:  # llama.cpp says what is wrong with the file
            return 0
        return context_bytes(header, self._settings["context"], rows=self._settings["rows"])

    def _rows(self, model: GGUFModel) -> GGUFRows:
        from aimu.engines._gguf_batch import GGUFRows

        return GGUFRows(model)

    def _free(self) -> None:
        model = self._model
        super()._free()  # ends what still reads the vocabulary
        if model is not None:
            model.close()

    def _sampler(self, model: GGUFModel, options: Mapping[str, Any], constraint: Constraint | None) -> Sampling:
        from aimu.engines._gguf_model import Sampling

        names = fields_dict(Sampling).keys() - {"constraint"}
        given = {**options, **self._extra_body(options, sorted(names))}
        return model.sampling(
            {name: value for name, value in given.items() if name in names} | {"constraint": constraint}
        )


def _gguf(name: str) -> str:
    """Return the path of a GGUF file; raise EngineError if it is not one."""
    path = Path(name).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise EngineError(
            f"{os.fspath(path)!r} {what}; give the path of a GGUF file, as a model string 'llamacpp:<path>' or as "
            "model_path=, or a file on the Hugging Face Hub, as 'llamacpp:<org>/<repo>:<quant or file>'"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise EngineError(
                f"{os.fspath(path)!r} is not a GGUF file, and llama.cpp reads nothing else; fetch the model as GGUF, "
                "or convert its folder with llama.cpp's convert_hf_to_gguf.py"
            )
    return os.fspath(path)
