"""How much memory weights need, and how much there is."""

import logging
import re
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from aimu.engines import LlamaCppEngine, _memory
from aimu.engines._gguf_header import read_header
from aimu.engines._memory import available_memory, check_memory, context_bytes, weights_bytes
from aimu.engines._torch_load import free_memory
from aimu.errors import NotEnoughMemoryError
from aimu.testing import tiny_gguf
from tests.engines.gguf_kinds import CHATML, KINDS, byte_level, random_gguf

pytestmark = pytest.mark.engines


def test_weights_are_counted_in_the_dtype_that_they_will_have(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1000, dtype=torch.bfloat16), "b": torch.zeros(10, dtype=torch.int64)}, file)
    assert weights_bytes([file], None) == file.stat().st_size
    assert weights_bytes([file], 32) == 1000 * 4 + 10 * 8
    assert weights_bytes([file], 16) == 1000 * 2 + 10 * 8


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, (5).to_bytes(8, "little") + b"{{{{{"])
def test_a_file_that_is_not_safetensors_counts_as_it_is(content, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    assert weights_bytes([file], 32) == len(content)


def test_the_memory_of_this_machine_is_known():
    free = available_memory()
    assert free is not None
    assert 0 < free <= psutil.virtual_memory().total + psutil.swap_memory().total


def test_a_container_has_what_its_limit_leaves(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert _memory._left_in_group(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory._left_in_group(tmp_path) is None
    assert _memory._left_in_group(tmp_path / "nothing") is None


def test_another_system_is_asked_by_psutil(monkeypatch):
    def unknown(path, *args):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", unknown)
    monkeypatch.setattr(_memory, "_by_psutil", lambda: 17)
    assert available_memory() == 17


def test_what_is_unknown_refuses_nothing():
    check_memory("a", 1 << 60, None, "buy some")
    with pytest.raises(
        NotEnoughMemoryError, match=r"the weights of 'a' need 2\.00 GB of memory, and 1\.00 GB are free"
    ):
        check_memory("a", 2_000_000_000, 1_000_000_000, "buy some")


@pytest.mark.parametrize(("dtype", "bits"), [("auto", None), ("float32", 32), ("bfloat16", 16), ("nonsense", None)])
def test_a_dtype_has_its_bits(dtype, bits):
    assert free_memory("cpu", dtype)[0] == bits
    assert free_memory("meta", dtype)[1] is None


def test_weights_for_a_gpu_come_through_the_memory_of_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    assert free_memory("cuda", "auto") == (None, 1000)
    monkeypatch.setattr("aimu.engines._torch_load.available_memory", lambda: 500)
    assert free_memory("cuda:0", "auto") == (None, 500)


# The context of llama.cpp


@pytest.mark.parametrize(("length", "rows"), [(512, 1), (1024, 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_context_takes_what_llama_cpp_says(kind, length, rows, tmp_path, caplog):
    path = random_gguf(tmp_path / "model.gguf", KINDS[kind], byte_level(CHATML.replace("{{ START }}", "")))
    counted = context_bytes(read_header(path), length, rows=rows)
    with caplog.at_level(logging.DEBUG, "aimu.engines"):
        LlamaCppEngine(path, threads=1, n_ctx=length, batch=rows).close()
    real = sum(float(size) for size in re.findall(r"KV buffer size =\s*([0-9.]+) MiB", caplog.text))
    assert counted / (1 << 20) == pytest.approx(real, abs=0.006)


QWEN = {
    "general.architecture": "qwen3",
    "qwen3.context_length": 40960,
    "qwen3.block_count": 28,
    "qwen3.embedding_length": 1024,
    "qwen3.attention.head_count": 16,
    "qwen3.attention.head_count_kv": 8,
    "qwen3.attention.key_length": 128,
    "qwen3.attention.value_length": 128,
}


def of_qwen(**changed):
    return QWEN | {f"qwen3.{key.replace('_of_', '.')}": value for key, value in changed.items()}


@pytest.mark.parametrize(
    ("header", "tokens", "rows", "needed"),
    [
        (QWEN, 40960, 1, 4_697_620_480),
        (QWEN, None, 1, 939_524_096),
        (QWEN, None, 8, 8 * 939_524_096),
        (of_qwen(context_length=2048), None, 1, 939_524_096 // 4),
        (of_qwen(attention_of_kv_lora_rank=512, rope_of_dimension_count=64), 1000, 1, 28 * 576 * 2000),
        (of_qwen(attention_of_head_count_kv=[0, 8] * 14), 1000, 1, 14 * 8 * 256 * 2000),
        (of_qwen(attention_of_shared_kv_layers=8), 1000, 1, 20 * 8 * 256 * 2000),
        (of_qwen(ssm_of_state_size=8), 1000, 1, 0),
        (of_qwen(ssm_of_state_size=8, full_attention_interval=4), 1000, 1, 7 * 8 * 256 * 2000),
        (of_qwen(attention_of_key_length_swa=64, attention_of_value_length_swa=64), 1000, 1, 28 * 8 * 128 * 2000),
        (of_qwen(block_count="many"), 1000, 1, 0),
        (of_qwen(attention_of_head_count=0), 1000, 1, 0),
        ({}, 1000, 1, 0),
    ],
)
def test_no_more_than_what_the_context_takes_is_counted(header, tokens, rows, needed):
    assert context_bytes(header, tokens, rows=rows) == needed


@pytest.mark.parametrize(("options", "much"), [({"n_ctx": 10**6}, False), ({"n_ctx": 10**6, "batch": 8}, True)])
def test_a_context_that_does_not_fit_is_refused_before_it_is_allocated(options, much, monkeypatch):
    weights = tiny_gguf().stat().st_size
    context = context_bytes(read_header(tiny_gguf()), 10**6, rows=options.get("batch", 1))
    monkeypatch.setattr("aimu.engines._llamacpp.available_memory", lambda: weights + context - 1)
    with pytest.raises(
        NotEnoughMemoryError, match=r"and its context .* GB, and .* are free; give a smaller n_ctx"
    ) as e:
        LlamaCppEngine(tiny_gguf(), threads=1, **options)
    assert (e.value.needed, e.value.context) == (weights + context, context)
    assert (context > 10**9) == much
