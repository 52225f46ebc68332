"""The Hugging Face engine; test_local_engines tests what all engines have in common."""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from weakref import ref

import pytest

from aimu.engines._huggingface import HuggingFaceEngine
from aimu.errors import (
    BadRequestError,
    ClosedClientError,
    EngineError,
    MissingExtraError,
)
from tests.engines.asking import STORY, ask, streamed


async def test_a_seed_leaves_the_global_generator_alone(hf_engine):
    import torch

    before = torch.random.get_rng_state()
    await hf_engine.complete(ask("Say hello.", seed=3, temperature=1.0))
    assert torch.equal(before, torch.random.get_rng_state())


async def test_extra_body_sets_fields_of_the_generation_config(hf_engine):
    greedy = await hf_engine.complete(ask(*STORY))
    assert (await hf_engine.complete(ask(*STORY, extra_body={"no_repeat_ngram_size": 2}))).text != greedy.text


async def test_a_field_of_the_generation_config_without_effect_is_logged_once(hf_engine, caplog):
    hf_engine._warned.clear()
    for _ in range(2):
        await hf_engine.complete(ask("Say hello.", extra_body={"num_beams": 4}))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{hf_engine.spec}: this engine does not support the field 'num_beams' of extra_body and ignores it"
    ]


async def test_a_conversation_that_the_template_refuses_raises_bad_request_error(hf_engine, monkeypatch):
    monkeypatch.setattr(hf_engine._model.tokenizer, "chat_template", "{{ raise_exception('Only cats.') }}")
    with pytest.raises(BadRequestError, match=r"Only cats\."):
        await hf_engine.complete(ask("Say hello."))
    monkeypatch.setattr(hf_engine._model.tokenizer, "chat_template", None)
    with pytest.raises(BadRequestError, match="no chat template"):
        await hf_engine.complete(ask("Say hello."))


@pytest.mark.parametrize("error", [ArithmeticError, MemoryError, SystemExit])
async def test_a_failing_forward_pass_raises_engine_error_and_the_next_request_works(hf_engine, monkeypatch, error):
    def fail(**kwargs):
        raise error("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(hf_engine._model.model, "forward", fail)
        with pytest.raises(EngineError, match=f"{error.__name__}: no luck") as caught:
            await hf_engine.complete(ask("Say hello."))
    assert isinstance(caught.value.__cause__, error)
    assert (await hf_engine.complete(ask("Say hello."))).text == "Hello! How can I help you today?"


async def test_a_tokenizer_without_incremental_decoding_gives_the_same_text(hf_engine, monkeypatch):
    text = (await hf_engine.complete(ask(*STORY))).text
    monkeypatch.setattr(type(hf_engine._model.tokenizer), "is_fast", False)
    deltas, reply = await streamed(hf_engine, ask(*STORY))
    assert reply.text == text
    assert len(deltas) > 50


async def test_lazy_weights_are_loaded_in_the_engines_thread_at_the_first_request(tiny):
    engine = HuggingFaceEngine(Path(tiny), lazy=True, threads=1)
    assert not engine.loaded
    assert repr(engine) == f"HuggingFaceEngine({tiny!r}, loaded=False)"
    assert (await engine.complete(ask("Say hello."))).text == "Hello! How can I help you today?"
    assert engine.loaded
    await engine.aclose()
    await engine.aclose()
    assert (engine.loaded, engine.prefix_cache.entries) == (False, 0)
    with pytest.raises(ClosedClientError):
        await engine.complete(ask("Say hello."))


def test_closing_frees_the_weights_at_once(tiny):
    engine = HuggingFaceEngine(tiny, threads=1)
    weights = ref(engine._model.model)
    gc.collect()
    gc.disable()
    try:
        engine.close()
        assert weights() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing-here", "~/nothing-here", "a/b/c"])
def test_a_path_that_is_not_a_folder_is_never_looked_up_on_the_hub(name):
    with pytest.raises(EngineError, match=r"there is no folder .*config\.json"):
        HuggingFaceEngine(name)


def test_a_folder_without_weights_raises_engine_error_and_leaves_no_thread(tmp_path):
    with pytest.raises(EngineError, match="cannot load the weights"):
        HuggingFaceEngine(tmp_path)
    assert not [thread for thread in threading.enumerate() if os.fspath(tmp_path) in thread.name]


def test_a_missing_package_names_the_extra(monkeypatch, tiny):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as caught:
        HuggingFaceEngine(tiny, lazy=True)
    assert (caught.value.package, caught.value.extra) == ("torch", "hf")


def test_importing_the_engine_loads_no_torch():
    code = "import sys, aimu.engines._huggingface; print({'torch', 'transformers', 'tokenizers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "set()\n"
