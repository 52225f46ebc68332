"""What servers return, as a model reads it."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

Content: TypeAlias = str | list[dict[str, Any]]


def content_of(result: Any) -> Content:
    """The content of a `CallToolResult`: text, or content parts where there are images among it.

    Structured content is given as JSON where there is no other. What a model cannot be shown is named.
    """
    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    if any(part["type"] == "image_url" for part in parts):
        return parts
    return "\n".join(part["text"] for part in parts)


def text_of(content: Content) -> str:
    """The text alone."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _part(block: Any) -> dict[str, Any]:
    """A content part of one block; https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result"""
    match block.type:
        case "text":
            return _text(block.text)
        case "image":
            return _image(block.mime_type, block.data)
        case "audio":
            return _text(f"[audio, {block.mime_type}, not shown]")
        case "resource_link":
            notes = [f"{block.title or block.name}: {block.uri}", block.description, block.mime_type]
            return _text("; ".join(str(note) for note in notes if note))
        case "resource":
            resource = block.resource
            if hasattr(resource, "text"):
                return _text(resource.text)
            if (resource.mime_type or "").startswith("image/"):
                return _image(resource.mime_type, resource.blob)
            return _text(f"[{resource.uri}, {resource.mime_type or 'binary'}, not shown]")
        case other:
            return _text(f"[{other}, not shown]")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(kind: str, base64: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64}"}}
