"""Where the tiny model lies: a chat model of 157 thousand parameters that really calls tools, inside the package.

Owns the two paths. What the model can do is in `tiny/README.md`, how it was made in `recipe/`.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "tiny"


def tiny_model() -> Path:
    """The tiny model as a HuggingFace folder: `aimu.client(f"hf:{tiny_model()}")`."""
    return _FOLDER / "hf"


def tiny_gguf() -> Path:
    """The same model as a GGUF file of float32 tensors, for llama.cpp."""
    return _FOLDER / "tiny.gguf"
