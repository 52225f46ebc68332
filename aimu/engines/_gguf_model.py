"""Runs a GGUF model in llama.cpp, tokens in and tokens out: loading, prefill, decoding, sampling.

Imports llama_cpp, so only `_llamacpp`, when it loads weights, and `_gguf_batch` import it. Runs in the engine's thread;
knows no messages, options or requests. Uses llama.cpp's C interface only: the class `Llama` above it keeps one prompt
only, and silences the C library by closing the stderr of the process.
https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h (that of llama-cpp-python 0.3.36).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any, final
from weakref import finalize

from attrs import field, frozen, validators

from aimu.engines._gguf_context import GGUFContext, SequenceStates, errors, reason
from aimu.engines._gguf_vocabulary import GGUFVocabulary
from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._memory import DEFAULT_CONTEXT
from aimu.engines._pictures import Prompt
from aimu.engines._rounds import Steps, StopFlag
from aimu.errors import InvalidImageError, InvalidOptionError

if TYPE_CHECKING:
    from aimu.engines._grammars.constraint import Constraint

llama_cpp: Any = import_module("llama_cpp")  # Any, since the ctypes module does not behave as its annotations say

PREFILL_SLICE = 512
"""Number of prompt tokens computed between two checks of the stop flag; a CPU also checks it within a slice."""

_RANDOM = 0xFFFFFFFF
_RECOMMENDED = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "penalty_repeat",
}
"""Option -> key below "general.sampling" in the file. https://github.com/ggml-org/llama.cpp/pull/17120"""


def offloads() -> bool:
    """Return whether this build of llama.cpp keeps layers on a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def _free(context: Any, model: Any) -> None:
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)


def _finite(_: Any, attribute: Any, value: float) -> None:
    if not isfinite(value):
        raise ValueError(f"{attribute.name} must be a finite number, got {value}")


def _number(default: float, *checks: Any) -> Any:
    return field(default=default, converter=float, validator=list(checks))


@final
@frozen(kw_only=True)
class Sampling:
    """How to pick the next token.

    With `temperature` 0 the likeliest token is picked. Otherwise the candidates are narrowed in llama.cpp's own order:
    top_k, typical_p, top_p, min_p, temperature. `repeat_penalty` counts the tokens of prompt and answer;
    `presence_penalty` and `frequency_penalty` count those of the answer. Only tokens that `constraint` allows are
    picked. Raises ValueError if a value is invalid.
    """

    temperature: float = _number(0.8, validators.ge(0))
    top_k: int = field(default=40, converter=int)
    top_p: float = _number(0.95, validators.gt(0), validators.le(1))
    min_p: float = _number(0.05, validators.ge(0), validators.le(1))
    typical_p: float = _number(1.0, validators.gt(0), validators.le(1))
    repeat_penalty: float = _number(1.0, validators.gt(0))
    presence_penalty: float = _number(0.0, _finite)
    frequency_penalty: float = _number(0.0, _finite)
    seed: int | None = None
    constraint: Constraint | None = None


@final
class GGUFModel:
    """Weights, vocabulary and one context.

    Args:
        path: Path of the GGUF file.
        context: Number of tokens that prompt and answer may have together. None: the model's own, at most 8,192.
        layers_on_gpu: Number of layers that a build with a GPU keeps there; -1 means all.
        threads: Number of threads of one evaluation. None: half of the CPUs.
        rows: Number of sequences that can share a forward pass; each has a context of its own.

    Raises:
        ValueError: llama.cpp cannot load the file, or cannot allocate the context.
        InvalidOptionError: There are more rows than llama.cpp allows.
    """

    def __init__(
        self, path: str, *, context: int | None, layers_on_gpu: int, threads: int | None, rows: int = 1
    ) -> None:
        if rows > (most := int(llama_cpp.llama_max_parallel_sequences())):
            raise InvalidOptionError(f"llama.cpp computes at most {most} sequences at once, got batch={rows}")
        errors().clear()
        model_settings = llama_cpp.llama_model_default_params()
        model_settings.n_gpu_layers = layers_on_gpu
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), model_settings)
        if not self._model:
            raise ValueError(reason("llama.cpp cannot load the file"))
        settings = llama_cpp.llama_context_default_params()
        # The 131,072 tokens of today's models must be asked for.
        length: int = context or min(DEFAULT_CONTEXT, llama_cpp.llama_model_n_ctx_train(self._model))
        settings.n_ctx, settings.n_seq_max = length * rows, rows
        settings.n_batch = settings.n_ubatch = PREFILL_SLICE
        settings.swa_full = True  # else a window keeps its last tokens only, and its states cannot be cut
        settings.n_threads = settings.n_threads_batch = threads or max(1, (os.cpu_count() or 1) // 2)
        if not offloads():
            # On a CPU, flash attention slows down the short prompts of a continued conversation, up to tenfold, and
            # doubles the time of each token behind thousands of others.
            settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        pointer = llama_cpp.llama_init_from_model(self._model, settings)
        if not pointer:
            llama_cpp.llama_model_free(self._model)
            many, remedy = (f" for each of {rows} requests", " or batch") if rows > 1 else ("", "")
            raise ValueError(
                reason(f"cannot allocate a context of {length} tokens{many}; give a smaller n_ctx{remedy}")
            )
        self.close = finalize(self, _free, pointer, self._model)
        self.close.atexit = False  # the worker's thread may still be computing when finalizers run at exit
        self.slots = GGUFContext(pointer, self._model)
        self._vocabulary = GGUFVocabulary(self._model)
        self.context: int | None = context or int(llama_cpp.llama_n_ctx_seq(pointer))
        self.ends: Container[int] = self._vocabulary.ends

    @property
    def templates(self) -> Mapping[str, str]:
        """As `LanguageModel.templates`."""
        return self._vocabulary.templates

    @property
    def variables(self) -> Mapping[str, str]:
        """As `LanguageModel.variables`."""
        return self._vocabulary.variables

    def encode(self, text: str) -> list[int]:
        return self._vocabulary.encode(text)

    def encode_rest(self, text: str, after: int) -> list[int] | None:
        return self._vocabulary.encode_rest(text, after)

    def decode(self, ids: Sequence[int]) -> str:
        return self._vocabulary.decode(ids)

    def detokenizer(self, shown: Callable[[str], bool]) -> Callable[[int], str]:
        return self._vocabulary.detokenizer(shown)

    def look(self, prompt: str, urls: Sequence[str], stopped: StopFlag) -> Steps[Prompt]:
        """Refuse images."""
        raise InvalidImageError("llama-cpp-python has no part for images")
        yield  # makes it a generator

    def vocabulary(self, shown: Callable[[str], bool]) -> Vocabulary:
        return self._vocabulary.vocabulary(shown)

    def sampling(self, values: Mapping[str, Any]) -> Sampling:
        """Return the file's recommended sampling (or llama.cpp's defaults), with `values` in place of some."""
        found = {name: self._metadata(f"general.sampling.{key}") for name, key in _RECOMMENDED.items()}
        own: dict[str, Any] = {name: value for name, value in found.items() if value}
        return Sampling(**own | dict(values))

    def inference(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def new_states(self) -> SequenceStates:
        return SequenceStates(self.slots)

    def tokens(self, ids: list[int], states: SequenceStates, sampler: Sampling, stopped: StopFlag) -> Generator[int]:
        """Generate tokens; see `LanguageModel.tokens`."""
        with self.picking(sampler, ids) as pick, self.slots.until(stopped):
            try:
                slot = self.slots.enter(states)
                while not stopped():
                    if not self.slots.extend(ids[len(states) : len(states) + PREFILL_SLICE], states, slot):
                        return
                    if len(states) == len(ids):
                        token = pick(-1)
                        ids.append(token)
                        yield token
            finally:
                self.slots.measure(states)

    @contextmanager
    def picking(self, sampling: Sampling, ids: Sequence[int]) -> Generator[Callable[[int], int]]:
        """Return a context with the function that picks the next token of a sequence by the number of its logits."""
        chain = self._chain(sampling, ids)
        try:
            if sampling.constraint is None:
                yield partial(llama_cpp.llama_sampler_sample, chain, self.slots.pointer)
            else:
                yield partial(self._pick, chain, sampling.constraint)
        finally:
            llama_cpp.llama_sampler_free(chain)

    def _pick(self, chain: Any, constraint: Constraint, row: int) -> int:
        """Return the token that follows the logits of a number, which are changed."""
        found = llama_cpp.llama_get_logits_ith(self.slots.pointer, row)
        count = llama_cpp.llama_vocab_n_tokens(self._vocabulary.pointer)
        logits = constraint.view(ctypes.addressof(found.contents), count)
        constraint.mask(logits)
        token = int(llama_cpp.llama_sampler_sample(chain, self.slots.pointer, row))
        # A sampler that rounds a probability of 0 up has to be overruled.
        return token if constraint.allows(token) else int(logits.argmax())

    def _chain(self, sampling: Sampling, ids: Sequence[int]) -> Any:
        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        add = partial(llama_cpp.llama_sampler_chain_add, chain)
        penalties = partial(
            llama_cpp.llama_sampler_init_penalties,
            llama_cpp.llama_vocab_n_tokens(self._vocabulary.pointer),
            self.context,
        )
        if sampling.repeat_penalty != 1:
            repeat = penalties(sampling.repeat_penalty, 0.0, 0.0)
            for token in ids:
                llama_cpp.llama_sampler_accept(repeat, token)
            add(repeat)
        if sampling.presence_penalty or sampling.frequency_penalty:
            add(penalties(1.0, sampling.frequency_penalty, sampling.presence_penalty))
        if sampling.temperature == 0:
            add(llama_cpp.llama_sampler_init_greedy())
            return chain
        add(llama_cpp.llama_sampler_init_top_k(sampling.top_k))
        add(llama_cpp.llama_sampler_init_typical(sampling.typical_p, 1))
        add(llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
        add(llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1))
        add(llama_cpp.llama_sampler_init_temp(sampling.temperature))
        add(llama_cpp.llama_sampler_init_dist(_RANDOM if sampling.seed is None else sampling.seed & _RANDOM))
        return chain

    def _metadata(self, key: str) -> str:
        value = ctypes.create_string_buffer(64)
        llama_cpp.llama_model_meta_val_str(self._model, key.encode(), value, len(value))
        return value.value.decode(errors="replace")
