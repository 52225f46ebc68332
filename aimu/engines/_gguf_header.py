"""Reads the metadata at the beginning of a GGUF file, without llama.cpp and without the weights.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (read 2026-11-26).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The formats of `struct` of the types of values, but for strings and arrays."""
_STRING, _ARRAY = 8, 9
_MOST = 1 << 24  # values of the metadata, all arrays together
_SHORT = 1024  # items of an array that is kept: some keys have a number for each layer


def read_header(path: Path) -> dict[str, Any]:
    """Return the metadata of a GGUF file, without arrays of text and long ones.

    Raises:
        ValueError: The file is not GGUF, or breaks off.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        reader = _Reader(file, os.fstat(file.fileno()).st_size)
        if file.read(4) != b"GGUF" or reader.number("I") < 2:
            raise ValueError(f"{path} is not a GGUF file of version 2 or later")
        reader.number("Q")  # of tensors
        found = {reader.text(): reader.value(reader.number("I")) for _ in range(reader.count())}
        return {key: value for key, value in found.items() if value is not None}


class _Reader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._left = _MOST

    def number(self, kind: str) -> Any:
        kind = f"<{kind}"
        data = self._file.read(struct.calcsize(kind))
        if len(data) < struct.calcsize(kind):
            raise ValueError("the file breaks off")
        return struct.unpack(kind, data)[0]

    def count(self) -> int:
        count: int = self.number("Q")
        self._left -= count
        if self._left < 0:
            raise ValueError(f"the file has more than {_MOST:,} values before its weights")
        return count

    def text(self) -> str:
        length = self.number("Q")
        if length > self._size:
            raise ValueError("the file breaks off")
        return self._file.read(length).decode(errors="replace")

    def value(self, kind: int) -> Any:
        """Return a value; None for an array that is passed over."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_NUMBERS.get(kind) or _unknown(kind))
        inner, count = self.number("I"), self.count()
        if inner in _NUMBERS and count <= _SHORT:
            return [self.number(_NUMBERS[inner]) for _ in range(count)]
        if inner in _NUMBERS:
            self._skip(count * struct.calcsize(f"<{_NUMBERS[inner]}"))
        else:
            for _ in range(count):
                if inner == _STRING:
                    self._skip(self.number("Q"))
                else:
                    self.value(inner)
        return None

    def _skip(self, length: int) -> None:
        if length > self._size:
            raise ValueError("the file breaks off")
        self._file.seek(length, os.SEEK_CUR)


def _unknown(kind: int) -> str:
    raise ValueError(f"the file has a value of the unknown type {kind}")
