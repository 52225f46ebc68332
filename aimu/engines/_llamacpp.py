"""GGUF models in this process: which file is meant, and what the options of engine and requests mean to llama.cpp.

The forward passes are `gguf_model`'s, everything between a request and its reply is `local`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from attrs import fields_dict

from aimu.engines._local import LocalEngine
from aimu.errors import EngineError, InvalidOptionError
from aimu.models._spec import ModelSpec

if TYPE_CHECKING:
    from aimu.engines._gguf_model import GGUFModel, Sampling


@final
class LlamaCppEngine(LocalEngine["GGUFModel"]):
    """A `Provider` that runs a GGUF file with llama.cpp.

    `model` is the file's path or a ModelSpec with it; a ModelSpec of the catalog names a repository, and `model_path`
    then is the file that was downloaded from it. The weights are loaded here and now, which blocks, or at the first
    request or `load()` with `lazy=True`. `n_ctx` is the context in tokens, whose memory is taken at once (None: the
    model's own, 8,192 at most); `n_gpu_layers` how many layers a build with a GPU keeps there (-1: all); `threads`
    those of one evaluation (None: half the CPUs); `prefix_cache_bytes` bounds what is kept of past prompts (0:
    nothing); `tool_format` overrides what the chat template tells.

    Raises EngineError where there is no such file or llama.cpp cannot read it, MissingExtraError without
    llama-cpp-python. An option that cannot be honoured is named once in the log. `extra_body` may hold `min_p`,
    `typical_p`, `grammar` (GBNF) and `chat_template_kwargs`. What llama.cpp says goes to the logger "aimu.engines" at
    DEBUG, for the whole process.
    """

    extra = "llamacpp"
    packages = ("llama_cpp", "jinja2")
    distributions = ("llama-cpp-python",)

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
    ) -> None:
        spec = model if isinstance(model, ModelSpec) else ModelSpec(os.fspath(model), "llamacpp", vision=False)
        for name, value in (("n_ctx", n_ctx), ("threads", threads)):
            if value is not None and value < 1:
                raise InvalidOptionError(f"{name}={value!r}; at least one, or None")
        self._path = _gguf(spec.id if model_path is None else os.fspath(model_path))
        self._settings: dict[str, Any] = {"context": n_ctx, "layers_on_gpu": n_gpu_layers, "threads": threads}
        super().__init__(spec, lazy=lazy, prefix_cache_bytes=prefix_cache_bytes, tool_format=tool_format)

    def _load(self) -> GGUFModel:
        from aimu.engines._gguf_model import GGUFModel

        return GGUFModel(self._path, **self._settings)

    def _free(self) -> None:
        if self._model is not None:
            self._model.close()
        super()._free()

    def _sampler(self, model: GGUFModel, options: Mapping[str, Any]) -> Sampling:
        from aimu.engines._gguf_model import Sampling

        names = fields_dict(Sampling)
        extra = options.get("extra_body", {})
        self._warn_of(
            {
                f"extra_body[{name!r}]": extra[name]
                for name in extra
                if name not in names and name != "chat_template_kwargs"
            }
        )
        return model.sampling({name: value for name, value in {**options, **extra}.items() if name in names})


def _gguf(name: str) -> str:
    """The path of the file, if it is one."""
    path = Path(name).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise EngineError(
            f"{os.fspath(path)!r} {what}; give the path of a GGUF file, as a model string 'llamacpp:<path>' or as "
            "model_path=. `hf download <repository> <file>.gguf` fetches one from the Hugging Face Hub"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise EngineError(
                f"{os.fspath(path)!r} is no GGUF file, and llama.cpp reads nothing else; fetch the model as GGUF, "
                "or convert its folder with llama.cpp's convert_hf_to_gguf.py"
            )
    return os.fspath(path)
