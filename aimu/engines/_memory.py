"""Compares the memory that weights need with what the machine has, before they are loaded.

Owns where the numbers come from. Says nothing where the system does not tell, and nothing about states and activations:
a model that just fits may still fail later.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path

from aimu.errors import NotEnoughMemoryError

_BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
"""Bits of a number of a dtype of safetensors whose name does not end with them."""
_HEADER = 100 << 20  # bytes; safetensors itself refuses a longer one


def check_memory(model: str, needed: int, available: int | None, remedy: str) -> None:
    """Raise NotEnoughMemoryError if a model needs more bytes than there are; `available` is None if unknown."""
    if available is not None and needed > available:
        raise NotEnoughMemoryError(model, needed, available, remedy)


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
