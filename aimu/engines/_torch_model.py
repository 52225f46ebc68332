"""Runs a causal language model of transformers, tokens in and tokens out: loading, prefill, decoding, sampling, states.

Imports torch, so only `_huggingface`, when it loads weights, and `_torch_batch` import it. Runs in the engine's thread;
knows no messages, options or requests. Does not support beam search.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast, final

import torch
import transformers
from tokenizers.decoders import DecodeStream

from aimu.engines._pictures import Prompt, content_of_url
from aimu.engines._rounds import Steps, StopFlag
from aimu.engines._seams import Seams
from aimu.engines._torch_load import load, load_processor
from aimu.engines._torch_probe import cache_argument, check_cache, check_windows, continues
from aimu.engines._torch_states import KVStates, moved
from aimu.engines._torch_vision import Vision, vision_of
from aimu.engines._torch_vocabulary import vocabulary_of
from aimu.errors import InvalidImageError

if TYPE_CHECKING:
    from aimu.engines._grammars.constraint import Constraint
    from aimu.engines._grammars.vocabulary import Vocabulary

PREFILL_SLICE = 512
"""Number of prompt tokens computed between two checks of the stop flag."""

NO_ODDS = "the odds of the next token are not numbers; check the options of sampling"

_CONTEXT = "max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len", "context_length"
"""Fields of a configuration, of which it has one or none, that tell how many tokens the model takes."""

# The field of GenerationConfig, its processor, and the value that has no effect, in the order of `generate`.
_PROCESSORS: tuple[tuple[str, Any, Any], ...] = (
    ("repetition_penalty", transformers.RepetitionPenaltyLogitsProcessor, 1.0),
    ("no_repeat_ngram_size", transformers.NoRepeatNGramLogitsProcessor, 0),
    ("suppress_tokens", transformers.SuppressTokensLogitsProcessor, []),
)
_WARPERS: tuple[tuple[str, Any, Any], ...] = (
    ("temperature", transformers.TemperatureLogitsWarper, 1.0),
    ("top_k", transformers.TopKLogitsWarper, 0),
    ("top_p", transformers.TopPLogitsWarper, 1.0),
    ("min_p", transformers.MinPLogitsWarper, 0.0),
    ("typical_p", transformers.TypicalLogitsWarper, 1.0),
    ("epsilon_cutoff", transformers.EpsilonLogitsWarper, 0.0),
    ("eta_cutoff", transformers.EtaLogitsWarper, 0.0),
)


@final
class Sampler:
    """Picks the next token; raises ValueError if a setting is invalid.

    Args:
        settings: A GenerationConfig. Without `do_sample` the likeliest token is picked.
        device: The device of the logits.
        seed: Seed of the request's own random generator. None: torch's global generator.
        presence: Subtracted once from the logits of each token that the answer contains.
        frequency: Subtracted for each occurrence of a token in the answer.
        constraint: Allows some of the tokens only. None: all are allowed.
    """

    def __init__(
        self,
        settings: Any,
        device: Any,
        *,
        seed: int | None = None,
        presence: float = 0.0,
        frequency: float = 0.0,
        constraint: Constraint | None = None,
    ) -> None:
        self._sampling = bool(settings.do_sample)
        self._processors = _built(_PROCESSORS, settings)
        self._warpers = _built(_WARPERS, settings) if self._sampling else []
        self._penalties = presence, frequency
        self._generator = None if seed is None else torch.Generator(device).manual_seed(seed)
        self._counts: Any = None
        self._ids: Any = None
        self._constraint = constraint

    def start(self, ids: Sequence[int], device: Any) -> None:
        """Remember the prompt, which some processors need."""
        if self._processors:
            self._ids = torch.tensor([ids], device=device)

    def __call__(self, logits: Any) -> Any:
        """Return the next token, shape (1, 1), for logits of shape (1, vocabulary)."""
        allowed = None if self._constraint is None else limits(self._constraint, logits)
        if self._processors or self._warpers or self._counts is not None or any(self._penalties):
            logits = self._processed(logits.float(), allowed)
        elif allowed is not None:
            logits = torch.minimum(logits.float(), allowed)
        if self._sampling:
            token = self._drawn(torch.softmax(logits.float(), dim=-1))
        else:
            token = logits.argmax(dim=-1, keepdim=True)
        if self._processors:
            self._ids = torch.cat([self._ids, token], dim=-1)
        if self._counts is not None:
            self._counts[0, token[0]] += 1
        return token

    def _drawn(self, odds: Any) -> Any:
        """Return a token drawn by its odds, or -1 if they are not numbers.

        On a GPU, `multinomial` would wait for its check of the odds; here they go the way of the token itself.
        """
        if odds.device.type == "cpu":
            return torch.multinomial(odds, 1, generator=self._generator)
        token = (odds / torch.empty_like(odds).exponential_(generator=self._generator)).argmax(dim=-1, keepdim=True)
        return torch.where(odds.sum(dim=-1, keepdim=True).isfinite(), token, -1)

    def _processed(self, scores: Any, allowed: Any) -> Any:
        own = scores
        for processor in self._processors:
            scores = processor(self._ids, scores)
        presence, frequency = self._penalties
        if presence or frequency:
            if self._counts is None:
                self._counts = torch.zeros_like(scores)
            scores = scores - presence * (self._counts > 0) - frequency * self._counts
        if allowed is not None:
            scores = torch.minimum(scores, allowed)
            if torch.isneginf(scores).all():  # a processor has ruled out all tokens that are allowed
                scores = torch.minimum(own, allowed)
        for warper in self._warpers:
            scores = warper(self._ids, scores)
        return scores


def limits(constraint: Constraint, logits: Any) -> Any:
    """Return upper limits of logits, of the same shape: minus infinity for tokens that are not allowed."""
    if logits.device.type == "cpu":
        found = torch.from_numpy(constraint.limits())[None]
    else:  # the bits are a thirty-second of the limits to move
        bits = torch.from_numpy(constraint.bits()).to(logits.device)
        found = _limits_on(logits.device).index_select(0, bits.int()).view(1, -1)
    found = found[:, : logits.shape[-1]]
    missing = logits.shape[-1] - found.shape[-1]
    return torch.nn.functional.pad(found, (0, missing), value=-torch.inf) if missing else found


@cache
def _limits_on(device: Any) -> Any:
    from aimu.engines._grammars.constraint import LIMITS

    return torch.from_numpy(LIMITS).to(device)


def _built(table: Any, settings: Any) -> list[Any]:
    found = ((make, getattr(settings, field, None), idle) for field, make, idle in table)
    return [make(value) for make, value, idle in found if value is not None and value != idle]


@final
class Detokenizer:
    """Turns each next token into its text; "" while a character is incomplete."""

    def __init__(self, tokenizer: Any, dropped: frozenset[int]) -> None:
        self._tokenizer, self._dropped = tokenizer, dropped
        self._stream: Any = DecodeStream(skip_special_tokens=False) if tokenizer.is_fast else None
        self._ids: list[int] = []
        self._shown = self._before = 0

    def __call__(self, token: int) -> str:
        if token in self._dropped:
            return ""
        if self._stream is None:
            return self._by_difference(token)
        try:
            text = self._stream.step(self._tokenizer.backend_tokenizer, token)
        # It raises plain Exception at invalid UTF-8, and is unusable then; another fault comes again from a new one.
        except Exception:  # noqa: BLE001
            self._stream = DecodeStream(skip_special_tokens=False)
            text = self._stream.step(self._tokenizer.backend_tokenizer, token)
        return text or ""

    def _by_difference(self, token: int) -> str:
        """Decode with and without the new token, and return the difference; for tokenizers written in Python."""
        self._ids.append(token)
        before = self._tokenizer.decode(self._ids[self._before : self._shown])
        text = cast(str, self._tokenizer.decode(self._ids[self._before :]))
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._before, self._shown = self._shown, len(self._ids)
        return text[len(before) :]


@final
class TorchModel:
    """Weights and tokenizer of the folder or hub id `source`; `kwargs` are those of `from_pretrained`."""

    def __init__(self, source: str, *, device: str, dtype: str, threads: int | None, kwargs: Mapping[str, Any]) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        model, self.tokenizer = load(source, dtype=dtype, kwargs=kwargs)
        if "device_map" not in kwargs:
            model = model.to(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.model = model.eval()
        sizes = (getattr(model.config.get_text_config(), name, None) for name in _CONTEXT)
        self.context: int | None = next((size for size in sizes if size), None)
        self._end_ids = _ends(model, self.tokenizer)
        self.ends: Container[int] = self._end_ids
        tokenizer, added = self.tokenizer, frozenset(self.tokenizer.added_tokens_decoder)
        self._seams = Seams(partial(_encode, tokenizer), partial(_decode, tokenizer), added.__contains__)
        self.takes = takes = frozenset(inspect.signature(model.forward).parameters)
        self._cache_argument = cache_argument(model, takes)
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._processor = partial(load_processor, source, model.config, kwargs)
        self._vision: Vision | str | None = None  # a text says why there is none
        self.sees: bool = any("pixel" in name for name in takes)
        self.continues = True
        with self.inference():
            check_cache(model, self.new_states, self.extend)
            if not self.new_states().plain:
                self.continues = continues(self.new_states, self.extend, model.device)
        check_windows(model, self.new_states().cache)

    @property
    def templates(self) -> Mapping[str, str]:
        """As `LanguageModel.templates`."""
        template = self.tokenizer.chat_template or {}
        return {"default": template} if isinstance(template, str) else template

    @property
    def variables(self) -> Mapping[str, str]:
        """As `LanguageModel.variables`."""
        return cast(Mapping[str, str], self.tokenizer.special_tokens_map)

    def encode(self, text: str) -> list[int]:
        return _encode(self.tokenizer, text)

    def encode_rest(self, text: str, after: int) -> list[int] | None:
        """As `LanguageModel.encode_rest`."""
        return self._seams.encode_rest(text, after)

    def decode(self, ids: Sequence[int]) -> str:
        """Turn tokens into text, special tokens included."""
        return _decode(self.tokenizer, ids)

    def detokenizer(self, shown: Callable[[str], bool]) -> Detokenizer:
        special = zip(self.tokenizer.all_special_ids, self.tokenizer.all_special_tokens, strict=True)
        return Detokenizer(self.tokenizer, frozenset(token for token, text in special if not shown(text)))

    def vocabulary(self, shown: Callable[[str], bool]) -> Vocabulary:
        """As `LanguageModel.vocabulary`."""
        return vocabulary_of(self.tokenizer, self._end_ids, self.model.config.get_text_config().vocab_size, shown)

    def new_states(self) -> KVStates:
        return KVStates(self.model.config, continues=self.continues)

    settings_fields = ("do_sample", *(field for field, _, _ in (*_PROCESSORS, *_WARPERS)))
    """Fields of a generation config that a sampler honours."""

    def settings(self) -> Any:
        """Return a copy of the model's own generation config, to be changed."""
        return copy.deepcopy(self.model.generation_config)

    def sampler(self, settings: Any, **kwargs: Any) -> Sampler:
        return Sampler(settings, self.model.device, **kwargs)

    def inference(self) -> AbstractContextManager[Any]:
        return cast(AbstractContextManager[Any], torch.inference_mode())

    def forward(self, step: Any, cache: Any, **kwargs: Any) -> Any:
        """Return the logits after `step`, shape (batch, vocabulary), for token ids of shape (batch, tokens)."""
        kwargs[self._cache_argument] = cache
        output = self.model(input_ids=step, use_cache=True, **self._last_only, **kwargs)
        return output.logits[:, -1]

    def extend(self, step: Any, states: KVStates, **inputs: Any) -> Any:
        """Append the states of `step`, shape (1, tokens); return the logits after it, shape (1, vocabulary)."""
        length = states.length + step.shape[-1]
        # As `generate` does; models count for themselves in different ways.
        if "position_ids" in self.takes and "position_ids" not in inputs:
            inputs["position_ids"] = torch.arange(states.length, length, device=step.device)[None] + states.shift
        logits = self.forward(step, states.cache, **inputs)
        states.length = length
        return logits

    def advance(self, ids: Sequence[int], states: KVStates, end: int) -> Any:
        """Append the states of the next tokens of a prompt, up to `end` or so that images are whole; see `extend`."""
        step, inputs = ids[len(states) : end], dict[str, Any]()
        if states.pictures is not None:
            step, inputs = states.pictures.step(ids, len(states), end)
        return self.extend(self.tensor([step]), states, **inputs)

    def real(self, ids: Sequence[int]) -> Sequence[int]:
        """Return tokens with the model's own token in the place of each feature of an image."""
        return ids if self._vision is None or isinstance(self._vision, str) else self._vision.real(ids)

    def tensor(self, values: Sequence[Sequence[int]]) -> Any:
        """Return a tensor of integers on the model's device."""
        return moved(torch.tensor([list(row) for row in values]), self.model.device)

    def look(self, prompt: str, urls: Sequence[str], stopped: StopFlag) -> Steps[Prompt]:
        """As `LanguageModel.look`."""
        return (yield from self._sight(urls[0]).look(prompt, urls, stopped))

    def tokens(self, ids: list[int], states: KVStates, sampler: Sampler, stopped: StopFlag) -> Generator[int]:
        """Generate tokens; see `LanguageModel.tokens`."""
        sampler.start(self.real(ids), self.model.device)
        most = PREFILL_SLICE if self.continues else len(ids)
        step: Any = None
        while not stopped():
            if step is None:
                logits = self.advance(ids, states, min(len(ids), len(states) + most))
            else:
                logits = self.extend(step, states)
            if len(states) < len(ids):
                continue
            step = sampler(logits)
            token = checked(int(step))  # the only time that a GPU is waited for
            ids.append(token)
            yield token

    def _sight(self, url: str) -> Vision:
        """Return what the model needs to see images; look for it when the first one comes, and try it with that."""
        if self._vision is None:
            self._vision = vision_of(self, self._processor, content_of_url(url))
        if isinstance(self._vision, str):
            raise InvalidImageError(f"this engine cannot show images to {type(self.model).__name__}: {self._vision}")
        return self._vision


def checked(token: int) -> int:
    """Return a token that was drawn; raise ValueError if its odds were not numbers."""
    if token < 0:
        raise ValueError(NO_ODDS)
    return token


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _decode(tokenizer: Any, ids: int | Sequence[int]) -> str:
    return cast(str, tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    own = model.generation_config.eos_token_id
    ends = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id}
    return frozenset(ends - {None})
