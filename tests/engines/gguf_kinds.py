"""Writes tiny GGUF files of random weights: kinds of models and vocabularies that no file in the repository has.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (read 2026-11-22). Tensors are float32.
"""

import json
import string
import struct
from pathlib import Path

import numpy as np
from attrs import field, frozen

from aimu.testing import tiny_model

WIDTH, HEADS, HEAD, FEED, LAYERS, WINDOW = 32, 4, 8, 64, 4, 24
GROUP = 2 * HEAD
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

_NUMBERS = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}


def _string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value):
    """The type of a value and its bytes."""
    if isinstance(value, str):
        return 8, _string(value)
    if isinstance(value, list):
        if isinstance(value[0], int):  # llama.cpp reads the kinds of tokens as signed integers only
            return 9, struct.pack(f"<IQ{len(value)}i", 5, len(value), *value)
        kinds, items = zip(*map(_value, value), strict=True)
        return 9, struct.pack("<IQ", kinds[0], len(items)) + b"".join(items)
    kind, form = _NUMBERS[type(value)]
    return kind, struct.pack(form, value)


def write(path, keys, tensors):
    """Write a GGUF file of `keys` and of arrays, whose last axis is llama.cpp's first."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for key, value in keys.items():
        kind, raw = _value(value)
        head += _string(key) + struct.pack("<I", kind) + raw
    body = b""
    for name, array in tensors.items():
        shape = array.shape[::-1]
        head += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(body))
        raw = array.astype("<f4").tobytes()
        body += raw + bytes(-len(raw) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + body)


# Vocabularies

CHATML = (
    "{{ START }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BRACKETS = (
    "{{ START }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }} {{ eos_token }}"
    "{% else %}[Q] {{ m.content }} [A]{% endif %}{% endfor %}"
)


def byte_level(template, *, adds_start=False):
    """The vocabulary of the embedded model: a byte-level BPE."""
    source = json.loads((Path(tiny_model()) / "tokenizer.json").read_text("utf8"))
    added = {token["id"]: token for token in source["added_tokens"]}
    tokens = {index: token for token, index in source["model"]["vocab"].items()}
    tokens |= {index: token["content"] for index, token in added.items()}
    kinds = [NORMAL] * len(tokens)
    for index, token in added.items():
        kinds[index] = CONTROL if token["special"] else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in source["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [tokens[index] for index in range(len(tokens))],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 900,
        "tokenizer.ggml.eos_token_id": 902,
        "tokenizer.ggml.add_bos_token": adds_start,
        "tokenizer.chat_template": template,
    }


def pieces(template, *, adds_start=True, blank=True):
    """A vocabulary of sentencepiece: single letters, some longer pieces, and bytes."""
    long = ["▁▁", "▁a", "▁s", "▁sa", "▁say", "he", "ll", "hell", "▁th", "▁the", "in", "on", "er", "▁m", "▁me"]
    letters = ["▁", *string.ascii_letters, *string.digits, *".,!?[]:'"]
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *long, *letters]
    kinds = [UNKNOWN, *[CONTROL] * 4, *[BYTE] * 256, *[NORMAL] * (len(long) + len(letters))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 261 + [-float(rank) for rank in range(len(long) + len(letters))],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": adds_start,
        "tokenizer.ggml.add_space_prefix": blank,
        "tokenizer.chat_template": template,
    }


# Architectures: the names of their tensors with the shapes, and their keys


def _attention(heads=(HEADS * HEAD, GROUP)):
    queries, keys = heads
    return {
        "attn_q.weight": (queries, WIDTH),
        "attn_k.weight": (keys, WIDTH),
        "attn_v.weight": (keys, WIDTH),
        "attn_output.weight": (WIDTH, queries),
    }


FEED_FORWARD = {"ffn_gate.weight": (FEED, WIDTH), "ffn_up.weight": (FEED, WIDTH), "ffn_down.weight": (WIDTH, FEED)}
NORMS = {"attn_norm.weight": (WIDTH,), "ffn_norm.weight": (WIDTH,)}
HEAD_NORMS = {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
POST_NORMS = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
PLAIN = {**NORMS, **_attention(), **FEED_FORWARD}
EXPERTS = 4
GPT_OSS = {
    **_attention(),
    "attn_norm.weight": (WIDTH,),
    "post_attention_norm.weight": (WIDTH,),
    "attn_output.bias": (WIDTH,),
    "attn_sinks.weight": (HEADS,),
    "ffn_gate_inp.weight": (EXPERTS, WIDTH),
    "ffn_gate_inp.bias": (EXPERTS,),
    "ffn_gate_exps.weight": (EXPERTS, FEED, WIDTH),
    "ffn_gate_exps.bias": (EXPERTS, FEED),
    "ffn_up_exps.weight": (EXPERTS, FEED, WIDTH),
    "ffn_up_exps.bias": (EXPERTS, FEED),
    "ffn_down_exps.weight": (EXPERTS, WIDTH, FEED),
    "ffn_down_exps.bias": (EXPERTS, WIDTH),
}
OLMO = {
    **_attention(),
    **FEED_FORWARD,
    **POST_NORMS,
    "attn_q_norm.weight": (WIDTH,),
    "attn_k_norm.weight": (GROUP,),
}
MAMBA = {
    "attn_norm.weight": (WIDTH,),
    "ssm_in.weight": (4 * WIDTH, WIDTH),
    "ssm_conv1d.weight": (2 * WIDTH, 4),
    "ssm_conv1d.bias": (2 * WIDTH,),
    "ssm_x.weight": (4 + 2 * 8, 2 * WIDTH),
    "ssm_dt.weight": (2 * WIDTH, 4),
    "ssm_dt.bias": (2 * WIDTH,),
    "ssm_a": (2 * WIDTH, 8),
    "ssm_d": (2 * WIDTH,),
    "ssm_out.weight": (WIDTH, 2 * WIDTH),
}
CONVOLUTION = {
    **NORMS,
    **FEED_FORWARD,
    "shortconv.conv.weight": (WIDTH, 3),
    "shortconv.in_proj.weight": (3 * WIDTH, WIDTH),
    "shortconv.out_proj.weight": (WIDTH, WIDTH),
}
T5_ATTENTION = {f"attn_{name}.weight": (HEADS * HEAD, WIDTH) for name in "qkv"} | {
    "attn_o.weight": (WIDTH, HEADS * HEAD)
}
T5_LAYER = {**NORMS, **T5_ATTENTION, **FEED_FORWARD}


@frozen
class Kind:
    """A kind of model: `layers` has the tensors of one layer, or of each."""

    architecture: str
    layers: dict | list
    keys: dict = field(factory=dict)
    outer: dict = field(factory=lambda: {"output_norm.weight": (WIDTH,)})
    own_output: bool = False

    def tensors(self, words):
        named = {"token_embd.weight": (words, WIDTH), **self.outer}
        if self.own_output:
            named["output.weight"] = (words, WIDTH)
        layers = self.layers if isinstance(self.layers, list) else [self.layers] * LAYERS
        for index, layer in enumerate(layers):
            named |= {f"blk.{index}.{name}": shape for name, shape in layer.items()}
        return named


SLIDING = {"attention.sliding_window": WINDOW}
KINDS = {
    "Llama": Kind("llama", PLAIN),
    "Qwen 3": Kind("qwen3", PLAIN | HEAD_NORMS),
    "Gemma 3": Kind(
        "gemma3",
        PLAIN | HEAD_NORMS | POST_NORMS,
        {**SLIDING, "attention.sliding_window_pattern": 2},
        own_output=True,
    ),
    "gpt-oss": Kind(
        "gpt-oss",
        GPT_OSS,
        {**SLIDING, "expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": FEED},
        own_output=True,
    ),
    "Olmo 3": Kind("olmo2", OLMO, {**SLIDING, "attention.sliding_window_pattern": 2}, own_output=True),
    "Command R7B": Kind(
        "cohere2",
        _attention() | FEED_FORWARD | {"attn_norm.weight": (WIDTH,)},
        {**SLIDING, "attention.sliding_window_pattern": 2, "attention.layer_norm_epsilon": 1e-5, "logit_scale": 1.0},
    ),
    "LFM 2": Kind(
        "lfm2",
        [CONVOLUTION, PLAIN | HEAD_NORMS] * 2,
        {"shortconv.l_cache": 3, "attention.head_count_kv": [0, GROUP // HEAD] * 2},
        outer={"token_embd_norm.weight": (WIDTH,)},
    ),
    "Mamba": Kind(
        "mamba",
        MAMBA,
        {"ssm.conv_kernel": 4, "ssm.inner_size": 2 * WIDTH, "ssm.state_size": 8, "ssm.time_step_rank": 4},
    ),
}
REFUSED = {
    "Dream": Kind("dream", PLAIN),
    "T5": Kind(
        "t5",
        [],
        {"attention.relative_buckets_count": 8},
        outer={
            **{f"{side}.output_norm.weight": (WIDTH,) for side in ("enc", "dec")},
            **{
                f"{side}.blk.{index}.{name}": shape
                for side in ("enc", "dec")
                for index in range(LAYERS)
                for name, shape in T5_LAYER.items()
            },
            **{
                f"dec.blk.{index}.cross_{name}": shape
                for index in range(LAYERS)
                for name, shape in ({"attn_norm.weight": (WIDTH,)} | T5_ATTENTION).items()
            },
            **{f"{side}.blk.0.attn_rel_b.weight": (8, HEADS) for side in ("enc", "dec")},
        },
    ),
}


def random_gguf(path, kind, vocabulary, *, seed=0):
    """Write a model of random weights; return the path."""
    chance = np.random.default_rng(seed)
    name = kind.architecture
    keys = {
        "context_length": 2048,
        "embedding_length": WIDTH,
        "block_count": LAYERS,
        "feed_forward_length": FEED,
        "attention.head_count": HEADS,
        "attention.head_count_kv": GROUP // HEAD,
        "attention.key_length": HEAD,
        "attention.value_length": HEAD,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.dimension_count": HEAD,
        "rope.freq_base": 10000.0,
        **kind.keys,
    }
    if name == "t5":
        keys["attention.head_count_kv"] = HEADS
    tensors = {}
    for tensor, shape in kind.tensors(len(vocabulary["tokenizer.ggml.tokens"])).items():
        values = chance.standard_normal(shape)
        if "norm" in tensor or tensor.endswith("ssm_d"):
            tensors[tensor] = 1 + 0.1 * values
        elif tensor.endswith("ssm_a"):
            tensors[tensor] = -np.exp(values)
        else:
            tensors[tensor] = values * (1.0 if tensor == "token_embd.weight" else 2.0 / shape[-1] ** 0.5)
    write(
        path,
        {"general.architecture": name, **{f"{name}.{key}": value for key, value in keys.items()}, **vocabulary},
        tensors,
    )
    return path
