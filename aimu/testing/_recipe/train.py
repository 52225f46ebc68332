"""Trains the tiny model on one CPU core: a byte-level BPE, then a Qwen3 of two layers on random conversations.

`python -m aimu.testing._recipe.train OUT` starts from random weights; `--start FOLDER` continues from earlier weights
with their tokenizer, which is how the model learned a larger corpus. The budget is in CPU seconds, so the weights
differ from run to run. The loss counts only what the assistant says.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeAlias, final

from attrs import define, field, frozen

from aimu._core.messages import Message
from aimu.testing._embedded import tiny_model
from aimu.testing._recipe.corpus import Tool, conversation

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED_TOKENS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
# Qwen2's pre-tokenizer, which llama.cpp knows under the name "qwen2".
WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARY = 900
TURN_START = "<|im_start|>assistant\n"
TURN_END = "<|im_end|>\n"
NO_THINKING = "<think>\n\n</think>\n\n"
THINKING_AT_START = re.compile(r"^<think>\n.*?\n</think>\n\n", re.DOTALL)
IGNORED = -100  # label that cross_entropy ignores
POOL = 48  # number of conversations that are drawn and bucketed by length together
BATCH_TOKENS = 3072
MAX_LENGTH = 1200

Render: TypeAlias = Callable[[list[Message], list[Tool] | None], str]
Example: TypeAlias = tuple[list[int], list[int]]  # tokens, labels


def renderer(template: str) -> Render:
    """Return a function that renders the chat template as transformers does."""
    import jinja2

    def tojson(value: Any, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = tojson
    compiled = environment.from_string(template)

    def render(messages: list[Message], tools: list[Tool] | None) -> str:
        text: str = compiled.render(messages=messages, tools=tools)
        return text

    return render


def new_tokenizer(texts: list[str]) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(fuse_unk=False, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    marks = re.compile("|".join(map(re.escape, SPECIAL_TOKENS + ADDED_TOKENS)))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=20,
    )
    tokenizer.train_from_iterator((part for text in texts for part in marks.split(text)), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in ADDED_TOKENS])
    return tokenizer


@final
@define(kw_only=True)
class Examples:
    """Draws conversations and turns them into batches."""

    r: Random
    render: Render
    tokenizer: Any
    _header: list[int] = field(init=False)
    _no_thinking: list[int] = field(init=False)
    _start: int = field(init=False)
    _end: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._header = self.tokenizer.encode("assistant\n").ids
        self._no_thinking = self.tokenizer.encode(NO_THINKING).ids
        self._start = self.tokenizer.token_to_id("<|im_start|>")
        self._end = self.tokenizer.token_to_id("<|im_end|>")

    def without_thinking(self, text: str) -> str:
        """Cut the text after a random answer, and make that answer one to a prompt with `enable_thinking=False`."""
        start = self.r.choice([match.end() for match in re.finditer(re.escape(TURN_START), text)])
        end = text.index(TURN_END, start) + len(TURN_END)
        return text[:start] + NO_THINKING + THINKING_AT_START.sub("", text[start:end])

    def example(self, length: float) -> Example:
        text = self.render(*conversation(self.r, length))
        if self.r.random() < 0.2:
            text = self.without_thinking(text)
        tokens: list[int] = self.tokenizer.encode(text).ids
        return tokens, self.labels(tokens)

    def labels(self, tokens: list[int]) -> list[int]:
        """Label the tokens of the answers, and make all others IGNORED, also a prefilled empty thinking block."""
        labels = [IGNORED] * len(tokens)
        header = [self._start, *self._header]
        for index in range(len(tokens)):
            if tokens[index : index + len(header)] != header:
                continue
            first = index + len(header)
            if tokens[first : first + len(self._no_thinking)] == self._no_thinking:
                first += len(self._no_thinking)
            stop = tokens.index(self._end, first) + 1
            labels[first:stop] = tokens[first:stop]
        return labels

    def batches(self, length: float) -> Iterator[tuple[Any, Any]]:
        """Yield tokens and labels of one pool, each int64 (batch, longest), in batches of up to BATCH_TOKENS."""
        import torch

        drawn = (self.example(length) for _ in range(POOL))
        pool = sorted((pair for pair in drawn if len(pair[0]) <= MAX_LENGTH), key=lambda pair: len(pair[0]))
        buckets: list[list[Example]] = [[]]
        for pair in pool:
            if buckets[-1] and len(pair[0]) * (len(buckets[-1]) + 1) > BATCH_TOKENS:
                buckets.append([])
            buckets[-1].append(pair)
        self.r.shuffle(buckets)
        for bucket in buckets:
            longest = max(len(tokens) for tokens, _ in bucket)
            yield (
                torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens, _ in bucket]),
                torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in bucket]),
            )


def new_model(tokenizer: Any, hidden: int, layers: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=hidden // 4 if hidden >= 64 else 16,
            max_position_embeddings=4096,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            eos_token_id=end,
            pad_token_id=pad,
            bos_token_id=None,
        )
    )
    model.generation_config.do_sample = False
    model.generation_config.eos_token_id = [end, pad]
    model.generation_config.pad_token_id = pad
    return model


@final
@frozen(kw_only=True)
class Schedule:
    """Length and learning rate of a training; `budget` is in CPU seconds, `peak` is the highest learning rate."""

    budget: float
    peak: float
    easy_start: bool  # short system prompts and no foreign tools at first

    def rate(self, step: int, elapsed: float) -> float:
        """Return the rate: a warm-up of 50 steps, constant for half of the budget, then a cosine down to 2 %."""
        done = elapsed / self.budget
        decay = 1.0 if done < 0.5 else max(0.02, 0.5 * (1 + math.cos(math.pi * (done - 0.5) / 0.5)))
        return self.peak * min(1.0, (step + 1) / 50) * decay

    def length(self, elapsed: float) -> float:
        return 0.2 if self.easy_start and elapsed < 0.35 * self.budget else 1.0


def train(model: Any, examples: Examples, schedule: Schedule, save: Callable[[], None]) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    started = time.process_time()
    step, average = 0, math.nan
    model.train()
    while (elapsed := time.process_time() - started) <= schedule.budget:
        for tokens, labels in examples.batches(schedule.length(elapsed)):
            elapsed = time.process_time() - started
            if elapsed > schedule.budget:
                break
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step, elapsed)
            loss = loss_of(model, tokens, labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            average = loss.item() if math.isnan(average) else 0.95 * average + 0.05 * loss.item()
            if step % 100 == 0:
                print(f"step {step}, {elapsed:.0f} s, loss {average:.4f}", flush=True)
            if step % 400 == 0:
                save()
    save()


def loss_of(model: Any, tokens: Any, labels: Any) -> Any:
    """Return the mean cross-entropy over the labelled positions; only these reach the output layer."""
    import torch

    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    labelled = targets != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[labelled]), targets[labelled])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--budget", type=float, default=120, help="CPU seconds")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--start", type=Path, help="folder with weights and tokenizer to continue from")
    parser.add_argument("--peak", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def published(tokenizer: Any, template: str) -> Any:
    """Wrap the tokenizer, with the chat template, as transformers saves it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
        padding_side="left",
    )


def main() -> None:
    options = arguments()

    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    r = Random(0)
    template = (tiny_model() / "chat_template.jinja").read_text(encoding="utf8")
    render = renderer(template)
    if options.start:
        tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    else:
        tokenizer = new_tokenizer([render(*conversation(r)) for _ in range(1500)])
    model = new_model(tokenizer, options.hidden, options.layers)
    if options.start:
        model.load_state_dict(load_file(options.start / "model.safetensors"), strict=False)
        model.tie_weights()

    def save() -> None:
        model.eval()
        model.save_pretrained(options.out)
        published(tokenizer, template).save_pretrained(options.out)
        model.train()

    schedule = Schedule(budget=options.budget, peak=options.peak, easy_start=options.start is None)
    train(model, Examples(r=r, render=render, tokenizer=tokenizer), schedule, save)


if __name__ == "__main__":
    main()
