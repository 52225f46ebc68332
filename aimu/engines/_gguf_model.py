"""Runs a GGUF model in llama.cpp, tokens in and tokens out: loading, prefill, decoding, sampling, states.

Imports llama_cpp and jinja2, so only `_llamacpp` imports it, when it loads weights. Runs in the engine's thread; knows
no messages, options or requests. Uses llama.cpp's C interface only: the class `Llama` above it keeps one prompt only,
and silences the C library by closing the stderr of the process.
https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h (that of llama-cpp-python 0.3.36).
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any, final
from weakref import finalize, ref

from attrs import field, frozen, validators

from aimu._core.escaping import escaping
from aimu.engines._gguf_vocabulary import GGUFVocabulary
from aimu.engines._pictures import Prompt
from aimu.engines._rounds import StopFlag
from aimu.errors import InvalidImageError, InvalidOptionError

llama_cpp: Any = import_module("llama_cpp")  # Any, since the ctypes module does not behave as its annotations say

PREFILL_SLICE = 512
"""Number of prompt tokens computed between two checks of the stop flag; a CPU also checks it within a slice."""

_ABORTED = 2
_ERROR = 4
_RANDOM = 0xFFFFFFFF
_RECOMMENDED = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "penalty_repeat",
}
"""Option -> key below "general.sampling" in the file. https://github.com/ggml-org/llama.cpp/pull/17120"""

log = escaping(logging.getLogger("aimu.engines"))
_said = threading.local()

# llama.cpp calls an abort callback with our pointer at each node of a graph, and aborts if the result is not 0. The
# callback is `strlen`, so that it aborts if the C string at the pointer is not empty. A Python function would take the
# GIL about forty times for each token.
_abort_if_not_empty = ctypes.cast(
    (ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)).strlen, llama_cpp.ggml_abort_callback
)


def _to_logging(level: int, text: bytes, _: Any) -> None:
    line = text.decode(errors="replace").strip()
    if level == _ERROR:
        _errors().append(line)
    if line:
        log.debug("llama.cpp: %s", line)


def _errors() -> deque[str]:
    """Return the last errors that llama.cpp logged in this thread."""
    if not hasattr(_said, "errors"):
        _said.errors = deque[str](maxlen=2)
    errors: deque[str] = _said.errors
    return errors


def _reason(what: str) -> str:
    return ": ".join([what, *_errors()])


def offloads() -> bool:
    """Return whether this build of llama.cpp keeps layers on a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def _free(context: Any, model: Any) -> None:
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)


_log_callback = llama_cpp.llama_log_callback(_to_logging)
llama_cpp.llama_log_set(_log_callback, None)


@final
class SequenceStates:
    """The states of one sequence; implements `_prefix_cache.States`.

    The states of the sequence that ran last are in the model's context; those of others are in the bytes `saved`.
    Either may hold more than `length` tokens; the surplus is cut off when the sequence runs again.
    """

    def __init__(self, model: GGUFModel, length: int = 0, saved: Any = None, shortest: int = 0) -> None:
        self._model = model
        self.length = length
        self.saved = saved
        self.shortest = shortest
        self.nbytes = 0

    def __len__(self) -> int:
        return self.length

    def crop(self, length: int) -> None:
        self.length = length

    def copy(self, length: int) -> SequenceStates:
        if self.saved is None:
            self._model.save()
        return SequenceStates(self._model, length, self.saved, self.shortest)


def _number(default: float, *checks: Any) -> Any:
    return field(default=default, converter=float, validator=list(checks))


@final
@frozen(kw_only=True)
class Sampling:
    """How to pick the next token.

    With `temperature` 0 the likeliest token is picked. Otherwise the candidates are narrowed in llama.cpp's own order:
    top_k, typical_p, top_p, min_p, temperature. `repeat_penalty` counts the tokens of prompt and answer;
    `presence_penalty` and `frequency_penalty` count those of the answer. `grammar` is GBNF and governs the whole
    text, thinking included. Raises ValueError if a value is invalid.
    """

    temperature: float = _number(0.8, validators.ge(0))
    top_k: int = field(default=40, converter=int)
    top_p: float = _number(0.95, validators.gt(0), validators.le(1))
    min_p: float = _number(0.05, validators.ge(0), validators.le(1))
    typical_p: float = _number(1.0, validators.gt(0), validators.le(1))
    repeat_penalty: float = _number(1.0, validators.gt(0))
    presence_penalty: float = _number(0.0)
    frequency_penalty: float = _number(0.0)
    seed: int | None = None
    grammar: str | None = None


@final
class GGUFModel:
    """Weights, vocabulary and one context.

    Args:
        path: Path of the GGUF file.
        context: Number of tokens that prompt and answer may have together. None: the model's own, at most 8,192.
        layers_on_gpu: Number of layers that a build with a GPU keeps there; -1 means all.
        threads: Number of threads of one evaluation. None: half of the CPUs.

    Raises:
        ValueError: llama.cpp cannot load the file, or cannot allocate the context.
    """

    def __init__(self, path: str, *, context: int | None, layers_on_gpu: int, threads: int | None) -> None:
        _errors().clear()
        model_settings = llama_cpp.llama_model_default_params()
        model_settings.n_gpu_layers = layers_on_gpu
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), model_settings)
        if not self._model:
            raise ValueError(_reason("llama.cpp cannot load the file"))
        settings = llama_cpp.llama_context_default_params()
        # llama.cpp allocates the whole context at once: the 131,072 tokens of today's models must be asked for.
        settings.n_ctx = context or min(8192, llama_cpp.llama_model_n_ctx_train(self._model))
        settings.n_batch = settings.n_ubatch = PREFILL_SLICE
        settings.swa_full = True  # else a window keeps its last tokens only, and its states cannot be cut
        settings.n_threads = settings.n_threads_batch = threads or max(1, (os.cpu_count() or 1) // 2)
        if not offloads():
            # On a CPU, flash attention slows down the short prompts of a continued conversation, up to tenfold.
            settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise ValueError(_reason(f"cannot allocate a context of {settings.n_ctx} tokens; give a smaller n_ctx"))
        self.close = finalize(self, _free, self._context, self._model)
        self.close.atexit = False  # the worker's thread may still be computing when finalizers run at exit
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._window: int = llama_cpp.llama_model_n_swa(self._model)
        self._crops = self._can_crop()
        self._vocabulary = GGUFVocabulary(self._model)
        self._inside: Callable[[], SequenceStates | None] = lambda: None
        self.context: int | None = context or int(llama_cpp.llama_n_ctx(self._context))
        self.ends: Container[int] = self._vocabulary.ends

    def _can_crop(self) -> bool:
        """Compute two tokens; return whether the states of the second can be dropped: recurrent ones cannot."""
        if not self._memory:
            raise ValueError("llama.cpp keeps no states for this model: it embeds texts or fills gaps in them")
        if llama_cpp.llama_model_has_encoder(self._model):
            raise ValueError("the model has an encoder beside its decoder, and the engine runs decoders only")
        two = (llama_cpp.llama_token * 2)(0, 0)
        code = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(two, 2))
        if code:
            raise ValueError(_reason(f"the first forward pass failed: llama_decode returned {code}"))
        crops = bool(llama_cpp.llama_memory_seq_rm(self._memory, 0, 1, -1))
        llama_cpp.llama_memory_clear(self._memory, True)
        return crops

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

    def look(
        self, prompt: str, urls: Sequence[str], stopped: Callable[[], bool]
    ) -> Generator[Callable[[], object], None, Prompt | None]:
        """Refuse images."""
        raise InvalidImageError("llama-cpp-python has no part for images")
        yield  # makes it a generator

    def sampling(self, values: Mapping[str, Any]) -> Sampling:
        """Return the file's recommended sampling (or llama.cpp's defaults), with `values` in place of some."""
        found = {name: self._metadata(f"general.sampling.{key}") for name, key in _RECOMMENDED.items()}
        own: dict[str, Any] = {name: value for name, value in found.items() if value}
        return Sampling(**own | dict(values))

    def inference(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def new_states(self) -> SequenceStates:
        return SequenceStates(self)

    def save(self) -> None:
        """Save the states in the context as bytes, if they are still in use."""
        states = self._inside()
        self._inside = lambda: None
        if states is not None and len(states):
            size = self._bytes_inside()
            states.saved = (ctypes.c_uint8 * size)()
            if self._window:
                states.nbytes = llama_cpp.llama_state_get_data(self._context, states.saved, size)
            else:
                states.nbytes = llama_cpp.llama_state_seq_get_data(self._context, states.saved, size, 0)

    def _load(self, saved: Any) -> int:
        if self._window:
            return int(llama_cpp.llama_state_set_data(self._context, saved, len(saved)))
        return int(llama_cpp.llama_state_seq_set_data(self._context, saved, len(saved), 0))

    def _bytes_inside(self) -> int:
        """Return the size of the states in the context.

        With windows the whole context is saved: of a single sequence, llama.cpp saves the last window only, and those
        states could not be cut.
        """
        if self._window:
            return int(llama_cpp.llama_state_get_size(self._context))
        return int(llama_cpp.llama_state_seq_get_size(self._context, 0))

    def _shortest_inside(self) -> int:
        """Return the shortest length that the states in the context can be cut to."""
        if not self._crops:
            return int(llama_cpp.llama_memory_seq_pos_max(self._memory, 0)) + 1
        # Cells of tokens that no window reaches any more are reused, and the first tokens are then missing.
        first = int(llama_cpp.llama_memory_seq_pos_min(self._memory, 0)) if self._window else 0
        return first + self._window - 1 if first > 0 else 0

    def tokens(self, ids: list[int], states: SequenceStates, sampler: Sampling, stopped: StopFlag) -> Generator[int]:
        """Generate tokens; see `LanguageModel.tokens`."""
        cell = (ctypes.c_char * len(stopped.cell)).from_buffer(stopped.cell)
        chain = self._chain(sampler, ids)
        try:
            self._enter(states)
            llama_cpp.llama_set_abort_callback(self._context, _abort_if_not_empty, ctypes.addressof(cell))
            while not stopped():
                if not self._compute(ids[len(states) : len(states) + PREFILL_SLICE], states):
                    return
                if len(states) == len(ids):
                    token: int = llama_cpp.llama_sampler_sample(chain, self._context, -1)
                    ids.append(token)
                    yield token
        finally:
            llama_cpp.llama_set_abort_callback(self._context, llama_cpp.ggml_abort_callback(), None)
            llama_cpp.llama_sampler_free(chain)
            states.nbytes, states.shortest = self._bytes_inside(), self._shortest_inside()

    def _enter(self, states: SequenceStates) -> None:
        """Load the first `len(states)` tokens, and no others, into the context."""
        if self._inside() is not states:
            self.save()
            llama_cpp.llama_memory_clear(self._memory, False)
            saved, states.saved = states.saved, None
            if saved is not None and not self._load(saved):
                raise RuntimeError(_reason("llama.cpp cannot load the saved states"))
            self._inside = ref(states)
        self._cut(states)

    def _cut(self, states: SequenceStates) -> None:
        """Drop all but the first `len(states)` tokens from the context, or all of them if it cannot be cut there."""
        if len(states) < self._shortest_inside() or not llama_cpp.llama_memory_seq_rm(self._memory, 0, len(states), -1):
            llama_cpp.llama_memory_clear(self._memory, False)
            states.length = 0

    def _compute(self, step: Sequence[int], states: SequenceStates) -> bool:
        """Run one forward pass; return False if it was stopped midway, and keep what was computed."""
        batch = (llama_cpp.llama_token * len(step))(*step)
        code = llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(batch, len(step)))
        if code == 0:
            states.length += len(step)
        elif code == _ABORTED:
            states.length *= self._crops  # states that cannot be cut are lost: they have been overwritten
            self._cut(states)
        else:
            raise RuntimeError(_reason(f"llama_decode returned {code}"))
        return bool(code == 0)

    def _chain(self, sampling: Sampling, ids: Sequence[int]) -> Any:
        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        add = partial(llama_cpp.llama_sampler_chain_add, chain)
        penalties = partial(
            llama_cpp.llama_sampler_init_penalties,
            llama_cpp.llama_vocab_n_tokens(self._vocabulary.pointer),
            self.context,
        )
        if sampling.grammar is not None:
            grammar = llama_cpp.llama_sampler_init_grammar(self._vocabulary.pointer, sampling.grammar.encode(), b"root")
            if not grammar:
                llama_cpp.llama_sampler_free(chain)
                raise InvalidOptionError(
                    f"invalid grammar {sampling.grammar!r}; it must be GBNF with a rule named root"
                )
            add(grammar)
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
