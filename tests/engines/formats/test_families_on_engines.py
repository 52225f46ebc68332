"""An agent of ten families on the real engines: the tokens are given, all else is computed, tokenized and reused."""

import numpy as np
import pytest
import torch

from aimu.engines._gguf_model import Sampling
from aimu.engines._grammars.constraint import Constraint
from tests.engines.formats.families import FAMILIES
from tests.engines.formats.test_family_agents import THOUGHTS, agent_of, replies

TEN = "hermes", "xml", "glm", "mistral", "deepseek-r1", "kimi", "harmony", "command-r", "gemma4", "minimax"


class Given:
    """Picks given tokens instead of the likeliest ones: as the sampler of `hf`, or as a constraint in `llamacpp`."""

    def __init__(self, tokens):
        self._tokens = iter(tokens)

    def start(self, ids, device):
        pass

    def __call__(self, logits):
        return torch.tensor([[next(self._tokens)]])

    view = staticmethod(Constraint.view)

    def mask(self, logits):
        logits[:] = -np.inf
        logits[next(self._tokens)] = 0

    def allows(self, token):
        return True


@pytest.fixture(params=["hf", "llamacpp"])
def play(request, opened, monkeypatch):
    """Makes a real engine write one reply of a family after the other, with the family's template."""

    def play(family):
        engine = opened(request.param)
        model, written = engine._model, iter(replies(family))
        if request.param == "hf":
            end = model.tokenizer.eos_token_id
            monkeypatch.setattr(model.tokenizer, "chat_template", family.template)
            monkeypatch.setattr(engine, "_sampler", lambda *args: Given([*model.encode(next(written)), end]))
        else:
            vocabulary = model.vocabulary(lambda text: False)
            end = min(vocabulary.ends)
            monkeypatch.setattr(model._vocabulary, "templates", {"default": family.template})
            given = (Given([*vocabulary.encode(reply), end]) for reply in written)
            monkeypatch.setattr(engine, "_sampler", lambda *args: Sampling(temperature=0, constraint=next(given)))
        return engine

    return play


@pytest.mark.parametrize("name", TEN)
async def test_an_agent_thinks_and_uses_two_tools_on_each_engine(play, name):
    engine = play(FAMILIES[name])
    agent, seen = agent_of(engine)
    async with agent.run("Somewhere warm, please.", stream=True) as stream:
        thinking = "".join([chunk.content async for chunk in stream if chunk.phase == "thinking"])
    assert stream.result == "It is booked."
    assert thinking == "".join(THOUGHTS)
    assert seen == [("Faro", 2), ("Faro", 'window, "quiet"')]
    messages = agent.model_client.messages
    assert [message["thinking"] for message in messages if message["role"] == "assistant"] == [*THOUGHTS]
    assert engine.prefix_cache.hits >= 2
