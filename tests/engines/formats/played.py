"""A local model that plays back replies, its tokens being characters: engine, template and reader are the real ones."""

from contextlib import nullcontext
from typing import final

from aimu.engines._local import LocalEngine
from aimu.models._spec import ModelSpec

END = 0x10FFFF


class Length:
    """States that are only counted."""

    shortest, nbytes = 0, 0

    def __init__(self, length=0):
        self.length = length

    def __len__(self):
        return self.length

    def crop(self, length):
        self.length = length

    def copy(self, length):
        return Length(length)


class PlayedModel:
    """Writes one of `replies` after the other."""

    ends, context = frozenset([END]), None

    def __init__(self, template, replies):
        self.templates = {"default": template} if isinstance(template, str) else template
        self.variables = {"bos_token": "", "eos_token": ""}
        self.replies, self.prompts = iter(replies), []

    def encode(self, text):
        return [*map(ord, text)]

    def encode_rest(self, text, after):
        return self.encode(text)

    def decode(self, ids):
        return "".join(chr(token) for token in ids if token != END)

    def detokenizer(self, shown):
        return chr

    def new_states(self):
        return Length()

    def inference(self):
        return nullcontext()

    def tokens(self, ids, states, sampler, stopped):
        self.prompts.append(self.decode(ids))
        for token in [*map(ord, next(self.replies)), END]:
            if stopped():
                return
            states.length = len(ids)
            ids.append(token)
            yield token


@final
class PlayedEngine(LocalEngine):
    extra, packages, distributions = "none", (), ()

    def __init__(self, template, replies, *, tool_format=None):
        self.played = PlayedModel(template, replies)
        spec = ModelSpec("played", "hf")
        super().__init__(spec, lazy=False, prefix_cache_bytes=1 << 20, tool_format=tool_format, batch=1)

    def _load(self, stopped):
        return self.played

    def _rows(self, model):
        raise ValueError("a played model has no batches")

    def _sampler(self, model, options, constraint):
        return None
