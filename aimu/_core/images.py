"""Images: from what a user gives to a content part. Nothing is fetched, decoded or resized.

Accepts a path (`str` or `os.PathLike`), `bytes`, an http(s) URL, a `data:` URL, or a finished content part.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from typing import Any

from aimu.errors import InvalidImageError

MAX_BYTES = 64 << 20
"""The size of the largest image that is read, in bytes; as base64 text it is larger than services accept."""

_HEAD = 16  # bytes that tell the format
_SHOWN = 200  # characters of a path in an error text


def image_part(image: object) -> dict[str, Any]:
    """Return an image as an `image_url` content part; local bytes become a data URL.

    Args:
        image: A path, bytes, an http(s) or `data:` URL, or an `image_url` part.

    Raises:
        InvalidImageError: `image` is none of these, is not a regular file or cannot be read, has an unknown format, or
            has more than `MAX_BYTES` bytes.
    """
    if isinstance(image, Mapping):
        if image.get("type") != "image_url":
            raise InvalidImageError(
                f"an image given as a dict must have the type 'image_url', not {image.get('type')!r}"
            )
        if not url_of(image):
            raise InvalidImageError("an image given as a dict must have its URL under ['image_url']['url']")
        return dict(image)
    if isinstance(image, str) and image.startswith(("http://", "https://", "data:image/")):
        return _part(image)
    if isinstance(image, str) and image.startswith("data:"):
        raise InvalidImageError(f"a data URL must contain an image, not {image[5:].partition(',')[0]!r}")
    if isinstance(image, bytes | bytearray):
        return _part(_data_url(bytes(image), f"{len(image)} bytes"))
    if isinstance(image, str | os.PathLike):
        return _part(_data_url(*_read(image)))
    raise InvalidImageError(f"an image must be a path, bytes, an http(s) URL or a data URL, not {type(image).__name__}")


def url_of(part: Mapping[str, Any]) -> str:
    """Return the URL of an `image_url` part, which may be a string or stand in a dict; "" if there is none."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else ""


def media_type(content: bytes) -> str | None:
    """Return the media type of an image (PNG, JPEG, GIF, WebP or BMP) by its first bytes; None for other content."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content.startswith(b"BM"):
        return "image/bmp"
    return None


def split_data_url(url: str) -> tuple[str, str] | None:
    """Return the media type and the base64 text of a base64 data URL; None for any other URL."""
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    return head[len("data:") : -len(";base64")], body


def _read(path: str | os.PathLike[Any]) -> tuple[bytes, str]:
    """Return the content of a file, only its beginning if it is not an image or too large, and its name for errors."""
    name = repr(os.fspath(path)[:_SHOWN])
    try:
        content = _beginning(path)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise InvalidImageError(f"cannot read the image {name}: {getattr(exc, 'strerror', None) or exc}") from exc
    if content is None:
        raise InvalidImageError(f"cannot read the image {name}: it is not a regular file")
    return content, name


def _beginning(path: str | os.PathLike[Any]) -> bytes | None:
    # Opening a pipe would wait for its writer, and opening a device may do anything.
    if not stat.S_ISREG(os.stat(path).st_mode):
        return None
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced since
            return None
        content = file.read(_HEAD)
        return content if media_type(content) is None else content + file.read(MAX_BYTES + 1 - len(content))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _data_url(content: bytes, name: str) -> str:
    kind = media_type(content)
    if kind is None:
        raise InvalidImageError(f"{name} is not an image in PNG, JPEG, GIF, WebP or BMP format")
    if len(content) > MAX_BYTES:
        raise InvalidImageError(f"{name} has more than {MAX_BYTES:,} bytes; send a smaller image, or its URL")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
