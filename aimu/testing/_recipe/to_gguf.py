"""Converts the tiny model's Hugging Face folder to a GGUF file of float32 tensors, with tokenizer and chat template.

Knows only the Qwen3 architecture with a byte-level BPE. Run `python -m aimu.testing._recipe.to_gguf FOLDER OUT.gguf`.
Keys and tensor names: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (read 2026-11-22).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TENSORS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tensor_names(layers: int) -> dict[str, str]:
    """Map the Hugging Face names of all tensors to their GGUF names."""
    return TENSORS | {
        f"model.layers.{layer}.{theirs}.weight": f"blk.{layer}.{ours}.weight"
        for layer in range(layers)
        for theirs, ours in LAYER_TENSORS.items()
    }


def add_architecture(writer: Any, config: dict[str, Any]) -> None:
    import gguf

    writer.add_name("tiny-chat")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config["vocab_size"])


def add_tokenizer(writer: Any, tokenizer: dict[str, Any], size: int) -> None:
    import gguf

    ids: dict[str, int] = tokenizer["model"]["vocab"] | {
        token["content"]: token["id"] for token in tokenizer["added_tokens"]
    }
    special = {token["content"]: token["special"] for token in tokenizer["added_tokens"]}
    tokens: list[str | None] = [None] * size
    kinds = [gguf.TokenType.NORMAL] * size
    for token, index in ids.items():
        tokens[index] = token
        if token in special:
            kinds[index] = gguf.TokenType.CONTROL if special[token] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_eot_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(False)


def convert(folder: Path, out: Path) -> None:
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    writer = gguf.GGUFWriter(out, "qwen3")
    add_architecture(writer, config)
    writer.add_sampling_temp(0.0)  # greedy, as generation_config.json says
    add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf8")), config["vocab_size"])
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf8"))
    names = tensor_names(config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        # Queries and keys are not permuted: qwen3 uses the NEOX rotary layout, as Hugging Face does.
        writer.add_tensor(names[name], tensor.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Hugging Face folder")
    parser.add_argument("out", type=Path, help="GGUF file to write")
    options = parser.parse_args()
    convert(options.folder, options.out)


if __name__ == "__main__":
    main()
