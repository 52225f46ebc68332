"""The results of MCP servers as content for a model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

Content: TypeAlias = str | list[dict[str, Any]]


def result_content(result: Any) -> Content:
    """Return the content of a `CallToolResult`: text, or a list of content parts if it has images.

    If there is only structured content, return it as JSON. Content that a model cannot read is replaced by a note.
    """
    if not result.content and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return blocks_content(result.content)


def blocks_content(blocks: Iterable[Any]) -> Content:
    """Return the content of content blocks."""
    return _joined([_part(block) for block in blocks])


def resource_content(contents: Iterable[Any]) -> Content:
    """Return the content of the parts of a resource."""
    return _joined([_resource(part) for part in contents])


def _joined(parts: list[dict[str, Any]]) -> Content:
    if any(part["type"] == "image_url" for part in parts):
        return parts
    return "\n".join(part["text"] for part in parts)


_SILENT = "the tool failed and does not say why"


def failure_text(content: Content) -> str:
    """Return why a call failed, as its content says."""
    if isinstance(content, str):
        return content or _SILENT
    return "\n".join(part["text"] for part in content if part["type"] == "text") or _SILENT


def marked_as_error(content: Content) -> Content:
    """Return the content of a failed call, which begins with the word that the results of failed tools begin with."""
    if isinstance(content, str):
        return f"Error: {content or _SILENT}"
    return [_text("Error:"), *content]


def _part(block: Any) -> dict[str, Any]:
    """Return one block as a content part.

    Format: https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result
    """
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
            return _resource(block.resource)
        case other:
            return _text(f"[{other}, not shown]")


def _resource(resource: Any) -> dict[str, Any]:
    if hasattr(resource, "text"):
        return _text(resource.text)
    if (resource.mime_type or "").startswith("image/"):
        return _image(resource.mime_type, resource.blob)
    return _text(f"[{resource.uri}, {resource.mime_type or 'binary'}, not shown]")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(kind: str, base64: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64}"}}
