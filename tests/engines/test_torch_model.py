"""Several architectures: what the engine writes is what `generate` writes, whether states were reused or not."""

import shutil
from pathlib import Path

import pytest
import torch
import transformers

from aimu.engines.huggingface import HuggingFaceEngine
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
CONFIGS = {
    "full attention": lambda: transformers.Qwen3Config(**SIZES, head_dim=16),
    "sliding window": lambda: transformers.MistralConfig(**SIZES, head_dim=16, sliding_window=32),
    "recurrent and attention": lambda: transformers.Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]),
}


@pytest.fixture(params=CONFIGS)
def random_engine(request, tiny, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param]())
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(Path(tiny) / name, tmp_path)
    engine = HuggingFaceEngine(tmp_path, threads=1)
    yield engine
    engine.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_written_is_what_generate_writes_whatever_was_reused(random_engine):
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
