"""Checks that llama.cpp with the GGUF file reads and writes the same tokens as transformers with the folder.

Takes two steps, since the two packages seldom share an environment:
`python -m aimu.testing._recipe.parity reference FOLDER REFERENCE.json`, then `... compare FILE.gguf REFERENCE.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

from aimu.testing._recipe.corpus import conversation

PROMPTS = 60
MAX_TOKENS = 120
STOP_TOKENS = (900, 902)  # <|endoftext|>, <|im_end|>


def reference(folder: Path, out: Path) -> None:
    """Write prompt, prompt tokens and greedy answer tokens of random conversations without their last answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    r = Random(99)
    rows: list[tuple[str, list[int], list[int]]] = []
    for _ in range(PROMPTS):
        messages, tools = conversation(r)
        last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
        prompt = tokenizer.apply_chat_template(messages[:last], tools=tools, add_generation_prompt=True, tokenize=False)
        tokens = tokenizer(prompt).input_ids
        output = model.generate(
            torch.tensor([tokens]),
            attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
        )[0, len(tokens) :].tolist()
        rows.append((prompt, tokens, [token for token in output if token not in STOP_TOKENS]))
    out.write_text(json.dumps(rows), encoding="utf8")


def compare(file: Path, rows: list[tuple[str, list[int], list[int]]]) -> tuple[int, int]:
    """Count the prompts that llama.cpp tokenizes as in `rows`, and those that it answers as in `rows`."""
    import llama_cpp

    llama = llama_cpp.Llama(str(file), n_ctx=4096, n_threads=1, verbose=False)
    same_prompt = same_answer = 0
    for prompt, tokens, expected in rows:
        same_prompt += llama.tokenize(prompt.encode(), add_bos=False, special=True) == tokens
        answer: list[int] = []
        for token in llama.generate(tokens, top_k=1, temp=0.0, repeat_penalty=1.0):
            if token in STOP_TOKENS or len(answer) >= MAX_TOKENS:
                break
            answer.append(token)
        same_answer += answer == expected
    return same_prompt, same_answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["reference", "compare"])
    parser.add_argument("model", type=Path, help="Hugging Face folder, or GGUF file")
    parser.add_argument("reference", type=Path, help="JSON file between the two steps")
    options = parser.parse_args()
    if options.step == "reference":
        reference(options.model, options.reference)
        return 0
    rows = json.loads(options.reference.read_text(encoding="utf8"))
    same_prompt, same_answer = compare(options.model, rows)
    print(f"equal prompt tokens: {same_prompt} of {len(rows)}, equal answers: {same_answer} of {len(rows)}")
    return int(min(same_prompt, same_answer) < len(rows))


if __name__ == "__main__":
    sys.exit(main())
