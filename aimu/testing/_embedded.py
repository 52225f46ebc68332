"""Locates the tiny model inside the package: a chat model of 157 thousand parameters that really calls tools.

Owns the two paths. `tiny/README.md` says what the model can do; `_recipe/` shows how it was made.
"""

from __future__ import annotations

from pathlib import Path

from aimu._doors import public

_FOLDER = Path(__file__).parent / "tiny"


@public("aimu.testing")
def tiny_model() -> Path:
    """Return the Hugging Face folder of the tiny model.

    Example:
        aimu.client(f"hf:{tiny_model()}").chat("Say hello.")
    """
    return _FOLDER / "hf"


@public("aimu.testing")
def tiny_gguf() -> Path:
    """Return the GGUF file of the tiny model, with float32 tensors, for llama.cpp.

    Example:
        aimu.client(f"llamacpp:{tiny_gguf()}").chat("Say hello.")
    """
    return _FOLDER / "tiny.gguf"
