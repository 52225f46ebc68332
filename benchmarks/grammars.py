"""Measures what a grammar costs a token: its mask, at a vocabulary of 128,000 tokens that is made for it.

    python benchmarks/grammars.py

Texts that fit each grammar are followed token by token, as a model writes them: the longest token first. Beside the
mask, a token costs its application to the logits, in numpy for llama.cpp and in torch for transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import string
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from aimu.engines import ChatFormat
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.constraint import Constraint
from aimu.engines._grammars.grammars import Grammars
from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._torch_model import limits
from aimu.testing import tiny_model

SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "ing", "on", "ly")]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 80},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["name", "age", "born", "tags", "note"],
}
TREE = {
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            },
            "required": ["name", "children"],
        }
    },
    "$ref": "#/$defs/Tree",
}


def vocabulary(size: int, chance: random.Random) -> Vocabulary:
    """Make a vocabulary like those of today's models: bytes, words with and without a blank, numbers, signs, lines."""
    signs = [a + b + c for a in "{}[]():;,.\"'<>/=_-" for b in "{}[]():;,.\"' \n" for c in ["", '"', "\n", " "]]
    found = dict.fromkeys([bytes([byte]) for byte in range(256)] + [sign.encode() for sign in signs])
    found |= dict.fromkeys(str(number).encode() for number in range(1000))
    while len(found) < size - 4:
        word = "".join(chance.choice(SYLLABLES) for _ in range(chance.randint(1, 4)))
        word = chance.choice((word, word.title(), word.upper(), word + chance.choice(string.ascii_letters + "éü日")))
        found[(chance.choice(("", " ", " ", "\n")) + word).encode()] = None
    special = {0: "<|end|>", 1: "<|im_end|>", 2: "<think>", 3: "</think>"}
    return Vocabulary(tokens=[b""] * 4 + list(found), special=special, ends=[0, 1], encode=lambda text: [])


def texts(kind: str, chance: random.Random) -> list[str]:
    """Make texts that fit a grammar."""

    def words(count: int) -> str:
        return " ".join("".join(chance.choice(SYLLABLES) for _ in range(3)) for _ in range(count))

    def tree(depth: int) -> dict[str, Any]:
        return {"name": words(2), "children": [tree(depth - 1) for _ in range(2 if depth else 0)]}

    def person() -> dict[str, Any]:
        tags = [words(1) for _ in range(6)]
        return {"name": words(3), "age": 42, "born": "1999-04-30", "tags": tags, "note": words(30)}

    if kind == "calls":
        calls = [json.dumps({"name": "save", "arguments": person()}) for _ in range(10)]
        return [f"<tool_call>\n{call}\n</tool_call>" for call in calls]
    return [json.dumps(person() if kind == "person" else tree(3), indent=indent) for indent in (None, 2) * 5]


def seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


def follow(constraint: Constraint, ids: Sequence[int], size: int, spent: dict[str, list[float]]) -> None:
    """Follow a text; note the seconds of each step."""
    logits, scores = np.random.default_rng(0).standard_normal(size, dtype=np.float32), torch.zeros(1, size)
    for token in ids:
        spent["mask"].append(seconds(constraint.bits))
        if not constraint.allows(token):
            raise AssertionError("the text does not follow the grammar")
        spent["in numpy"].append(seconds(lambda: constraint.mask(logits)))
        spent["in torch"].append(seconds(lambda: torch.minimum(scores, limits(constraint, scores))))
        spent["accept"].append(seconds(lambda: constraint.accept(token)))  # noqa: B023 - called at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=128_000, help="tokens")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chance = random.Random(1)
    words = vocabulary(chosen.vocabulary, chance)
    form = ChatFormat.of((tiny_model() / "chat_template.jinja").read_text(encoding="utf8"))
    tool = {"type": "function", "function": {"name": "save", "parameters": PERSON}}
    wishes = {
        "person": Asked(kind="json_schema", value=PERSON),
        "tree": Asked(kind="json_schema", value=TREE),
        "calls": Asked(tools=[tool], forced=True),
    }
    grammars = Grammars(lambda shown: words, lambda about, text: print(text))
    print(f"tables of {chosen.vocabulary} tokens, s: {seconds(lambda: grammars._compiler(form)):.2f}")
    for kind, wish in wishes.items():
        spent: dict[str, list[float]] = {name: [] for name in ("mask", "in numpy", "in torch", "accept")}

        def constraint(wish: Asked = wish) -> Constraint:
            made = grammars.constraint(wish, form, begun=False, thinking=True)
            if made is None:
                raise AssertionError("no grammar")
            return made

        compiled = seconds(constraint)
        for text in texts(kind, chance):
            follow(constraint(), words.written_with(text.encode()), chosen.vocabulary, spent)
        means = {name: statistics.mean(values) * 1e3 for name, values in spent.items()}
        slowest = statistics.quantiles(spent["mask"], n=100)[-1] * 1e3
        parts = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
        total = means["mask"] + means["in torch"] + means["accept"]
        print(f"{kind}: compiled in {compiled * 1e3:.1f} ms; {len(spent['mask'])} tokens")
        print(f"  ms a token: {parts}; all, in torch, {total:.3f}")
        print(f"  slowest mask of a hundred {slowest:.2f} ms, slowest of all {max(spent['mask']) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
