"""Several architectures: the engine writes the same as `generate`, with and without reused states."""

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
import torch
import transformers

from aimu.engines._huggingface import HuggingFaceEngine
from aimu.errors import EngineError
from tests.engines.asking import ask, user

SIZES = {
    "vocab_size": 909,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "eos_token_id": 902,
    "pad_token_id": 900,
}
GPT2 = {"vocab_size": 909, "n_embd": 64, "n_layer": 2, "n_head": 4, "eos_token_id": 902, "bos_token_id": 902}
BLOOM = {"vocab_size": 909, "hidden_size": 64, "n_layer": 2, "n_head": 4, "eos_token_id": 902}
EXPERTS = {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
CONFIGS = {
    "full attention": lambda: transformers.Qwen3Config(**SIZES, head_dim=16),
    "sliding window": lambda: transformers.MistralConfig(**SIZES, head_dim=16, sliding_window=32),
    "recurrent and attention": lambda: transformers.Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]),
    "some windows": lambda: transformers.Gemma3TextConfig(
        **SIZES, head_dim=16, sliding_window=32, layer_types=["sliding_attention", "full_attention"]
    ),
    "linear and full attention": lambda: transformers.Qwen3NextConfig(
        **SIZES,
        **EXPERTS,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        shared_expert_intermediate_size=32,
    ),
    "learned positions": lambda: transformers.GPT2Config(**GPT2),
    "no positions": lambda: transformers.BloomConfig(**BLOOM),
}
STATE = {"vocab_size": 909, "hidden_size": 64, "num_hidden_layers": 2, "eos_token_id": 902, "pad_token_id": 900}
UNSUPPORTED = {
    "Mamba": lambda: transformers.MambaConfig(**STATE, state_size=8),
    "Mamba 2": lambda: transformers.Mamba2Config(**STATE, state_size=8, num_heads=8, head_dim=16, n_groups=1),
    "Falcon Mamba": lambda: transformers.FalconMambaConfig(**STATE, state_size=8),
    "RWKV": lambda: transformers.RwkvConfig(**STATE, attention_hidden_size=64),
    "xLSTM": lambda: transformers.xLSTMConfig(**STATE, num_heads=4),
    "GPT, without a cache": lambda: transformers.OpenAIGPTConfig(vocab_size=909, n_embd=64, n_layer=2, n_head=4),
    "XLNet, a memory of its own": lambda: transformers.XLNetConfig(
        vocab_size=909, d_model=64, n_layer=2, n_head=4, d_inner=128
    ),
}


def write_random(config, tiny, folder):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(Path(tiny) / name, folder)


@pytest.fixture(params=CONFIGS)
def random_engine(request, tiny, tmp_path):
    write_random(CONFIGS[request.param](), tiny, tmp_path)
    engine = HuggingFaceEngine(tmp_path, threads=1)
    yield engine
    engine.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_engine_writes_the_same_as_generate_with_and_without_reused_states(random_engine):
    model = random_engine._model.model
    reused = []

    async def check(history):
        reply = await random_engine.complete(ask(*history, max_tokens=20, temperature=0))
        written = random_engine.prefix_cache._entries[-1].ids
        prompt = torch.tensor([written[: reply.usage.input]])
        assert model.generate(prompt, do_sample=False, max_new_tokens=20)[0].tolist() == written
        reused.append(reply.usage.cache_read)
        return {"role": "assistant", "content": reply.text}

    history = [user("Tell me a story. " * 10)]
    for question in ("Say hello.", "Who are you?", "Thanks!"):
        history += [await check(history), user(question)]
    for fork in ("One", "Two", "One"):
        await check([*history[:3], user(fork)])
    await check(history)
    assert reused[0] == 0
    assert any(reused)


async def test_the_prefix_cache_counts_the_memory_of_recurrent_states(tiny, tmp_path):
    write_random(CONFIGS["linear and full attention"](), tiny, tmp_path)
    engine = HuggingFaceEngine(tmp_path, threads=1)
    try:
        await engine.complete(ask("Say hello.", max_tokens=3))
        recurrent, full = engine.prefix_cache._entries[-1].states.cache.layers
        held = [*recurrent.recurrent_states.values(), *recurrent.conv_states.values(), full.keys, full.values]
        assert all(tensor.nbytes > 0 for tensor in held)
        assert engine.prefix_cache.bytes >= sum(tensor.nbytes for tensor in held)
    finally:
        engine.close()


def local():
    return transformers.GPTNeoConfig(
        vocab_size=909,
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=256,
        max_position_embeddings=2048,
        eos_token_id=902,
    )


def unsupported(config, tiny, folder):
    """Load a model that is not supported; return the reason in the error."""
    write_random(config, tiny, folder)
    with pytest.raises(EngineError) as caught:
        HuggingFaceEngine(folder, threads=1)
    start, _, reason = str(caught.value).partition(": ")
    assert start == f"cannot load the weights of {os.fspath(folder)!r}"
    reason, _, note = reason.rpartition(" (installed: ")
    assert note.startswith(f"transformers {version('transformers')}, torch {version('torch')}; tested: transformers ")
    return reason


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_a_model_whose_state_cannot_be_cropped_is_refused_at_loading(tiny, tmp_path, kind):
    reason = unsupported(UNSUPPORTED[kind](), tiny, tmp_path)
    said = ["is not supported: it keeps no keys and values in a cache that can be cut to a shorter text"]
    if kind == "xLSTM":  # newer releases give it its own class of cache
        said.append("is not supported: its first forward pass with the cache that transformers makes for it failed: ")
    assert any(words in reason for words in said)


def test_a_model_that_keeps_states_between_forward_passes_is_refused_at_loading(tiny, tmp_path):
    config = transformers.RecurrentGemmaConfig(
        **{**SIZES, "num_hidden_layers": 3}, lru_width=64, attention_window_size=32, head_dim=16
    )
    reason = unsupported(config, tiny, tmp_path)
    assert reason.endswith(
        "is not supported: it keeps a part of its state outside the cache, where conversations would disturb each other"
    )


BATCHED = {
    "Qwen3": CONFIGS["full attention"],
    "Llama": lambda: transformers.LlamaConfig(**SIZES),
    "Phi3": lambda: transformers.Phi3Config(**SIZES),
    "GPT-2, learned positions": CONFIGS["learned positions"],
    "mixture of experts": lambda: transformers.Qwen3MoeConfig(**SIZES, **EXPERTS),
}
REFUSED = {
    "sliding window": (CONFIGS["sliding window"], "sliding windows"),
    "recurrent and attention": (CONFIGS["recurrent and attention"], "sliding windows"),
    "no positions": (CONFIGS["no positions"], "takes no positions or no mask; use batch=1"),
    "local layers": (local, "counts the tokens of its local layers back from the end of the longest row"),
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", BATCHED)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_several_architectures_write_the_same_in_a_batch_as_alone(tiny, tmp_path, kind, attention):
    write_random(BATCHED[kind](), tiny, tmp_path)
    engine = HuggingFaceEngine(tmp_path, threads=1, batch=4, model_kwargs={"attn_implementation": attention})
    alone, found = HuggingFaceEngine(tmp_path, threads=1), {}
    requests = [ask("Say hello. " * n, max_tokens=10 + n, temperature=0) for n in (1, 30, 7, 12, 2, 20)]

    async def one(n):
        found[n] = (await engine.complete(requests[n])).text

    async with anyio.create_task_group() as group:
        for n in range(len(requests)):
            group.start_soon(one, n)
    for n, request in enumerate(requests):
        assert found[n] == (await alone.complete(request)).text
    engine.close()
    alone.close()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_be_batched_is_refused_at_loading(tiny, tmp_path, kind):
    config, reason = REFUSED[kind]
    write_random(config(), tiny, tmp_path)
    with pytest.raises(EngineError, match=reason):
        HuggingFaceEngine(tmp_path, threads=1, batch=2)


def test_a_model_that_computes_other_results_in_a_batch_is_refused_at_loading(tiny, monkeypatch):
    monkeypatch.setattr("aimu.engines._torch_batch.torch.finfo", lambda dtype: SimpleNamespace(min=0.0, eps=1e-7))
    with pytest.raises(EngineError, match="computes other results when requests share forward passes; use batch=1"):
        HuggingFaceEngine(tiny, threads=1, batch=2)
