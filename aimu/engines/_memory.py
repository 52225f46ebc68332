"""Compares the memory that weights need, and llama.cpp's context, with what the machine has, before they are loaded.

Owns where the numbers come from. Says nothing where the system does not tell, and nothing about activations, and about
the states of transformers, which grow: a model that just fits may still fail later.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aimu.errors import NotEnoughMemoryError

_BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
"""Bits of a number of a dtype of safetensors whose name does not end with them."""
_HALF = 2  # bytes of a number in llama.cpp's context
_RECURRENT = "ssm.", "wkv.", "shortconv."
DEFAULT_CONTEXT = 8192
"""Most tokens of a context whose length nobody chose: llama.cpp allocates all of it at once."""
_HEADER = 100 << 20  # bytes; safetensors itself refuses a longer one


def check_memory(model: str, weights: int, available: int | None, remedy: str, *, context: int = 0) -> None:
    """Raise NotEnoughMemoryError if a model needs more bytes than there are; `available` is None if unknown."""
    if available is not None and weights + context > available:
        raise NotEnoughMemoryError(model, weights + context, available, remedy, context=context)


def context_bytes(header: Mapping[str, Any], tokens: int | None, *, rows: int) -> int:
    """Return the bytes that llama.cpp allocates for keys and values, or less; 0 if the header does not tell.

    Args:
        header: The metadata of the file.
        tokens: Number of tokens of a sequence; None means what the engine then takes.
        rows: Number of sequences.
    """
    name = header.get("general.architecture")
    keys = {key.removeprefix(f"{name}."): value for key, value in header.items()}
    try:
        length = tokens or min(DEFAULT_CONTEXT, keys["context_length"])
        return length * rows * sum(map(int, _cells(keys))) * _HALF
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0


def _cells(keys: Mapping[str, Any]) -> list[float]:
    """Return how many numbers each layer keeps of a token."""
    layers, heads = int(keys["block_count"]), keys["attention.head_count"]
    shared = keys.get("attention.head_count_kv", heads)
    width = keys["embedding_length"] / (max(heads) if isinstance(heads, list) else heads)
    if "attention.kv_lora_rank" in keys:  # keys and values as one latent
        return [keys["attention.kv_lora_rank"] + keys["rope.dimension_count"]] * layers
    kept = keys.get("attention.key_length", width) + keys.get("attention.value_length", width)
    if isinstance(shared, list):
        return [each * kept for each in shared]
    layers -= keys.get("attention.shared_kv_layers", 0)
    if any(key.startswith(_RECURRENT) for key in keys):
        layers = layers // keys["full_attention_interval"] if "full_attention_interval" in keys else 0
    return [shared * min(kept, _swa(keys, kept))] * layers


def _swa(keys: Mapping[str, Any], kept: float) -> float:
    """Return what a layer with a sliding window keeps for each head, if it has heads of another size."""
    return float(keys.get("attention.key_length_swa", kept / 2) + keys.get("attention.value_length_swa", kept / 2))


def available_memory() -> int | None:
    """Return the bytes that this process may still take, swap included; None where the system does not tell."""
    try:
        fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text("ascii"), re.MULTILINE))
        free = (int(fields["MemAvailable"]) + int(fields["SwapFree"])) << 10
    except (OSError, KeyError):
        return _by_psutil()
    limits = [_left_in_group(Path("/sys/fs/cgroup")), free]
    return min(limit for limit in limits if limit is not None)


def _by_psutil() -> int | None:
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available + psutil.swap_memory().free)


def _left_in_group(group: Path) -> int | None:
    """Return what the limit of a container leaves, without the pages of files that it may drop."""
    try:
        limit = (group / "memory.max").read_text("ascii").strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text("ascii"))
        cached = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text("ascii"), re.MULTILINE)
        return max(0, int(limit) - used + (int(cached[1]) if cached else 0))
    except (OSError, ValueError):
        return None


def weights_bytes(files: Iterable[Path], bits: int | None) -> int:
    """Return the bytes that weights take in memory.

    Args:
        files: Files of safetensors, or of torch, whose size is taken.
        bits: The bits of each floating-point number in memory; None for those of the files.
    """
    return sum(_in_memory(file, bits) if file.suffix == ".safetensors" else file.stat().st_size for file in files)


def _in_memory(file: Path, bits: int | None) -> int:
    size = os.path.getsize(file)
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8).ljust(8, b"\0"))
        if bits is None or length > min(size, _HEADER):
            return size
        try:
            tensors = json.loads(opened.read(length))
        except ValueError:
            return size
    total = 0
    for name, tensor in tensors.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            kind = tensor["dtype"]
            own = _BITS.get(kind) or int("".join(re.findall(r"\d+", kind)[:1]) or 8)
            total += (end - begin) * bits // own if kind.startswith(("F", "BF")) else end - begin
    return total
