"""Lists the models in the cache of the Hugging Face Hub: what they are called here, their size, what they can do.

Asks nobody and loads nothing: what a model can do is what its catalog entry says, else what its configuration and chat
template show, else unknown.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from attrs import frozen

from aimu._core.escaping import escaping
from aimu._doors import public
from aimu.engines._formats.chat_format import UNKNOWN, ChatFormat
from aimu.engines._gguf_header import read_header
from aimu.engines._gguf_names import choose_gguf, gguf_parts, models_in
from aimu.engines._hub import Place, weights_of
from aimu.errors import AimuError
from aimu.models._resolve import resolve_model_string
from aimu.models._spec import ModelSpec

log = escaping(logging.getLogger("aimu.engines"))


@public("aimu.models")
@final
@frozen(kw_only=True)
class LocalModel:
    """A model in the cache of the hub.

    Attributes:
        spec: What it can do, as far as that is known; `str(spec)` is its model string.
        bytes: The size of its weights.
        path: The folder of an `hf` model, the file of a `llamacpp` model.
    """

    spec: ModelSpec
    bytes: int
    path: Path

    def __str__(self) -> str:
        return str(self.spec)


@public("aimu.models")
def local(cache_dir: str | Path | None = None) -> list[LocalModel]:
    """Return the models that can be run without a download, by name.

    Those of the engine `hf` have all their weights in the cache of the hub, those of `llamacpp` are its GGUF files. A
    download that is not complete is not listed.

    Args:
        cache_dir: The cache; by default that of huggingface_hub, which `HF_HOME` moves.

    Returns:
        The models; an empty list if huggingface_hub is not installed, or there is no cache.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        return []
    root = Place("a/b", cache=None if cache_dir is None else str(cache_dir)).folder.parent
    found = [model for folder in root.glob("models--*--*") for model in _readable(folder)]
    return sorted(found, key=lambda model: str(model).lower())


def _readable(folder: Path) -> list[LocalModel]:
    try:
        return list(_models(folder))
    except OSError as exc:  # may not be read, or is being deleted
        log.debug("%s is left out of the models in the cache: %s", folder, exc)
        return []


def _models(folder: Path) -> Iterator[LocalModel]:
    repository = folder.name.removeprefix("models--").replace("--", "/", 1)
    place = Place(repository, cache=str(folder.parent))
    if "--" in repository or not place.snapshot.is_dir():  # no name on the hub has two hyphens
        return
    snapshot = place.snapshot
    try:
        weights = weights_of(snapshot)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # an index that is not one
        weights = None
    if weights and (snapshot / "config.json").is_file():
        yield LocalModel(spec=_hf_spec(repository, snapshot), bytes=_size(weights), path=snapshot)
    paths = list(place.cached())
    for name in models_in(paths):
        try:
            first = snapshot / choose_gguf(repository, paths, name)[0]
        except AimuError:  # a part is missing
            continue
        if not _is_gguf(first):
            continue
        yield LocalModel(spec=_gguf_spec(repository, name, first), bytes=_size(gguf_parts(first)), path=first)


def _is_gguf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"GGUF"


def _size(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _hf_spec(repository: str, snapshot: Path) -> ModelSpec:
    known = resolve_model_string(f"hf:{repository}")
    if known.source is not None:  # of the catalog
        return known
    config, tokenizer = _json(snapshot / "config.json"), _json(snapshot / "tokenizer_config.json")
    written = snapshot / "chat_template.jinja"
    template = written.read_text("utf8", errors="replace") if written.is_file() else tokenizer.get("chat_template")
    tools, thinking = _abilities(template)
    architectures = config.get("architectures")
    text = isinstance(architectures, list) and all(str(name).endswith("ForCausalLM") for name in architectures)
    vision = True if "vision_config" in config else False if text else None
    return ModelSpec(repository, "hf", tools=tools, thinking=thinking, vision=vision)


def _gguf_spec(repository: str, name: str, file: Path) -> ModelSpec:
    known = resolve_model_string(f"llamacpp:{repository}")
    tools, thinking = known.tools, known.thinking
    if known.source is None:
        try:
            tools, thinking = _abilities(read_header(file).get("tokenizer.chat_template"))
        except (OSError, ValueError):
            tools = thinking = None
    return ModelSpec(f"{repository}:{name}", "llamacpp", tools=tools, thinking=thinking, vision=False)


def _abilities(template: Any) -> tuple[bool | None, bool | None]:
    """Return whether a chat template shows tools and their calls, and switches thinking; None if it does not tell."""
    if not isinstance(template, str):
        return None, None
    try:
        form = ChatFormat.of(template)
    except AimuError:  # jinja2 is not installed, or the template cannot be read
        return None, None
    tools = form.name != UNKNOWN and "tools" not in form.plan.lost
    return tools, True if form.plan.switch is not None else None


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text("utf8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
