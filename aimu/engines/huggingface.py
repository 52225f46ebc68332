"""Hugging Face models in this process: requests in, replies or deltas out.

Owns what the options mean to transformers, and how prompts, the prefix cache and the model are put together in the
worker's thread. The forward passes are `torch_model`'s. Images are refused: text models only.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from aimu.core.reply import Delta, Reply, StopReason, Usage
from aimu.engines.call_text import CallFormat, call_format
from aimu.engines.chat_format import ReplyParser, template_messages
from aimu.engines.prefix_cache import PrefixCache
from aimu.engines.worker import Emit, Stopped, Worker
from aimu.errors import (
    AimuError,
    BadRequestError,
    ContextLengthError,
    EngineError,
    InvalidOptionError,
    MissingExtraError,
)
from aimu.models.spec import ModelSpec
from aimu.providers.base import ReplyStream, Request

if TYPE_CHECKING:
    from aimu.engines.torch_model import KVStates, Sampler, TorchModel

_HONOURED = frozenset(
    (
        *("max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty"),
        *("repeat_penalty", "thinking", "extra_body"),
    )
)
_HARMLESS = {"tool_choice": ("auto", "none"), "parallel_tool_calls": (True,)}

_log = logging.getLogger("aimu.engines")


@final
class HuggingFaceEngine:
    """A `Provider` that runs a causal language model of transformers.

    `model` is a folder, a hub id or a ModelSpec with one of them. The weights are loaded here and now, which blocks,
    or at the first request or `load()` with `lazy=True`. `device` is "auto" (CUDA where there is one), or what torch
    calls a device; `dtype` "auto" is that of the files; `threads` is torch's number of threads (process-wide);
    `prefix_cache_bytes` bounds what is kept of past prompts (0: nothing); `tool_format` overrides what the chat
    template tells; `model_kwargs` go to `AutoModelForCausalLM.from_pretrained` (`device_map`, `quantization_config`).

    Raises EngineError where there are no such weights, MissingExtraError without torch and transformers. An option
    that cannot be honoured is named once in the log. `extra_body` may hold fields of transformers' GenerationConfig,
    and `chat_template_kwargs`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelSpec,
        *,
        lazy: bool = False,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        prefix_cache_bytes: int = 256 << 20,
        tool_format: CallFormat | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec = model if isinstance(model, ModelSpec) else ModelSpec(os.fspath(model), "hf", vision=False)
        self._source = _source(self.spec.id)
        for package in ("torch", "transformers", "jinja2"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(package, "hf")
        self._settings: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "threads": threads,
            "kwargs": dict(model_kwargs or {}),
        }
        self._format = None if tool_format is None else CallFormat(tool_format)
        self._model: TorchModel | None = None
        self._warned: set[str] = set()
        self.prefix_cache: PrefixCache[KVStates] = PrefixCache(prefix_cache_bytes)
        self.worker = Worker(f"aimu {self.spec}")
        if not lazy:
            try:
                self.load()
            except BaseException:
                self.worker.close()
                raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.id!r}, loaded={self.loaded})"

    @property
    def loaded(self) -> bool:
        return self._model is not None

    def load(self) -> None:
        """Load the weights now, if they are not; blocks."""
        self.worker.run_sync(self._loaded)

    async def complete(self, request: Request) -> Reply:
        return await self.worker.run(partial(self._generate, request))

    def stream(self, request: Request) -> ReplyStream:
        return self.worker.stream(partial(self._generate, request))

    def close(self) -> None:
        """Stop what runs, free the weights, end the thread. Idempotent."""
        self.worker.close(self._free)

    async def aclose(self) -> None:
        await self.worker.aclose(self._free)

    # From here on in the worker's thread.

    def _loaded(self) -> TorchModel:
        if self._model is None:
            from aimu.engines.torch_model import TorchModel

            try:
                self._model = TorchModel(self._source, **self._settings)
            except Exception as exc:
                raise EngineError(f"the weights of {self.spec.id!r} cannot be loaded: {exc}") from exc
            if self._format is None:
                self._format = call_format(self._model.template)
        return self._model

    def _free(self) -> None:
        self._model = None
        self.prefix_cache.clear()

    def _generate(self, request: Request, emit: Emit[Delta], stopped: Stopped) -> Reply:
        model = self._loaded()
        try:
            with model.inference():
                return self._reply(model, request, emit, stopped)
        except AimuError:
            raise
        except Exception as exc:
            raise EngineError(f"{self.spec}: {type(exc).__name__}: {exc}") from exc

    def _reply(self, model: TorchModel, request: Request, emit: Emit[Delta], stopped: Stopped) -> Reply:
        options = request.options
        sampler = self._sampler(model, options)
        prompt = self._render(model, request)
        entry = self.prefix_cache.take(prompt, model.encode, splits=model.splits, new=model.new_states)
        length, reused = len(entry.ids), len(entry.states)
        limit = self._limit(model, length, options)
        parser = ReplyParser(
            form=self._format or CallFormat.HERMES, tools=request.tools, stop=_stop(options), prompt=prompt[-64:]
        )
        text_of = model.detokenizer()
        reason = StopReason.MAX_TOKENS
        for token in model.tokens(entry.ids, entry.states, sampler, stopped):
            if token in model.ends:
                reason = StopReason.END
                break
            for delta in parser.feed(text_of(token)):
                emit(delta)
            if parser.stopped:
                reason = StopReason.STOP_SEQUENCE
                break
            if len(entry.ids) - length >= limit:
                break
        for delta in parser.finish():
            emit(delta)
        entry.text += model.decode(entry.ids[length:])
        entry.marks.append((len(entry.text), len(entry.ids)))
        self.prefix_cache.put(entry)
        usage = Usage(input=length, output=len(entry.ids) - length, cache_read=reused)
        return parser.reply(reason, usage, self.spec.id)

    def _render(self, model: TorchModel, request: Request) -> str:
        messages = template_messages(request.messages)
        variables = dict(request.options.get("extra_body", {}).get("chat_template_kwargs", {}))
        if "thinking" in request.options:
            variables.setdefault("enable_thinking", bool(request.options["thinking"]))
        if not model.template:
            raise BadRequestError(f"{self.spec.id!r} has no chat template: it is a base model, not one to talk with")
        try:
            return model.render(messages, request.tools, variables)
        except Exception as exc:
            raise BadRequestError(f"the chat template of {self.spec.id!r} refuses this conversation: {exc}") from exc

    def _limit(self, model: TorchModel, length: int, options: Mapping[str, Any]) -> int:
        """How many tokens may be written."""
        wanted: int | None = options.get("max_tokens")
        if wanted is not None and wanted < 1:
            raise InvalidOptionError(f"max_tokens={wanted!r}; at least one token is written")
        if model.context is None:
            return 1 << 62 if wanted is None else wanted
        left = model.context - length
        if left < 1:
            raise ContextLengthError(
                f"the prompt has {length} tokens, {1 - left} more than {self.spec.id!r} can take, "
                f"whose context of {model.context} must also hold the answer"
            )
        return left if wanted is None else min(wanted, left)

    def _sampler(self, model: TorchModel, options: Mapping[str, Any]) -> Sampler:
        for name, value in options.items():
            if name not in _HONOURED and value not in _HARMLESS.get(name, ()) and name not in self._warned:
                self._warned.add(name)
                _log.warning("%s: %s=%r cannot be honoured by this engine", self.spec, name, value)
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
        try:
            return model.sampler(
                settings,
                seed=options.get("seed"),
                presence=options.get("presence_penalty", 0.0),
                frequency=options.get("frequency_penalty", 0.0),
            )
        except ValueError as exc:
            raise InvalidOptionError(str(exc)) from exc


def _stop(options: Mapping[str, Any]) -> list[str]:
    stop = options.get("stop", [])
    return [stop] if isinstance(stop, str) else list(stop)


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
