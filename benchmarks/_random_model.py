"""What the benchmarks of the engines share: a model large enough that its computing time matters, and texts for it."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers

from aimu.testing import tiny_model

WORDS = ("you", "are", "a", "helpful", "assistant", "answer", "the", "user", "question", "briefly", "when", "needed")


def words(count: int, seed: int = 0) -> str:
    """Return a text of that many words, of about one token each."""
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(count))


@contextmanager
def random_model() -> Iterator[Path]:
    """The folder of a random Qwen3 of 29M parameters, on one thread."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        build_random(Path(folder))
        yield Path(folder)


def build_random(folder: Path) -> None:
    """Write a random Qwen3 to a folder, with the tokenizer and chat template of the tiny model."""
    tiny = tiny_model()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
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
    shutil.copy(tiny / "generation_config.json", folder)  # in place of the one just saved
