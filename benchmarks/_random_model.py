"""Builds a model large enough that its computing time matters, for the benchmarks of the Hugging Face engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
import transformers

from aimu.testing import tiny_model


def build_random(folder: Path) -> None:
    """Write a random Qwen3 of 29M parameters to a folder, with the tokenizer and chat template of the tiny model."""
    tiny = tiny_model()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(tiny / name, folder)
    config = transformers.AutoConfig.from_pretrained(tiny)
    layers = 9
    config.update(
        {
            "hidden_size": 512,
            "num_hidden_layers": layers,
            "layer_types": ["full_attention"] * layers,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 64,
            "intermediate_size": 1536,
        }
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    shutil.copy(tiny / "generation_config.json", folder)
