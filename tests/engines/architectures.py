"""Tiny configurations of every architecture that transformers loads as a text model, and models of random weights.

A configuration is the class's default with the sizes in `SIZES` where it has such fields, and what `OWN` adds for those
whose fields depend on each other.
"""

import inspect
from contextlib import contextmanager

import pytest
import torch
import transformers
from attrs import define, field
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from aimu.engines._huggingface import HuggingFaceEngine
from aimu.errors import EngineError
from tests.engines.comparing import compare, compare_together

MOST = 20_000_000
"""A model with more parameters is not built: its configuration has a size that `SIZES` does not know."""

WIDTH, WINDOW, WORDS = 32, 16, 909
ROUNDING = 1e-5
"""Relative noise in the embeddings that has an effect like rounding: two tokens or two experts may be as good."""
SLICE = 64
"""Number of tokens of a prompt that are computed at once; the longest prompt has several such slices."""
TOKENS = {"vocab_size": WORDS, "eos_token_id": 902, "pad_token_id": 900, "bos_token_id": 902}
_FIELDS = {
    WIDTH: "hidden_size n_embd d_model embedding_size word_embed_proj_dim lru_width attention_hidden_size dim",
    2 * WIDTH: "intermediate_size n_inner ffn_dim ffn_hidden_size d_ff d_inner decoder_ffn_dim encoder_ffn_dim "
    "moe_intermediate_size expert_ffn_hidden_size shared_expert_intermediate_size",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_key_value_heads "
    "num_experts_per_tok moe_topk topk linear_num_key_heads expand num_attention_groups num_query_groups",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads num_experts "
    "num_local_experts n_routed_experts moe_num_experts num_heads_mamba linear_num_value_heads time_step_rank "
    "mamba_dt_rank rotary_dim",
    8: "head_dim state_size mamba_n_heads mamba_num_heads mamba_d_head mamba_head_dim mamba_d_state mamba_chunk_size "
    "chunk_size ssm_state_size linear_key_head_dim linear_value_head_dim qk_rope_head_dim",
    16: "q_lora_rank kv_lora_rank qk_nope_head_dim v_head_dim qk_head_dim",
    1: "n_group topk_group first_k_dense_replace mamba_n_groups n_groups zero_expert_num n_shared_experts",
    2048: "max_position_embeddings max_target_positions n_positions context_length max_seq_len",
}
_WINDOWS = "sliding_window", "attention_window", "window_size", "attention_chunk_size"
SIZES = {name: size for size, names in _FIELDS.items() for name in names.split()} | TOKENS
SPREAD = {"initializer_range": 0.3}
"""Weights spread wider than those of a new model, so that each token depends on all before it."""
SIZES |= dict.fromkeys(_WINDOWS, WINDOW) | SPREAD
_FILLED = {"num_key_value_heads", "head_dim", "moe_intermediate_size", *TOKENS}
"""Fields that are set even where the default is None."""
_TWO_KINDS = "layer_types", "layers_block_type", "mlp_layer_types"

TEXT = {
    **TOKENS,
    **SPREAD,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
VISION |= {"image_size": 28, "patch_size": 14}
PATCHES = {"depth": 1, "hidden_size": 32, "embed_dim": 32, "num_heads": 4, "intermediate_size": 64, "patch_size": 14}
PATCHES |= {"out_hidden_size": 32, "fullatt_block_indexes": [0], "deepstack_visual_indexes": [0]}
SECTIONS = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10_000.0}}
QWEN = {"text_config": TEXT | SECTIONS, "vision_config": PATCHES}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
HYBRID = {"layer_types": ["linear_attention", "full_attention"]}
WINDOWS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
PIXELS = {"model_type": "pixtral", **VISION}

_GEMMA_4 = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": WORDS, "num_kv_shared_layers": 0}
_GEMMA_4 |= {"global_head_dim": 8}
MULTIMODAL = {
    "gemma3": {"text_config": TEXT | WINDOWS, "vision_config": VISION, "mm_tokens_per_image": 4},
    "gemma4": {
        "text_config": TEXT | WINDOWS | _GEMMA_4,
        "vision_config": VISION | {"head_dim": 8, "num_key_value_heads": 4},
        "audio_config": None,
    },
    "llama4": {
        "text_config": TEXT | {"num_local_experts": 4, "intermediate_size_mlp": 64, "attention_chunk_size": WINDOW},
        "vision_config": VISION | {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
    },
    "llava": {
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **VISION},
    },
    "mistral3": {"text_config": {"model_type": "mistral", **TEXT, "sliding_window": None}, "vision_config": PIXELS},
    "mistral3 with ministral3": {"text_config": {"model_type": "ministral3", **TEXT}, "vision_config": PIXELS},
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "qwen3_vl": QWEN,
    "qwen3_5": {
        "text_config": TEXT
        | LINEAR
        | HYBRID
        | {"rope_parameters": SECTIONS["rope_parameters"] | {"partial_rotary_factor": 1.0}},
        "vision_config": PATCHES,
    },
}
MULTIMODAL["qwen3_5_moe"] = {
    "text_config": MULTIMODAL["qwen3_5"]["text_config"]
    | {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2},
    "vision_config": PATCHES,
}
"""Fields of architectures whose class also takes images."""

_ZAMBA = {"num_hidden_layers": 4, "layers_block_type": ["mamba", "mamba", "hybrid", "mamba"]}
_ZAMBA |= {"num_key_value_heads": 4, "attention_head_dim": 16, "attention_hidden_size": 64}
OWN = {
    "bamba": {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "dory": {
        "num_hidden_layers": 4,
        "n_input_layers": 1,
        "n_recurrent_layers": 2,
        "n_output_layers": 1,
        "layer_types": None,
    },
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8},
    "gemma3_text": WINDOWS,
    "gemma3n_text": WINDOWS
    | {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": WORDS, "hidden_size_per_layer_input": 8}
    | {"activation_sparsity_pattern": [0.0, 0.0], "laurel_rank": 8},
    "gemma4_text": _GEMMA_4,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "mamba_n_heads": 8, "mamba_d_head": 8},
    "inkling2_loop_text": {"unpadded_vocab_size": WORDS},
    "inkling2_text": {"unpadded_vocab_size": WORDS},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "use_mamba_kernels": False,
    },
    "kimi_linear": {"linear_head_dim": 8, "linear_num_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": {"head_dim": 8, "qk_head_dim": 24},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "minimax": {**HYBRID, "head_dim": 8},
    "openai-gpt": {"n_positions": 512},
    "qwen3_5_moe_text": HYBRID,
    "qwen3_5_text": HYBRID,
    "qwen3_next": HYBRID,
    "recurrent_gemma": {"num_hidden_layers": 3, "block_types": ["recurrent", "recurrent", "attention"]},
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [64, 32],
        "axial_pos_embds_dim": [16, 16],
        "attention_head_size": 8,
        "local_attn_chunk_length": 16,
        "lsh_attn_chunk_length": 16,
    },
    "xlstm": {"num_heads": 4, "qk_dim_factor": 0.5},
    "xmod": {"default_language": "en_XX"},
    "zamba": _ZAMBA | {"layers_block_type": ["mamba", "hybrid"] * 2},
    "zamba2": {
        **_ZAMBA,
        "mamba_headdim": 8,
        "n_mamba_heads": 8,
        "mamba_ngroups": 1,
        "mamba_d_state": 8,
    },
    "zaya": {"num_experts_per_tok": 1},
}


NOT_BUILT = {
    "blt",
    "cohere_compass_text",
    "dbrx",
    "dots3_note",
    "dots3_note_text",
    "emu3",
    "fuyu",
    "gemma3n",
    "gemma4_assistant",
    "gemma4_unified",
    "gemma4_unified_assistant",
    "git",
    "got_ocr2",
    "mllama",
    "moss_transcribe_diarize",
    "musicgen",
    "musicgen_melody",
    "phi4_multimodal",
    "qwen4_exp",
    "qwen4_exp_text",
}
"""Architectures without a tiny configuration here: they consist of several models, or need other packages."""


@define
class NotBuilt(Exception):
    """transformers makes no model of a tiny configuration."""

    reason: str


def kinds():
    """Return the names of all architectures that the engine loads: those of causal models, and multimodal ones."""
    return sorted({*modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MULTIMODAL})


def tiny_config(kind):
    """Return the tiny configuration of an architecture."""
    cls = CONFIG_MAPPING[kind.partition(" ")[0]]
    if kind in MULTIMODAL:
        return cls(**MULTIMODAL[kind], **({"image_token_index": 5} if kind.startswith("mistral3") else {}))
    default, other_names = cls().to_dict(), getattr(cls, "attribute_map", {})
    fields = {name: size for name, size in SIZES.items() if _takes(name, default, other_names)}
    if "is_decoder" in default or "is_decoder" in inspect.signature(cls).parameters:
        fields["is_decoder"] = True
    for name in _TWO_KINDS:
        if isinstance(default.get(name), list) and default[name]:
            found = list(dict.fromkeys(default[name]))
            fields["num_hidden_layers"] = max(fields.get("num_hidden_layers", 2), len(found))
            fields[name] = (found * 2)[: fields["num_hidden_layers"]]
    if "qk_rope_head_dim" in default:  # latent attention: the width of a head is the sum of two
        fields.pop("head_dim", None)
        fields["num_key_value_heads"] = 4
    config = cls(**fields | OWN.get(kind, {}))
    if hasattr(config, "num_nextn_predict_layers"):
        config.num_nextn_predict_layers = 0
    return config


def _takes(name, default, other_names):
    """Return whether a field of a configuration is to be set."""
    if name in other_names:
        return other_names[name] in default and other_names[name] not in SIZES
    if name not in default or isinstance(default[name], dict | list):
        return False
    return default[name] is not None or name in _FILLED


def random_model(kind):
    """Return a model of random weights; raise NotBuilt with the reason if transformers makes none."""
    try:
        config = tiny_config(kind)
        auto = next(auto for auto in _classes() if type(config) in auto._model_mapping)
        with torch.device("meta"):
            size = sum(weights.numel() for weights in auto.from_config(tiny_config(kind)).parameters())
        if size > MOST:
            raise NotBuilt(f"{size:,} parameters")
        torch.manual_seed(0)
        model = auto.from_config(config).eval()
        model.generation_config = transformers.GenerationConfig(**TOKENS)
        return model
    except NotBuilt:
        raise
    except Exception as exc:
        raise NotBuilt(f"{type(exc).__name__}: {exc}") from exc


def _classes():
    return transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText


@define
class Outcome:
    """What the engine makes of an architecture.

    `refused` is the reason of the error at loading, `batch_refused` that of the error with `batch=`; `differ` are the
    turns whose tokens differ from those of `generate()`, `reused` the numbers of tokens that the turns reused.
    """

    refused: str = ""
    differ: list = field(factory=list)
    reused: dict = field(factory=dict)
    batch_refused: str = ""


@contextmanager
def rounding(model):
    """Add a little noise to the embeddings of a model."""
    torch.manual_seed(0)
    noise = model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: output * (1 + ROUNDING * torch.randn_like(output))
    )
    try:
        yield
    finally:
        noise.remove()


async def examine(model, tokenizer):
    """Compare what the engine writes with what `generate()` writes; the engine loads `model` instead of a folder."""

    def generated(ids, count):
        prompt = torch.tensor([ids])
        mask = torch.ones_like(prompt)
        return model.generate(prompt, attention_mask=mask, do_sample=False, max_new_tokens=count)[0].tolist()

    def differs(written, known):
        """Whether `generate()` picks other tokens, but for those that depend on the rounding of numbers."""
        while (expected := generated(written[:known], len(written) - known)) != written:
            pairs = zip(expected, written, strict=False)
            known = next((n for n, (one, other) in enumerate(pairs) if one != other), len(expected))
            with rounding(model):
                picked = {generated(written[:known], 1)[-1] for _ in range(24)}
            if written[known] not in picked:
                return True
            known += 1
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aimu.engines._torch_model.load", lambda *args, **kwargs: (model, tokenizer))
        patch.setattr("aimu.engines._torch_model.PREFILL_SLICE", SLICE)
        try:
            engine = HuggingFaceEngine("model", threads=1)
        except EngineError as exc:
            return Outcome(refused=reason(exc))
        try:
            found = await compare(engine, differs)
        finally:
            engine.close()
        outcome = Outcome(differ=found.differ, reused=found.reused)
        try:
            batch = HuggingFaceEngine("model", threads=1, batch=3)
        except EngineError as exc:
            outcome.batch_refused = reason(exc)
            return outcome
        try:
            if await compare_together(batch, differs):
                outcome.differ.append("batch")
        finally:
            batch.close()
        return outcome


def reason(error):
    """Return what an error at loading says between the name of the folder and the note on versions."""
    return str(error).partition(": ")[2].rpartition(" (installed: ")[0]
