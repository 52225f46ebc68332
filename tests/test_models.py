"""Catalogs, model strings and the vocabulary of generate_kwargs."""

import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aimu.models
from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models import Model, ModelSpec, resolve_model_string
from aimu.models import _options as options
from aimu.models._options import merge, warn_unsupported
from aimu.models._resolve import CATALOGS, IN_PROCESS, PROVIDERS, resolve

ENUMS = {provider: getattr(aimu.models, name) for provider, (_, name) in CATALOGS.items()}


@pytest.mark.parametrize("provider", ENUMS)
def test_two_members_of_one_enum_never_share_an_id(provider):
    # `__members__`, because Enum makes the second of two equal values a silent alias that iteration leaves out
    members = ENUMS[provider].__members__
    assert len({member.id for member in members.values()}) == len(members) > 0


@pytest.mark.parametrize("provider", ENUMS)
def test_each_entry_is_of_its_provider_has_a_source_and_valid_options(provider):
    for member in ENUMS[provider]:
        assert member.spec.provider == provider
        assert member.spec.source.startswith("https://")
        options.check(member.spec.generate_kwargs)
        assert resolve_model_string(str(member)) is member.spec


def test_the_examples_of_the_reference_are_in_the_catalogs():
    assert aimu.models.HuggingFaceModel.LLAMA_70B.spec.tools
    assert aimu.models.OllamaModel.QWEN_3_8B.id == "qwen3:8b"
    assert resolve_model_string("ollama:qwen3.5:9b") is aimu.models.OllamaModel.QWEN_3_5_9B.spec
    assert resolve_model_string("anthropic:claude-sonnet-4-6") is aimu.models.AnthropicModel.SONNET_4_6.spec
    assert set(PROVIDERS) >= IN_PROCESS


@given(st.sampled_from(PROVIDERS), st.text(min_size=1).filter(str.strip))
def test_every_id_is_accepted_and_a_model_string_survives_the_round_trip(provider, model_id):
    spec = resolve_model_string(f"{provider}:{model_id}")
    assert (spec.provider, spec.id) == (provider, model_id)
    assert resolve_model_string(str(spec)) == spec


def test_an_unknown_id_has_unknown_capabilities():
    spec = resolve_model_string("vllm:me/mine:v2")
    assert spec == ModelSpec("me/mine:v2", "vllm")
    assert (spec.tools, spec.thinking, spec.vision) == (None, None, None)


@pytest.mark.parametrize("model", ["nope:gpt-4o", "gpt-4o", "", ":gpt-4o", "OpenAI:gpt-4o"])
def test_a_missing_or_unknown_provider_is_a_value_error_that_lists_the_providers(model):
    with pytest.raises(UnknownProviderError) as caught:
        resolve_model_string(model)
    assert isinstance(caught.value, ValueError)
    assert all(provider in str(caught.value) for provider in PROVIDERS)


@pytest.mark.parametrize("model", ["openai", "openai:", "hf: "])
def test_an_empty_id_is_an_error_that_says_what_is_expected(model):
    with pytest.raises(InvalidOptionError, match=r"expected '\w+:model_id'"):
        resolve_model_string(model)


def test_strings_members_and_specs_resolve_and_nothing_else():
    member = aimu.models.OllamaModel.QWEN_3_8B
    assert resolve("ollama:qwen3:8b") is resolve(member) is resolve(member.spec)
    assert {member.spec: 1}[member.spec] == 1  # a spec can be a key
    with pytest.raises(InvalidOptionError, match="not int"):
        resolve(3)


def test_importing_the_room_loads_no_catalog_and_no_vendor():
    code = (
        "import sys, aimu.models as m\n"
        "loaded = {n for n in sys.modules if n.startswith('aimu.models.')}\n"
        "assert loaded == {f'aimu.models.{name}' for name in ('_spec', '_row', '_table', '_resolve')}, loaded\n"
        "assert set(m.__all__) <= set(dir(m))\n"
        "m.OllamaModel\n"
        "assert 'aimu.models._openai' not in sys.modules\n"
        "assert not {'openai', 'anthropic', 'torch', 'httpx2', 'pydantic', 'mcp'} & set(sys.modules)\n"
        "exec('from aimu.models import *')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_lazy_table_and_all_name_the_same_things():
    lazy = [name for name in dir(aimu.models) if name.endswith(("Model", "Client")) and name[0] != "_"]
    assert set(lazy) <= set(aimu.models.__all__)
    assert all(isinstance(getattr(aimu.models, name), type) for name in lazy)
    assert issubclass(aimu.models.OpenAIModel, Model)
    with pytest.raises(AttributeError, match="NoModel"):
        aimu.models.NoModel


GOOD = {
    "max_tokens": 1,
    "temperature": 0,
    "top_p": 0.5,
    "top_k": 40,
    "stop": ["END"],
    "seed": -1,
    "presence_penalty": -2,
    "frequency_penalty": 2.0,
    "repeat_penalty": 1.1,
    "thinking": True,
    "thinking_budget_tokens": 1024,
    "tool_choice": "get_weather",
    "parallel_tool_calls": False,
    "extra_body": {"anything": object()},
}
BAD = {
    "max_tokens": 0,
    "temperature": "hot",
    "top_p": float("nan"),
    "top_k": 1.5,
    "stop": ["", "x"],
    "seed": True,
    "presence_penalty": 3,
    "frequency_penalty": -2.1,
    "repeat_penalty": -1,
    "thinking": "yes",
    "thinking_budget_tokens": 0,
    "tool_choice": "",
    "parallel_tool_calls": 1,
    "extra_body": [],
}


@pytest.mark.parametrize("key", options.VOCABULARY)
def test_each_key_accepts_its_values_and_refuses_others_with_name_and_range(key):
    assert merge({key: GOOD[key]}) == {key: GOOD[key]}
    with pytest.raises(InvalidOptionError) as caught:
        merge({key: BAD[key]})
    assert key in str(caught.value)
    assert options.VOCABULARY[key][0] in str(caught.value)


def test_an_unknown_key_is_refused_with_the_vocabulary_and_the_remedy():
    with pytest.raises(InvalidOptionError, match=r"num_ctx.*max_tokens.*extra_body=") as caught:
        merge({}, None, {"num_ctx": None})
    assert all(key in str(caught.value) for key in options.VOCABULARY)


LAYER = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.none() | st.integers(1, 9),
        "seed": st.none() | st.integers(0, 9),
        "stop": st.none() | st.text(min_size=1) | st.lists(st.text(min_size=1)),
    },
)


@given(st.lists(LAYER, max_size=4))
def test_the_last_layer_that_names_a_key_decides_and_none_unsets(layers):
    merged = merge(*layers)
    for key in ("max_tokens", "seed", "stop"):
        said = [layer[key] for layer in layers if layer and key in layer]
        want = said[-1] if said else None
        if isinstance(want, str):
            want = [want]
        assert merged.get(key) == want
        assert (key in merged) == (want is not None)


def test_an_option_that_a_provider_does_not_support_is_logged_once(caplog):
    warn_unsupported.cache_clear()
    with caplog.at_level(logging.WARNING, "aimu.models"):
        for _ in range(2):
            warn_unsupported("openai", "top_k")
        warn_unsupported("openai", "repeat_penalty")
    assert [record.args for record in caplog.records] == [("openai", "top_k"), ("openai", "repeat_penalty")]
