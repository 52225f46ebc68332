"""Images: from what a user gives to a content part whose media type is right. Nothing is fetched or resized.

Accepts a path (`str` or `os.PathLike`), `bytes`, an http(s) URL, a `data:` URL in any spelling, or a finished content
part. The bytes decide about the media type. Pillow, where it is installed, converts what a service does not accept.
"""

from __future__ import annotations

import base64
import io
import os
import re
import stat
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from aimu.errors import InvalidImageError

MAX_BYTES = 64 << 20
"""The size of the largest image that is read, in bytes; as base64 text it is larger than services accept."""

_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "image/tif": "image/tiff",
    "image/svg": "image/svg+xml",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/ico": "image/vnd.microsoft.icon",
}
# The brands of ISO base media files, https://github.com/mp4ra/mp4ra.github.io (read 2026-11-25).
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
}
_SVG = re.compile(rb"<svg[\s>]")
_HEAD = 4096  # bytes, or characters of base64, that tell the format
_SHOWN = 200  # characters of a path in an error text
_KEPT = 8 << 20  # characters of base64 up to which a converted picture is kept


def image_part(image: object, accepted: Collection[str] | None = None, who: str = "the model") -> dict[str, Any]:
    """Return an image as an `image_url` content part; local bytes become a data URL.

    Args:
        image: A path, bytes, an http(s) or `data:` URL, or an `image_url` part.
        accepted: The media types that the service accepts; None for all.
        who: The service, for errors.

    Raises:
        InvalidImageError: `image` is none of these, is not a regular file or cannot be read, has more than `MAX_BYTES`
            bytes, an unknown format, or one that the service does not accept and Pillow cannot convert.
    """
    if isinstance(image, Mapping):
        if image.get("type") != "image_url":
            raise InvalidImageError(
                f"an image given as a dict must have the type 'image_url', not {image.get('type')!r}"
            )
        if not url_of(image):
            raise InvalidImageError("an image given as a dict must have its URL under ['image_url']['url']")
        return accepted_part(dict(image), accepted, who)
    if isinstance(image, str) and re.match(r"https?://|data:", image, re.IGNORECASE):
        return accepted_part(_part(image), accepted, who)
    if isinstance(image, bytes | bytearray):
        return accepted_part(_part(_data_url(bytes(image), f"{len(image)} bytes")), accepted, who)
    if isinstance(image, str | os.PathLike):
        return accepted_part(_part(_data_url(*_read(image))), accepted, who)
    raise InvalidImageError(f"an image must be a path, bytes, an http(s) URL or a data URL, not {type(image).__name__}")


def accepted_part(part: dict[str, Any], accepted: Collection[str] | None, who: str) -> dict[str, Any]:
    """Return an `image_url` part with its data in a format that the service accepts; itself if it is right already.

    Raises:
        InvalidImageError: The data is not an image, or in a format that cannot be converted.
    """
    url = url_of(part)
    if url[:5].lower() != "data:":
        return part
    split = split_data_url(url)
    if split is None or not split[0].startswith("image/"):
        kind = split[0] if split is not None else ""
        raise InvalidImageError(f"a data URL must contain an image, not {kind or url[5:60]!r}")
    kind, body = split
    if accepted is not None and kind not in accepted:
        convert = _kept_as_png if len(body) <= _KEPT else _as_png
        kind, body = "image/png", convert(kind, body, who, ", ".join(accepted))
    right = f"data:{kind};base64,{body}"
    if right == url:
        return part
    image = part["image_url"]
    return {**part, "image_url": {**image, "url": right} if isinstance(image, Mapping) else right}


def url_of(part: Mapping[str, Any]) -> str:
    """Return the URL of an `image_url` part, which may be a string or stand in a dict; "" if there is none."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else ""


def media_type(content: bytes) -> str | None:
    """Return the media type of an image, or of a PDF, by its first bytes; None for other content."""
    for beginning, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"\0\0\1\0", "image/vnd.microsoft.icon"),
        (b"%PDF-", "application/pdf"),
    ):
        if content.startswith(beginning):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12])
    text = content[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    return "image/svg+xml" if text.startswith(b"<") and _SVG.search(text) else None


def split_data_url(url: str) -> tuple[str, str] | None:
    """Return the media type and the base64 text of a data URL, whatever its spelling; None for any other URL.

    The type is the one that the bytes have, else the declared one without parameters.

    Raises:
        InvalidImageError: The data is not base64 although the URL says so.
    """
    head, comma, body = url.partition(",")
    if not comma or head[:5].lower() != "data:":
        return None
    declared, *parameters = (part.strip().lower() for part in head[5:].split(";"))
    try:
        body = _clean(body) if "base64" in parameters else base64.b64encode(unquote_to_bytes(body)).decode()
        beginning = base64.b64decode(body[:_HEAD], validate=True)
    except ValueError as exc:  # binascii.Error, or UnicodeEncodeError for a lone surrogate
        raise InvalidImageError(f"the data of a data URL is not base64 or percent-encoded text: {exc}") from exc
    return media_type(beginning) or _ALIASES.get(declared, declared), body


def _clean(body: str) -> str:
    """Return base64 text in its usual alphabet, with its padding and without blanks; unchanged if it is that."""
    if "%" in body:
        body = unquote_to_bytes(body).decode("latin-1")
    if any(blank in body for blank in " \t\r\n"):
        body = "".join(body.split())
    if "-" in body or "_" in body:
        body = body.replace("-", "+").replace("_", "/")
    return body + "=" * (-len(body) % 4)


def _as_png(kind: str, body: str, who: str, accepted: str) -> str:
    """Return an image of a kind that `who` does not accept as PNG, in base64."""
    refusal = f"{who} does not accept an image of type {kind}, only {accepted}; convert it"
    try:
        from PIL import Image
    except ImportError as exc:
        raise InvalidImageError(f"{refusal}, or install Pillow to have it converted: `pip install pillow`") from exc
    converted = io.BytesIO()
    try:
        with Image.open(io.BytesIO(base64.b64decode(body))) as image:
            image.convert("RGBA").save(converted, "PNG")
    except Exception as exc:  # Pillow's plugins raise many kinds
        raise InvalidImageError(f"{refusal}: Pillow cannot ({type(exc).__name__}: {exc})") from exc
    return base64.b64encode(converted.getvalue()).decode()


_kept_as_png = lru_cache(maxsize=8)(_as_png)  # a picture in the history is converted for each request


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
        raise InvalidImageError(f"{name} is not an image in PNG, JPEG, GIF, WebP, BMP, TIFF, HEIC or AVIF format")
    if not kind.startswith("image/"):
        raise InvalidImageError(f"{name} is not an image, but {kind}")
    if len(content) > MAX_BYTES:
        raise InvalidImageError(f"{name} has more than {MAX_BYTES:,} bytes; send a smaller image, or its URL")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
