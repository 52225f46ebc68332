"""Images in the Hugging Face engine: every family of processors, equal to `generate()`, with the prefix cache."""

import io
import re

import pytest
import torch
from PIL import Image

from aimu.engines._torch_load import load_processor
from tests.engines.asking import ask, part, show, user
from tests.engines.vision_models import CAT, DOG, FAMILIES, TALL

pytestmark = [pytest.mark.engines]

LENGTH = 8
END = "<|im_end|>"
IN_SUITE = {"qwen2_5_vl", "qwen3_5", "idefics3", "llava", "gemma3"}
"""The families that differ most."""


class Library:
    """What the processor and `generate()` make of the tokens of an engine's last request."""

    def __init__(self, engine, folder):
        self.model = engine._model.model
        self.processor = load_processor(folder, self.model.config, {})
        self.token = self.model.config.image_token_id

    def inputs(self, prompt, images):
        opened = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
        return self.processor(text=[prompt], images=opened or None, add_special_tokens=False, return_tensors="pt")

    def differs(self, entry, images, **options):
        """Whether `generate()` writes other tokens behind the prompt of `entry`."""
        length, known = entry.marks[-2]
        ids = [self.token if token < 0 else token for token in entry.ids]
        inputs = self.inputs(re.sub("\0.{32}\0", "", entry.text[:length]), images)
        prompt = torch.tensor([ids[:known]])
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in inputs:
                inputs[name] = (prompt == self.token).long()
        inputs |= {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
        with torch.inference_mode():
            written = self.model.generate(**inputs, do_sample=False, max_new_tokens=len(ids) - known, **options)
        return written[0].tolist() != ids


@pytest.fixture
def library(seeing, folders):
    return lambda kind: Library(seeing(kind), folders(kind))


class Talk:
    """Asks an engine, and notes the turns in which `generate()` writes other tokens."""

    def __init__(self, engine, library):
        self.engine, self.library = engine, library
        self.differ, self.usage = [], {}
        self.tokens, self.reused = {}, {}  # numbers of tokens of images in each turn

    async def say(self, turn, images, *history):
        reply = await self.engine.complete(ask(*history, max_tokens=LENGTH, temperature=0))
        entry = self.engine.prefix_cache._entries[-1]
        if self.library.differs(entry, images):
            self.differ.append(turn)
        self.usage[turn] = reply.usage
        self.tokens[turn] = sum(token < 0 for token in entry.ids)
        self.reused[turn] = sum(token < 0 for token in entry.ids[: reply.usage.cache_read])
        return [*history, {"role": "assistant", "content": entry.text[entry.marks[-2][0] :].removesuffix(END)}]


@pytest.mark.parametrize(
    "kind", [kind if kind in IN_SUITE else pytest.param(kind, marks=pytest.mark.exhaustive) for kind in FAMILIES]
)
async def test_the_engine_writes_what_generate_writes(seeing, library, slice_prefill, kind):
    slice_prefill(7)  # shorter than some images, which are computed whole
    talk = Talk(seeing(kind), library(kind))
    first = await talk.say("first", [CAT], show("What is this?", CAT))
    await talk.say("again", [CAT], show("What is this?", CAT))
    second = await talk.say("next", [CAT], *first, user("And in one word?"))
    await talk.say("another image", [DOG], show("What is this?", DOG))
    await talk.say("two images", [CAT, TALL], show("Compare", CAT, "with", TALL, "and say which is taller."))
    await talk.say("an image in the next turn", [CAT, TALL], *second, show(TALL, "And what is that?"))
    await talk.say("the same image twice", [DOG, DOG], show(DOG, "Is it the same as", DOG, "or not?"))
    await talk.say("text alone", [], user("Say hello. " * 3))
    assert talk.differ == []
    cut = kind in ("gemma3", "qwen3_5")  # keeps windows or recurrent layers: whole conversations only
    assert talk.usage["again"].cache_read == (0 if cut else talk.usage["first"].input - 1)
    assert talk.reused["next"] == talk.tokens["first"] > 0
    assert talk.reused["an image in the next turn"] == talk.tokens["next"]
    assert talk.reused["another image"] == talk.reused["two images"] == talk.reused["the same image twice"] == 0


async def test_penalties_count_the_tokens_of_an_image_too(seeing, library):
    engine = seeing("qwen2_5_vl")
    await engine.complete(ask(show("What is this?", CAT), max_tokens=LENGTH, temperature=0, repeat_penalty=5.0))
    (entry,) = engine.prefix_cache._entries
    assert not library("qwen2_5_vl").differs(entry, [CAT], repetition_penalty=5.0)
    assert library("qwen2_5_vl").differs(entry, [CAT])


@pytest.mark.parametrize("kind", FAMILIES)
async def test_the_tokens_of_a_prompt_are_those_of_the_processor(seeing, library, kind):
    engine, known = seeing(kind), library(kind)
    await engine.complete(ask(show("Compare", CAT, "with\n", TALL, "\nplease."), max_tokens=1))
    (entry,) = engine.prefix_cache._entries
    length, tokens = entry.marks[-2]
    inputs = known.inputs(re.sub("\0.{32}\0", "", entry.text[:length]), [CAT, TALL])
    assert engine._model._vision.real(entry.ids[:tokens]) == inputs["input_ids"][0].tolist()


@pytest.mark.parametrize("kind", FAMILIES)
async def test_an_image_is_seen_and_never_taken_for_another(seeing, kind):
    engine = seeing(kind)

    async def asked(*parts):
        return (await engine.complete(ask(show(*parts), max_tokens=LENGTH, temperature=0))).usage.cache_read

    await asked("Look:", CAT, "and", DOG, "now?")
    ids = engine.prefix_cache._entries[-1].ids
    first = next(place for place, token in enumerate(ids) if token < 0)
    assert await asked("Look:", DOG, "and", CAT, "now?") <= first
    both = engine.prefix_cache._entries[-1].ids
    assert [token for token in both if token < 0] != [token for token in ids if token < 0]
    logits = []
    for content in (CAT, DOG):
        prompt = _drained(
            engine._model.look(f"a{engine._model._vision.mark}b", [part(content)["image_url"]["url"]], lambda: False)
        )
        tokens, states = prompt.encode(prompt.text), engine._model.new_states()
        with torch.inference_mode():
            prompt.bind(states, tokens)
            while len(states) < len(tokens):
                found = engine._model.advance(tokens, states, len(tokens))
            logits.append(found)
    assert (logits[0] - logits[1]).abs().max() > 0.01 * logits[0].abs().max()


def _drained(steps):
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value
