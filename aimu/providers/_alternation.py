"""The order of roles: merges what a history has side by side, where servers and chat templates want turns to alternate.

Pure; changes the messages of a request, never the history. An agent asks again after an empty answer, a tool's picture
follows its result, and a new turn follows one that failed behind its tools.
"""

from __future__ import annotations

import re
from typing import Any

# Mistral's models want an answer between a tool's result and the next user message: the service and its tokenizer
# refuse it with "Unexpected role 'user' after role 'tool'" (mistralai/mistral-vibe#578, read 2026-11-25), and the
# templates of its weights, which others serve, with "conversation roles must alternate".
_ANSWERS_TOOLS = re.compile(r"mistral|mixtral|ministral|magistral|devstral|codestral|pixtral|voxtral", re.IGNORECASE)
_BRIDGE = "(to be continued)"


def answers_tools(model: str) -> bool:
    """Return whether a model wants an answer between a tool's result and the next user message."""
    return _ANSWERS_TOOLS.search(model) is not None


def alternated(messages: list[dict[str, Any]], *, bridge: bool) -> list[dict[str, Any]]:
    """Return messages in OpenAI's shape with adjacent messages of the user, and of the assistant, merged.

    Args:
        messages: The messages, which are not changed.
        bridge: Whether to put an assistant message between a tool's result and a user message.
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        last = turns[-1] if turns else {"role": None}
        same = last["role"] == message["role"]
        if same and (message["role"] == "user" or (message["role"] == "assistant" and last.keys() <= _PLAIN)):
            turns[-1] = {**message, "content": _joined(last["content"], message["content"])}
            continue
        if bridge and message["role"] == "user" and last["role"] == "tool":
            turns.append({"role": "assistant", "content": _BRIDGE})
        turns.append(message)
    return turns


_PLAIN = {"role", "content"}


def _joined(first: Any, second: Any) -> Any:
    """Join two contents: two texts are a text again, which every server reads."""
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
