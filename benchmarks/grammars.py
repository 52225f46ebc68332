"""What a grammar costs an engine for each token, at a vocabulary of 128,000 tokens that is made for it.

Texts that fit each grammar are followed token by token, as a model writes them: the longest token first. Beside the
mask, a token costs its application to the logits, in numpy for llama.cpp and in torch for transformers.
"""

from __future__ import annotations

import json
import random
import statistics
import string
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from aimu.engines import ChatFormat
from aimu.engines._grammars.asking import Asked
from aimu.engines._grammars.constraint import Constraint
from aimu.engines._grammars.grammars import Grammars
from aimu.engines._grammars.vocabulary import Vocabulary
from aimu.engines._torch_model import limits
from aimu.testing import tiny_model
from benchmarks.harness import Bench, Clock

SECONDS = (120, 40)
SIZE = 128_000
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


Step = Callable[[Constraint, int], object]
LOGITS, SCORES = np.random.default_rng(0).standard_normal(SIZE, dtype=np.float32), torch.zeros(1, SIZE)
STEPS: dict[str, Step] = {
    "mask": lambda constraint, token: constraint.bits(),
    "in numpy": lambda constraint, token: constraint.mask(LOGITS),
    "in torch": lambda constraint, token: torch.minimum(SCORES, limits(constraint, SCORES)),
    "accept": lambda constraint, token: constraint.accept(token),
}
TOOL = {"type": "function", "function": {"name": "save", "parameters": PERSON}}
KINDS = {
    "person": Asked(kind="json_schema", value=PERSON),
    "tree": Asked(kind="json_schema", value=TREE),
    "calls": Asked(tools=[TOOL], forced=True),
}


@cache
def words() -> Vocabulary:
    return vocabulary(SIZE, random.Random(1))


@cache
def chat_format() -> ChatFormat:
    return ChatFormat.of((tiny_model() / "chat_template.jinja").read_text(encoding="utf8"))


def grammars() -> Grammars:
    return Grammars(lambda shown: words(), lambda about, text: print(text))


def constraint(of: Grammars, kind: str) -> Constraint:
    made = of.constraint(KINDS[kind], chat_format(), begun=False, thinking=True)
    assert made is not None, "there is no grammar"
    return made


def tables(clock: Clock) -> None:
    made = grammars()
    with clock.over():
        made._compiler(chat_format())


def compiled(clock: Clock, kind: str) -> None:
    made = grammars()
    made._compiler(chat_format())
    with clock.over():
        constraint(made, kind)


def followed(clock: Clock, kind: str, part: str, of: Grammars, slowest: bool = False) -> None:
    """Follow texts token by token, and measure one part of each step: its mean, or the slowest of a hundred."""
    spent: list[float] = []
    for text in texts(kind, random.Random(2)):
        made = constraint(of, kind)
        for token in words().written_with(text.encode()):
            for name, step in STEPS.items():
                if name == "accept":
                    assert made.allows(token), "the text does not follow the grammar"
                begun = time.perf_counter()
                step(made, token)
                if name == part:
                    spent.append(time.perf_counter() - begun)
    found = statistics.quantiles(spent, n=100)[-1] if slowest else statistics.mean(spent)
    clock.record(found, found)


def measure(bench: Bench) -> None:
    torch.set_num_threads(1)
    made = grammars()
    bench.compare("tables of the vocabulary", {"aimu": tables}, operation="engine", rounds=3)
    for kind in KINDS:
        bench.compare(f"compile {kind}", {"aimu": partial(compiled, kind=kind)}, operation="grammar", rounds=3)
    for kind in KINDS:
        ways = {part: partial(followed, kind=kind, part=part, of=made) for part in STEPS}
        ways["mask, slowest of 100"] = partial(followed, kind=kind, part="mask", of=made, slowest=True)
        bench.compare(kind, ways, operation="token", rounds=3)
