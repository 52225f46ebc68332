"""Images for models of transformers: what stands for an image in a prompt, and what a forward pass needs for it.

Each image is processed alone, and computed in a step of its own behind the states of what stands before it; so a
prefix with images is reused like any other. The tokens of an image are negative numbers made of its content, in prompts
and in the prefix cache: equal images have equal tokens, different ones never do. Imports torch, so only `_torch_model`
imports it, of which it knows the protocol `TextModel`.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, final

import torch
from attrs import define

from aimu.engines._pictures import Prompt, content_of_url, decoded
from aimu.engines._rounds import Steps, StopFlag, Stopped
from aimu.engines._torch_states import KVStates, moved
from aimu.errors import AimuError, BadRequestError, InvalidImageError

_KNOWN = 256
"""Number of images whose text and sizes are kept, so that an image in a reused prefix is not even decoded."""
_WIDTH = 1 << 32
"""More than an image has tokens: what a token of an image is divided by to get the number of the image."""
_CHECKED = "a b", " c d"
"""The text before and behind the image that the first check computes."""


@define(eq=False)
class Picture:
    """An image in a prompt.

    `spelling` stands for it in the text, with `count` placeholders of features; `facts` are the sizes that positions
    depend on, and `features` what the model computes it from, until that is done.
    """

    content: bytes
    key: str
    spelling: str
    count: int
    facts: Mapping[str, Any]
    features: Mapping[str, Any] | None = None

    @property
    def number(self) -> int:
        return int(self.key, 16)


class TextModel(Protocol):
    """What images need of the model whose prompts they are in."""

    model: Any
    """The model of transformers."""
    takes: frozenset[str]
    """The parameters of its `forward`."""
    sees: bool
    """Whether it has a part for images."""
    continues: bool
    """Whether it can compute a prompt in parts."""

    def encode(self, text: str) -> list[int]: ...

    def encode_rest(self, text: str, after: int) -> list[int] | None: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def tensor(self, values: Sequence[Sequence[int]]) -> Any: ...

    def new_states(self) -> KVStates: ...

    def advance(self, ids: Sequence[int], states: KVStates, end: int) -> Any: ...


def vision_of(model: TextModel, load_processor: Callable[[], Any], content: bytes) -> Vision | str:
    """Return what a model needs to see images, tried with an image; or say why it cannot see any."""
    if not model.sees:
        return "it takes text only"
    decoded(content)  # raises if the image or Pillow is at fault, not the model
    try:
        vision = Vision(model, load_processor())
        vision.check(content)
        return vision
    except AimuError:
        raise
    except Exception as exc:  # noqa: BLE001 - processors and models raise many kinds
        return " ".join(str(exc).split()) or type(exc).__name__


@final
class Vision:
    """What a model needs to see images; raises ValueError if it cannot.

    Args:
        model: The model of text, with its tokenizer.
        processor: Its processor of transformers.
    """

    def __init__(self, model: TextModel, processor: Any) -> None:
        self.model, self._processor = model, processor
        config = model.model.config
        name = type(model.model).__name__
        found = (getattr(config, field, None) for field in ("image_token_id", "image_token_index"))
        self.token: int | None = next((token for token in found if token is not None), None)
        self.mark: str | None = getattr(processor, "image_token", None)
        if "cross_attention_mask" in model.takes or self.token is None or self.mark is None:
            raise ValueError(f"{name} does not take an image as tokens of its prompt, and the engine takes no others")
        if not model.continues:
            raise ValueError(f"{name} computes a prompt in one pass only, and an image needs a pass of its own")
        self._key = re.compile(re.escape(self.mark) + "\0([0-9a-f]{32})\0")
        self._known: OrderedDict[str, Picture] = OrderedDict()
        self._kinds: tuple[str, ...] = ()
        owners: tuple[Any, ...] = (model.model, getattr(model.model, "model", None))
        self._rope = next((owner.get_rope_index for owner in owners if hasattr(owner, "get_rope_index")), None)
        self._rope_takes = frozenset(inspect.signature(self._rope).parameters) if self._rope else frozenset()

    def look(self, prompt: str, urls: Sequence[str], stopped: StopFlag) -> Steps[Prompt]:
        """Process the images of a prompt, and yield between two of them; raise Stopped once `stopped()` is true."""
        marks = prompt.count(self.mark or "")
        if marks != len(urls):
            raise BadRequestError(
                f"the prompt has {marks} times {self.mark!r}, which stands for an image, but {len(urls)} images; "
                "take it out of the text, or give fewer images if the chat template shows only some"
            )
        pictures: list[Picture] = []
        for url in urls:
            if stopped():
                raise Stopped
            pictures.append(self._picture(content_of_url(url)))
            yield _next_image
        before, *behind = prompt.split(self.mark or "")
        keyed = "".join(f"{self.mark}\0{picture.key}\0{text}" for picture, text in zip(pictures, behind, strict=True))
        return Pictures(self, pictures).prompt(before + keyed)

    def check(self, content: bytes) -> None:
        """Raise ValueError unless text, an image and text give the same in steps as in one pass."""
        picture = self._picture(content)
        prompt = _CHECKED[0] + (self.mark or "") + _CHECKED[1]
        pictures = Pictures(self, [picture])
        seen = pictures.prompt(f"{_CHECKED[0]}{self.mark}\0{picture.key}\0{_CHECKED[1]}")
        ids, states = seen.encode(seen.text), self.model.new_states()
        whole = self._processed(prompt, content)
        if self.real(ids) != whole["input_ids"][0].tolist():
            raise ValueError("its processor makes other tokens of an image between texts than of the image alone")
        seen.bind(states, ids)
        logits: Any = None
        for end in (_first_of_image(ids, 0, len(ids)), len(ids) - 1, len(ids)):
            logits = self.model.advance(ids, states, end)
        inputs = {name: value for name, value in whole.items() if name in self.model.takes}
        expected = self.model.model(**self._moved(inputs), use_cache=False).logits[:, -1]
        allowed = max(torch.finfo(logits.dtype).eps ** 0.5, 1e-3) * float(expected.abs().max())
        if not torch.allclose(logits, expected, rtol=0, atol=allowed):
            raise ValueError("it computes other results for an image behind known text than for the whole prompt")

    def _picture(self, content: bytes) -> Picture:
        key = hashlib.sha256(content).hexdigest()[:32]
        known = self._known.get(key)
        if known is None:
            known = self._seen(content, key)
            self._known[key] = Picture(b"", key, known.spelling, known.count, known.facts)
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
            return known
        self._known.move_to_end(key)
        return Picture(content, key, known.spelling, known.count, known.facts)

    def _seen(self, content: bytes, key: str) -> Picture:
        found = self._processed(self.mark or "", content)
        ids = found["input_ids"][0].tolist()
        spelling = self.model.decode(ids)
        if self.model.encode(spelling) != ids or self.token not in ids:
            raise InvalidImageError(f"{type(self._processor).__name__} writes an image in tokens that have no text")
        kinds = [name for name in found if name.endswith("token_type_ids")]
        self._kinds = tuple(name for name in kinds if name in self.model.takes and bool(found[name].any()))
        own = {name: value for name, value in found.items() if name not in (*kinds, "input_ids", "attention_mask")}
        features = {name: value for name, value in own.items() if name in self.model.takes}
        facts = {name: value for name, value in own.items() if name in self._rope_takes}
        return Picture(content, key, spelling, ids.count(self.token), facts, features)

    def _processed(self, text: str, content: bytes) -> Mapping[str, Any]:
        image = decoded(content)
        try:
            found: Mapping[str, Any] = self._processor(
                text=[text], images=[image], add_special_tokens=False, return_tensors="pt"
            )
            return found
        except AimuError:
            raise
        except Exception as exc:  # code of a model's own; an image of odd proportions raises ValueError
            raise InvalidImageError(
                f"{type(self._processor).__name__} cannot process an image of {image.width} x {image.height} pixels: "
                f"{exc}"
            ) from exc

    def features_of(self, picture: Picture) -> Mapping[str, Any]:
        """Return what the model computes a picture from, on its device; the picture forgets it."""
        features = picture.features
        if features is None:
            features = self._seen(picture.content, picture.key).features or {}
        picture.features = None
        return self._moved(features)

    def kinds(self, ids: Sequence[int]) -> dict[str, Any]:
        """Return the arguments of `forward` that tell which tokens, from the first of all, are an image's."""
        kinds = self.model.tensor([[int(token < 0) for token in ids]])
        return dict.fromkeys(self._kinds, kinds)

    def positions(self, ids: Sequence[int], pictures: Sequence[Picture]) -> tuple[Any, int]:
        """Return positions of several dimensions, shape (3, 1, tokens), and what those of later tokens are behind.

        None and 0 for a model that counts the tokens of an image like any other.
        """
        if self._rope is None:
            return None, 0
        # On the CPU: the models look at each token, and a GPU would be waited for each time.
        kinds = torch.tensor([[int(token < 0) for token in ids]])
        given = {
            "input_ids": torch.tensor([self.real(ids)]),
            "mm_token_type_ids": kinds,
            "attention_mask": torch.ones_like(kinds),
        }
        for name in pictures[0].facts:
            given[name] = torch.cat([picture.facts[name] for picture in pictures])
        positions, behind = self._rope(**{name: value for name, value in given.items() if name in self._rope_takes})
        return moved(positions, self.model.model.device), int(behind.flatten()[0])

    def keys(self, text: str) -> list[str]:
        """Return the keys of the images in the text of a prompt."""
        return self._key.findall(text)

    def spelled(self, text: str, pictures: Mapping[str, Picture]) -> str:
        """Return the text of a prompt with what stands for each image, by its key."""
        spelled: str = self._key.sub(lambda found: pictures[found[1]].spelling, text)
        return spelled

    def real(self, ids: Sequence[int]) -> list[int]:
        """Return the tokens that the model knows."""
        return [self._real(token) for token in ids]

    def _real(self, token: int) -> int:
        return (self.token or 0) if token < 0 else token

    def _moved(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        model = self.model.model
        return {
            name: moved(value, model.device, model.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }


@final
class Pictures:
    """The images of one request, in the order of its prompt."""

    def __init__(self, vision: Vision, pictures: Sequence[Picture]) -> None:
        self._vision, self._pictures = vision, pictures
        self._of = {picture.key: picture for picture in pictures}
        self._numbered = {picture.number: picture for picture in pictures}
        self._positions: Any = None

    def prompt(self, text: str) -> Prompt:
        """Return the prompt; `text` names each image by its key."""
        return Prompt(text, self._encode, self._encode_rest, self._bind, self._release)

    def step(self, ids: Sequence[int], begin: int, end: int) -> tuple[list[int], dict[str, Any]]:
        """As `ImagesOfPrompt.step`; a step has at most one image, and that whole."""
        inputs: dict[str, Any] = {}
        first = _first_of_image(ids, begin, end)
        if first < end:
            picture = self._numbered[_number(ids[first])]
            behind = ids.index(_token(picture, picture.count - 1), first) + 1
            end = _first_of_image(ids, behind, max(behind, end))
            inputs = {**self._vision.features_of(picture), **self._vision.kinds(ids[:end])}
        if self._positions is not None:
            inputs["position_ids"] = self._positions[:, :, begin:end]
        return self._vision.real(ids[begin:end]), inputs

    def _bind(self, states: KVStates, ids: Sequence[int]) -> None:
        if ids[-1] < 0:
            raise BadRequestError("the prompt ends with an image; put a text behind it")
        self._positions, shift = self._vision.positions(ids, self._pictures)
        states.pictures, states.shift = self, shift

    def _release(self, states: KVStates) -> None:
        states.pictures, states.shift = None, 0

    def _encode(self, text: str) -> list[int]:
        return self._tokens(text, self._vision.model.encode) or []

    def _encode_rest(self, text: str, after: int) -> list[int] | None:
        known = self._vision.real([after])[0]
        return self._tokens(text, lambda rest: self._vision.model.encode_rest(rest, known))

    def _tokens(self, text: str, encode: Callable[[str], list[int] | None]) -> list[int] | None:
        """Encode a text with images, and replace the token of each feature by one of its image's own."""
        found = [self._of[key] for key in self._vision.keys(text)]
        ids = encode(self._vision.spelled(text, self._of))
        if ids is None:
            return None
        own = [_token(picture, index) for picture in found for index in range(picture.count)]
        places = [place for place, token in enumerate(ids) if token == self._vision.token]
        if len(places) != len(own):
            raise BadRequestError(
                f"the text has {len(places) - len(own)} tokens that stand for images beside those of its images; take "
                f"{self._vision.model.decode([self._vision.token or 0])!r} out of it"
            )
        for place, token in zip(places, own, strict=True):
            ids[place] = token
        return ids


def _next_image() -> None:
    """Other requests take a step before the next image is processed."""


def _token(picture: Picture, index: int) -> int:
    return -(picture.number * _WIDTH + index + 1)


def _number(token: int) -> int:
    return (-token - 1) // _WIDTH


def _first_of_image(ids: Sequence[int], begin: int, end: int) -> int:
    return next((place for place in range(begin, end) if ids[place] < 0), end)
