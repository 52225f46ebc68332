"""A server for the conformance suite of MCP: what its scenarios want, made with `serve_mcp`.

    python -m tests.conformance.server PORT

The names and texts are the suite's: https://github.com/modelcontextprotocol/conformance, read on 2026-11-26.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import anyio
from mcp_types import AudioContent, EmbeddedResource, TextResourceContents

from aimu.tools import Tool, current_call, serve_mcp

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
HEADERS = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "query": {"type": "string"}},
    "required": ["region"],
}


def embedded(uri: str) -> EmbeddedResource:
    text = "This is an embedded resource content."
    contents = TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=contents)


def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[Any]:
    """Return an image."""
    return [IMAGE]


def test_audio_content() -> AudioContent:
    """Return a sound."""
    return AudioContent(type="audio", data=WAV, mime_type="audio/wav")


def test_embedded_resource() -> EmbeddedResource:
    """Return a resource."""
    return embedded("test://embedded-resource")


def test_multiple_content_types() -> list[Any]:
    """Return a text, an image and a resource."""
    return ["Multiple content types test:", IMAGE, embedded("test://mixed-content-resource")]


def test_error_handling() -> str:
    """Fail."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def test_tool_with_logging() -> str:
    """Log while working."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        current_call().log(text)
        await anyio.sleep(0.05)
    return "done"


async def test_tool_with_progress() -> str:
    """Report progress while working."""
    for done in (0, 50, 100):
        current_call().progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(0.05)
    return "done"


def template(id: str) -> dict[str, Any]:
    """Return the data of an id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


def test_simple_prompt() -> str:
    """Return a text."""
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Return the arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(resourceUri: str) -> list[Any]:  # noqa: N803 - the suite's name
    """Return a resource and what to do with it."""
    request = "Please process the embedded resource above."
    return [{"role": "user", "content": [embedded(resourceUri)]}, {"role": "user", "content": request}]


def test_prompt_with_image() -> list[Any]:
    """Return an image and what to do with it."""
    return [{"role": "user", "content": [IMAGE, {"type": "text", "text": "Please analyze the image above."}]}]


def given(name: str, schema: dict[str, Any]) -> Tool:
    return Tool(name=name, function=lambda **_: "ok", description="Takes what its schema says.", parameters=schema)


server = serve_mcp(
    [
        test_simple_text,
        test_image_content,
        test_audio_content,
        test_embedded_resource,
        test_multiple_content_types,
        test_error_handling,
        test_tool_with_logging,
        test_tool_with_progress,
        given("json_schema_2020_12_tool", SCHEMA),
        given("test_custom_header", HEADERS),
    ],
    resources={
        "test://static-text": "This is the content of the static text resource.",
        "test://static-binary": base64.b64decode(PNG),
        "test://template/{id}/data": template,
    },
    prompts=[
        test_simple_prompt,
        test_prompt_with_arguments,
        test_prompt_with_embedded_resource,
        test_prompt_with_image,
    ],
)

if __name__ == "__main__":
    server.run(transport="http", port=int(sys.argv[1]), show_banner=False, log_level="CRITICAL")
