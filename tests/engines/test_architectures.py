"""Every architecture of transformers: the engine writes what `generate()` writes, or refuses the model at loading."""

import shutil
import warnings
from pathlib import Path

import anyio
import pytest
import transformers

from aimu.engines._huggingface import HuggingFaceEngine
from aimu.errors import EngineError, InvalidImageError
from tests.engines.architectures import MULTIMODAL, NOT_BUILT, NotBuilt, examine, kinds, random_model
from tests.engines.asking import ask
from tests.engines.comparing import TURNS

KINDS = kinds()
USUAL = {
    "all tokens are attended to": "bart bert bloom deepseek_v3 falcon glm4 gpt2 gpt_bigcode gpt_neo gpt_neox granite "
    "llama mixtral mpt olmo2 opt phi3 qwen2 qwen3 qwen3_moe",
    "a window of them": "cohere2 gemma2 gemma3 gemma3_text gemma4_text gpt_oss llama4_text mistral modernbert-decoder "
    "olmo3",
    "some layers are recurrent": "bamba falcon_h1 granitemoehybrid jamba lfm2 qwen3_5 qwen3_next zamba zamba2 zaya",
    "the class also takes images": "llava mistral3 qwen2_5_vl qwen3_vl",
    "refused or not built": "blt cpmant falcon_mamba mamba mamba2 minimax moshi openai-gpt recurrent_gemma reformer "
    "rwkv xlm xlnet xlstm",
}
"""The architectures that the suite compares; the others are compared by the nox session `explore`."""
IN_SUITE = " ".join(USUAL.values()).split()
BEGIN_ANEW = {"jamba", "zamba"}
"""Architectures whose recurrent layers do not continue with several tokens, so that no states can be reused."""
PAGE = Path(__file__).parents[2] / "docs/local-models.md"


@pytest.fixture(scope="session")
def tokenizer(tiny):
    return transformers.AutoTokenizer.from_pretrained(tiny)


@pytest.fixture
def quiet():
    """Ignores what the code of an architecture warns of."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    transformers.logging.set_verbosity(verbosity)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "kind", [kind if kind in IN_SUITE else pytest.param(kind, marks=pytest.mark.exhaustive) for kind in KINDS]
)
def test_each_turn_of_an_architecture_is_that_of_generate_or_the_model_is_refused(kind, tokenizer):
    try:
        model = random_model(kind)
    except NotBuilt:
        # A release of transformers newer than the page may have an architecture that nobody has configured yet.
        assert kind in NOT_BUILT or f"| `{kind}` |" not in PAGE.read_text("utf8")
        return
    backend = ("asyncio", "trio")[KINDS.index(kind) % 2]
    outcome = anyio.run(examine, model, tokenizer, backend=backend)
    if outcome.refused:
        assert outcome.refused.startswith(f"{type(model).__name__} is not supported: ")
        return
    assert outcome.differ == []
    assert set(outcome.reused) == set(TURNS)
    assert (outcome.reused["back"] > 0) == (kind not in BEGIN_ANEW)
    if outcome.batch_refused:
        assert outcome.batch_refused.startswith("batch: ")
        assert "use batch=1" in outcome.batch_refused


def write(model, tiny, folder):
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(Path(tiny) / name, folder)


PICTURE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ],
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["mistral3", "mistral3 with ministral3", "qwen2_5_vl", "qwen3_vl", "gemma3"])
async def test_a_multimodal_class_with_a_template_of_text_answers_text_only(kind, tiny, tmp_path):
    assert kind in MULTIMODAL
    write(random_model(kind), tiny, tmp_path)
    engine = HuggingFaceEngine(tmp_path, threads=1)
    try:
        assert type(engine._model.model).__name__.endswith("ForConditionalGeneration")
        reply = await engine.complete(ask("Say hello.", max_tokens=5, temperature=0))
        assert reply.usage.output == 5
        with pytest.raises(InvalidImageError, match="the chat template shows no images"):
            await engine.complete(ask(PICTURE))
    finally:
        engine.close()


async def test_a_model_that_only_knows_pictures_is_refused_at_loading(tiny, tmp_path):
    config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    write(transformers.ViTForImageClassification(config), tiny, tmp_path)
    with pytest.raises(EngineError, match=r"cannot load the weights of .*ViTConfig"):
        HuggingFaceEngine(tmp_path, threads=1)


@pytest.fixture
def calls(monkeypatch):
    """Records the arguments with which tokenizer, configuration and weights are loaded."""
    seen = {}
    for name in ("AutoTokenizer", "AutoConfig", "AutoModelForCausalLM"):
        auto = getattr(transformers, name)

        def load(source, *args, _name=name, _load=auto.from_pretrained, **kwargs):
            seen.setdefault(_name, []).append(kwargs)
            return _load(source, *args, **kwargs)

        monkeypatch.setattr(auto, "from_pretrained", load)
    return seen


PLACES = {
    "revision": "v1",
    "token": "hf_secret",
    "cache_dir": "cache",
    "local_files_only": True,
    "force_download": False,
    "trust_remote_code": False,
    "code_revision": "v2",
}


def test_arguments_about_where_files_are_found_reach_the_tokenizer_too(tiny, calls):
    HuggingFaceEngine(
        tiny,
        threads=1,
        model_kwargs={**PLACES, "attn_implementation": "eager", "use_fast": True, "tokenizer_type": None},
    ).close()
    (weights,) = calls["AutoModelForCausalLM"]
    assert calls["AutoTokenizer"] == [PLACES | {"use_fast": True, "tokenizer_type": None}]
    assert PLACES in calls["AutoConfig"]
    assert {name: weights[name] for name in PLACES} == PLACES
    assert weights["attn_implementation"] == "eager"
    assert not weights.keys() & {"use_fast", "tokenizer_type"}


async def test_weights_and_tokenizer_are_found_in_a_subfolder(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "inner")
    engine = HuggingFaceEngine(tmp_path, threads=1, model_kwargs={"subfolder": "inner"})
    assert (await engine.complete(ask("Say hello."))).text == "Hello! How can I help you today?"
    engine.close()
