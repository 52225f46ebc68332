"""Kinds of GGUF files: the engine writes what llama.cpp writes when it computes the whole prompt afresh."""

import itertools
from random import Random

import pytest

from aimu.engines._llamacpp import LlamaCppEngine
from aimu.errors import EngineError
from tests.engines.asking import ask, user
from tests.engines.comparing import TURNS, compare, compare_together
from tests.engines.fresh import Fresh
from tests.engines.gguf_kinds import (
    BRACKETS,
    CHATML,
    KINDS,
    REFUSED,
    WINDOW,
    byte_level,
    pieces,
    random_gguf,
)

START = "{{ START }}"


@pytest.fixture
def opened_file(tmp_path):
    """Writes a model and opens it twice: in the engine, and afresh."""
    opened = []

    def open_file(kind, vocabulary, **options):
        path = random_gguf(tmp_path / "model.gguf", kind, vocabulary)
        opened.extend([LlamaCppEngine(path, threads=1, **options), Fresh(path)])
        return opened

    yield open_file
    for one in opened:
        one.close()


CONTINUED = {"next", "branch", "back"}
RECURRENT = {"LFM 2", "Mamba"}
"""Kinds whose states cannot be cut, so that a prompt reuses only a whole conversation that it continues."""


@pytest.mark.parametrize("kind", KINDS)
async def test_each_turn_is_what_llama_cpp_computes_afresh(opened_file, kind):
    engine, fresh = opened_file(KINDS[kind], byte_level(CHATML.replace(START, "")))
    found = await compare(engine, fresh.differs)
    assert found.differ == []
    reused = {turn for turn in TURNS if found.reused[turn]}
    assert reused == (CONTINUED if kind in RECURRENT else set(TURNS) - {"first"})


@pytest.mark.parametrize("kind", KINDS)
async def test_sequences_in_a_batch_are_what_llama_cpp_computes_alone(opened_file, kind):
    engine, fresh = opened_file(KINDS[kind], byte_level(CHATML.replace(START, "")), batch=3)
    assert not await compare_together(engine, fresh.differs)
    engine.prefix_cache.clear()
    found = await compare(engine, fresh.differs)
    assert found.differ == []
    reused = {turn for turn in TURNS if found.reused[turn]}
    whole = kind in RECURRENT or "attention.sliding_window" in KINDS[kind].keys
    assert reused == (CONTINUED if whole else set(TURNS) - {"first"})


@pytest.mark.parametrize("kind", ["Gemma 3", "gpt-oss"])
@pytest.mark.parametrize("batch", [1, 2])
async def test_windows_hold_in_conversations_that_alternate_fork_and_shrink(opened_file, kind, batch):
    engine, fresh = opened_file(KINDS[kind], byte_level(CHATML.replace(START, "")), batch=batch)
    chance, histories, reused = Random(3), [[], [], []], 0
    for _ in range(15):
        history = chance.choice(histories)
        if chance.random() < 0.3:
            del history[2 * chance.randint(0, 3) :]
        question = user(
            " ".join(chance.choices(["say", "tell", "hello", "story", "who", "are", "you", "cats", "plus", "3"], k=30))
        )
        reply = await engine.complete(ask(*history, question, max_tokens=chance.choice([1, 40]), temperature=0))
        written = engine.prefix_cache._entries[-1].ids
        assert fresh(written[: reply.usage.input], reply.usage.output) == written
        reused += reply.usage.cache_read > WINDOW
        answer = reply.text if chance.random() < 0.6 else f"Well: {reply.text}"
        history += [question, {"role": "assistant", "content": answer}]
    assert reused >= 5


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_keeps_no_text_of_its_own_is_refused_at_loading(tmp_path, kind):
    path = random_gguf(tmp_path / "model.gguf", REFUSED[kind], byte_level(""))
    with pytest.raises(EngineError, match="keeps no states|has an encoder"):
        LlamaCppEngine(path, threads=1)


VOCABULARIES = {
    "pieces, asks for a start": pieces(BRACKETS.replace(START, "")),
    "pieces, asks for a start that the template has": pieces(BRACKETS.replace(START, "{{ bos_token }}")),
    "pieces, asks for no start": pieces(BRACKETS.replace(START, ""), adds_start=False),
    "pieces without a blank": pieces(BRACKETS.replace(START, ""), blank=False),
    "pieces between marks": pieces(CHATML.replace(START, "")),
    "bytes, asks for a start": byte_level(CHATML.replace(START, ""), adds_start=True),
    "bytes, asks for a start that the template has": byte_level(
        CHATML.replace(START, "{{ bos_token }}"), adds_start=True
    ),
    "bytes, asks for no start that the template has": byte_level(CHATML.replace(START, "{{ bos_token }}")),
}


@pytest.mark.parametrize("name", VOCABULARIES)
async def test_a_prompt_has_the_tokens_of_its_whole_text_however_it_continues(opened_file, name):
    engine, fresh = opened_file(KINDS["Llama"], VOCABULARIES[name])
    starts = VOCABULARIES[name]["tokenizer.ggml.add_bos_token"]
    start = VOCABULARIES[name]["tokenizer.ggml.bos_token_id"]
    said = "say hello in the morning", "the answer is here", "some more, say"
    history = [user("say hello")]
    for answer, question in itertools.product(said, said):
        await engine.complete(ask(*history, max_tokens=4, temperature=0))
        # An answer that the model did not write, so that the prompt continues where the last one ended.
        history += [{"role": "assistant", "content": answer}, user(question)]
        reply = await engine.complete(ask(*history, max_tokens=4, temperature=0))
        entry = engine.prefix_cache._entries[-1]
        text, ids = entry.text[: entry.marks[-2][0]], entry.ids[: reply.usage.input]
        spelled = engine._model.variables["bos_token"]
        assert ids == fresh.tokenize(text.removeprefix(spelled) if starts else text, adds_start=starts)
        assert ids.count(start) == (starts or "that the template has" in name)
        assert reply.usage.cache_read > 0
