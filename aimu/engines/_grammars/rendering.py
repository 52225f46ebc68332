"""What a chat template writes for a message of the model, seen in small conversations that it renders."""

from __future__ import annotations

import json
from typing import Any

from aimu._core.messages import Message
from aimu.engines._formats.chat_format import ChatFormat
from aimu.errors import AimuError

NAME, KEY, VALUE = "probe_name", "probe_key", "probe value"
ARGUMENTS = json.dumps({KEY: VALUE})
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Probe.",
        "parameters": {"type": "object", "properties": {KEY: {"type": "string"}}, "required": [KEY]},
    },
}


def said(text: str = "", *, thought: str = "", calls: int = 0) -> Message:
    """Return a message of the model."""
    message: Message = {"role": "assistant", "content": text}
    if thought:
        message["thinking"] = thought
    if calls:
        function = {"name": NAME, "arguments": ARGUMENTS}
        message["tool_calls"] = [{"id": f"probe000{n}", "type": "function", "function": function} for n in range(calls)]
    return message


def rendered(form: ChatFormat, message: Message) -> str:
    """Return what the template writes from the prompt on that the message answers; "" if it refuses it."""
    asked: list[Message] = [{"role": "user", "content": "probe"}]
    results: list[Message] = [
        {"role": "tool", "tool_call_id": call["id"], "content": "result"} for call in message.get("tool_calls", ())
    ]
    try:
        prompt = form.render(asked, tools=[TOOL])
        text = form.render([*asked, message, *results], tools=[TOOL])
    except AimuError:
        return ""
    start = next((at for at, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), len(prompt))
    while 0 < start < len(prompt) and not text[start - 1].isspace() and text[start - 1] != ">":
        start -= 1  # the prompt goes on with a mark that begins alike
    return text[start:]
