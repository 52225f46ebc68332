"""A GGUF file large enough that its computing time matters, and the forward passes of llama.cpp alone on it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from tests.engines.gguf_kinds import CHATML, byte_level, write

WIDTH, HEADS, GROUPS, HEAD, FEED, LAYERS = 768, 12, 4, 64, 2048, 16
SHAPES = {
    "attn_q": (HEADS * HEAD, WIDTH),
    "attn_k": (GROUPS * HEAD, WIDTH),
    "attn_v": (GROUPS * HEAD, WIDTH),
    "attn_output": (WIDTH, HEADS * HEAD),
    "ffn_gate": (FEED, WIDTH),
    "ffn_up": (FEED, WIDTH),
    "ffn_down": (WIDTH, FEED),
}
NORMS = {"attn_norm": WIDTH, "ffn_norm": WIDTH, "attn_q_norm": HEAD, "attn_k_norm": HEAD}
KEYS = {
    "context_length": 8192,
    "embedding_length": WIDTH,
    "block_count": LAYERS,
    "feed_forward_length": FEED,
    "attention.head_count": HEADS,
    "attention.head_count_kv": GROUPS,
    "attention.key_length": HEAD,
    "attention.value_length": HEAD,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "rope.dimension_count": HEAD,
    "rope.freq_base": 10000.0,
}


@contextmanager
def random_gguf() -> Iterator[Path]:
    """The file of a random Qwen3 of 101M parameters in Q8_0, with the vocabulary of the tiny model."""
    with tempfile.TemporaryDirectory() as folder:
        whole, path = Path(folder, "whole.gguf"), Path(folder, "random.gguf")
        _write(whole)
        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype, settings.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, 1
        code = llama_cpp.llama_model_quantize(os.fsencode(whole), os.fsencode(path), ctypes.byref(settings))
        if code:
            raise RuntimeError(f"llama_model_quantize returned {code}")
        whole.unlink()
        yield path


def _write(path: Path) -> None:
    chance = np.random.default_rng(0)
    vocabulary = byte_level(CHATML.replace("{{ START }}", ""))
    rows = len(vocabulary["tokenizer.ggml.tokens"])
    tensors = {"token_embd.weight": chance.standard_normal((rows, WIDTH)), "output_norm.weight": np.ones(WIDTH)}
    for layer in range(LAYERS):
        for name, shape in SHAPES.items():
            tensors[f"blk.{layer}.{name}.weight"] = chance.standard_normal(shape) / shape[1] ** 0.5
        for name, width in NORMS.items():
            tensors[f"blk.{layer}.{name}.weight"] = np.ones(width)
    keys = {f"qwen3.{key}": value for key, value in KEYS.items()}
    write(path, {"general.architecture": "qwen3", **keys, **vocabulary}, tensors)


class Passes:
    """`llama_decode` without aimu, on up to `most` sequences of which each knows `known` tokens."""

    def __init__(self, path: Path, most: int, known: int) -> None:
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_seq_max, settings.n_ctx, settings.n_ubatch = most, 512 * most, 512
        settings.n_threads = settings.n_threads_batch = 1
        settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED  # as in the engine
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        self._known = known

    def begin(self, count: int) -> None:
        """Compute the known tokens of so many sequences, and forget all others."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)
        for sequence in range(count):
            self.decode([sequence] * self._known)

    def decode(self, sequences: list[int]) -> None:
        """Append a token to a sequence for each time that it is named."""
        size, pointer = len(sequences), ctypes.POINTER(llama_cpp.llama_seq_id)
        numbers = [(llama_cpp.llama_seq_id * 1)(sequence) for sequence in sequences]
        arrays: dict[str, Any] = {
            "token": (llama_cpp.llama_token * size)(*[7 + place for place in range(size)]),
            "n_seq_id": (ctypes.c_int32 * size)(*[1] * size),
            "seq_id": (pointer * size)(*[ctypes.cast(number, pointer) for number in numbers]),
            "logits": (ctypes.c_int8 * size)(*[1] * size),
        }
        if code := llama_cpp.llama_decode(self._context, llama_cpp.llama_batch(n_tokens=size, **arrays)):
            raise RuntimeError(f"llama_decode returned {code}")

    def close(self) -> None:
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)
