"""How much memory weights need, and how much there is."""

from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from aimu.engines import _memory
from aimu.engines._memory import available_memory, check_memory, weights_bytes
from aimu.engines._torch_load import free_memory
from aimu.errors import NotEnoughMemoryError

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
