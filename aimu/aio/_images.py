"""The images of a message: read and encoded in worker threads, so that the event loop and its deadlines go on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from anyio import to_thread

from aimu._core.images import image_part, url_of
from aimu.errors import InvalidImageError

MAX_CHARACTERS = 512 << 20
"""How many characters all images of a message may have as URLs: more than any service accepts."""

_SMALL = 1 << 16  # bytes that are encoded in less time than a thread takes to begin


async def image_parts(
    images: Iterable[Any], accepted: Collection[str] | None = None, who: str = "the model"
) -> list[dict[str, Any]]:
    """Return images as content parts, as `image_part` does one by one.

    A cancellation takes effect at once; a thread that waits for a slow disk is left behind.

    Raises:
        InvalidImageError: An item is not an image that can be sent, or all of them together are too large.
    """
    made = partial(image_part, accepted=accepted, who=who)
    parts: list[dict[str, Any]] = []
    size = 0
    for image in images:
        if _is_costly(image):
            part = await to_thread.run_sync(made, image, abandon_on_cancel=True)
        else:
            part = made(image)
        size += len(url_of(part))
        if size > MAX_CHARACTERS:
            raise InvalidImageError(f"the images have more than {MAX_CHARACTERS:,} characters as URLs; send fewer")
        parts.append(part)
    return parts


def _is_costly(image: Any) -> bool:
    """Return whether reading, decoding or converting an image takes long: all but URLs and small images."""
    if isinstance(image, bytes | bytearray):
        return len(image) > _SMALL
    url = url_of(image) if isinstance(image, Mapping) else image
    if isinstance(url, str) and url[:5].lower() == "data:":
        return len(url) > _SMALL
    return isinstance(image, os.PathLike) or (
        isinstance(image, str) and not image.lower().startswith(("http://", "https://"))
    )
