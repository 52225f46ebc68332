"""Content of this library as content blocks of MCP, the inverse of `aimu.aio._mcp.results`."""

from __future__ import annotations

from typing import Any

from aimu._core.images import split_data_url, url_of
from aimu._core.surrogates import whole
from aimu.tools._toolbox import Content, content_of, is_parts


def blocks_of(result: Any) -> list[Any]:
    """Return what a function returned as content blocks; blocks of `mcp_types` stay, alone or among parts."""
    items = result if isinstance(result, list) else [result]
    if any(map(is_block, items)):
        return [block for item in items for block in ([item] if is_block(item) else _blocks(item))]
    return _blocks(result)


def is_block(item: Any) -> bool:
    """Return whether something is a content block of `mcp_types`."""
    from mcp_types import AudioContent, EmbeddedResource, ImageContent, ResourceLink, TextContent

    return isinstance(item, TextContent | ImageContent | AudioContent | EmbeddedResource | ResourceLink)


def text_block(text: str) -> Any:
    """Return a text as a block, with a replacement for each half surrogate."""
    from mcp_types import TextContent

    return TextContent(type="text", text=whole(text))


def _blocks(result: Any) -> list[Any]:
    parts = [result] if isinstance(result, dict) and is_parts([result]) else result
    content: Content = content_of(parts)
    return [text_block(content)] if isinstance(content, str) else list(map(_block, content))


def _block(part: dict[str, Any]) -> Any:
    from mcp_types import ImageContent

    if part["type"] == "text":
        return text_block(part["text"])
    url = url_of(part)
    split = split_data_url(url)
    return text_block(url) if split is None else ImageContent(type="image", mime_type=split[0], data=split[1])
