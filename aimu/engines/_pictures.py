"""The prompt of a request as its engine takes it, and the images of a request: decoded within bounds.

Owns what Pillow may be asked to do with a stranger's bytes. Runs in the engine's thread; knows no model.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from typing import Any, final

from attrs import frozen

from aimu._core.escaping import escaping
from aimu._core.images import MAX_BYTES, split_data_url, url_of
from aimu._core.messages import Message
from aimu.errors import InvalidImageError, MissingExtraError

MAX_PIXELS = 80_000_000
"""The size of the largest image that is decoded, in pixels; as RGB it takes 240 MB."""

# Raster formats only: others of Pillow's start programs or read further files.
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "BMP", "DIB", "TIFF", "ICO", "AVIF", "HEIF")

_KNOWN = 256
_faults: dict[bytes, str] = {}

log = escaping(logging.getLogger("aimu.engines"))


def _unbound(*_: object) -> None:
    """Text needs nothing but its tokens."""


@final
@frozen
class Prompt:
    """A prompt with the functions that make tokens of it; see `PrefixCache.take`.

    `text` names each image by its content, so that two prompts are equal only as far as their images are. `bind` takes
    the states that are going to grow along the prompt, and its tokens; `release` takes the states when they have grown.
    """

    text: str
    encode: Callable[[str], list[int]]
    encode_rest: Callable[[str, int], list[int] | None]
    bind: Callable[[Any, Sequence[int]], None] = _unbound
    release: Callable[[Any], None] = _unbound


def without_faulty(messages: Sequence[Message], blind: str) -> list[Message]:
    """Return a history in which images of tools that cannot be shown are texts that say so: the model can go on.

    Args:
        messages: The history.
        blind: Why no image can be shown; "" if only the image itself can be at fault.
    """
    return [
        {**message, "content": [_shown(part, blind) for part in message["content"]]}
        if message["role"] == "tool" and not isinstance(message["content"], str)
        else message
        for message in messages
    ]


def _shown(part: Any, blind: str) -> Any:
    if part.get("type") != "image_url":
        return part
    why = blind
    try:
        content = b"" if why else content_of_url(url_of(part))
        why = why or _fault(hashlib.sha256(content).digest(), content)
    except InvalidImageError as exc:
        why = str(exc)
    if not why:
        return part
    log.warning("a picture of a tool is left out: %s", why)
    return {"type": "text", "text": f"(a picture is left out: {why})"}


def _fault(digest: bytes, content: bytes) -> str:
    """Say why an image cannot be decoded; remembered, since a history is shown again and again."""
    if digest not in _faults:
        try:
            decoded(content)
            _faults[digest] = ""
        except InvalidImageError as exc:
            _faults[digest] = str(exc)
        while len(_faults) > _KNOWN:
            _faults.pop(next(iter(_faults)), None)
    return _faults.get(digest, "")


def content_of_url(url: str) -> bytes:
    """Return the bytes of an image; raise InvalidImageError if the URL does not hold them."""
    split = split_data_url(url)
    if split is None:
        raise InvalidImageError(
            f"the model runs in this process, which does not fetch images; give a path or bytes instead of {url[:80]!r}"
        )
    if len(split[1]) // 4 * 3 > MAX_BYTES:
        raise InvalidImageError(f"an image has more than {MAX_BYTES:,} bytes; send a smaller one")
    try:
        return base64.b64decode(split[1], validate=True)
    except ValueError as exc:
        raise InvalidImageError(f"the data of an image is not base64: {exc}") from exc


def decoded(content: bytes) -> Any:
    """Return an image of Pillow, upright and in RGB, as transformers' own loader makes it; the first of an animation.

    Raises:
        InvalidImageError: The bytes are not an image that Pillow knows, are cut off, or have too many pixels.
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as exc:
        raise MissingExtraError("PIL", "hf") from exc
    Image.init()
    try:
        with Image.open(io.BytesIO(content), formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InvalidImageError(
                    f"an image has {width:,} x {height:,} pixels, more than {MAX_PIXELS:,}; send a smaller one"
                )
            upright = ImageOps.exif_transpose(image)
            # Pillow warns of a palette with transparency unless it becomes RGBA first.
            return (upright.convert("RGBA") if upright.mode == "P" else upright).convert("RGB")
    except InvalidImageError:
        raise
    except UnidentifiedImageError as exc:  # its text names an object in memory
        raise InvalidImageError("an image cannot be decoded: its data is in no format that Pillow reads") from exc
    except Exception as exc:  # Pillow's plugins raise many kinds
        raise InvalidImageError(f"an image cannot be decoded: {type(exc).__name__}: {exc}") from exc
