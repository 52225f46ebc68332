"""Requests to the tiny model, for the tests of engines."""

import base64
from contextlib import aclosing

from aimu._core.reply import Delta
from aimu.providers._base import Request


def tool(name, **kinds):
    properties = {key: {"type": kind} for key, kind in kinds.items()}
    parameters = {"type": "object", "properties": properties, "required": list(kinds)}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": parameters}}


TOOLS = [tool("add", a="integer", b="integer"), tool("get_weather", city="string")]
STORY = [{"role": "user", "content": "Tell me a story."}]


def user(text):
    return {"role": "user", "content": text}


def part(content):
    """Return the bytes of an image as a content part."""
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(content).decode()}"}}


def show(*parts):
    """Return a user message of texts and images."""
    content = [{"type": "text", "text": it} if isinstance(it, str) else part(it) for it in parts]
    return {"role": "user", "content": content}


def ask(*messages, tools=(), **options):
    return Request(messages=[user(m) if isinstance(m, str) else m for m in messages], tools=tools, options=options)


async def streamed(engine, request):
    """Stream a request; return its deltas and its reply, which must agree."""
    async with aclosing(engine.stream(request)) as pieces:
        *deltas, reply = [piece async for piece in pieces]
    assert all(type(delta) is Delta for delta in deltas)
    for phase, text in (("generating", reply.text), ("thinking", reply.thinking)):
        assert "".join(delta.text for delta in deltas if delta.phase == phase) == text
    return deltas, reply
