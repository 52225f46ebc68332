"""A history as a template reads it: the plan says what the template takes, and the messages are made so.

Owns the shape only; which plan fits a template is found in `probing`. The history itself is never changed. An image
becomes a part without its data, where the template writes the placeholder of its model.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from attrs import frozen

from aimu._core.images import url_of
from aimu._core.messages import Message, content_of
from aimu.engines._formats.marks import CallMarks, Syntax
from aimu.engines._formats.values import loads
from aimu.errors import InvalidImageError

GENERIC = CallMarks(syntax=Syntax.JSON, opening=("<tool_call>\n",), closing=("\n</tool_call>",))
"""How calls are written as text for a template that knows none."""
_PART, _INLINE = "content part", "content"
IMAGE = f"\0{secrets.token_hex(8)}\0"
"""Stands for an image in the text of a message until the message is finished; no text can have it by chance."""


@final
@frozen(kw_only=True)
class Switch:
    """What turns thinking on and off: a variable with two values, or a text in the message of `role`.

    `UNSET` leaves the variable out. `weak` tells that off only means less.
    """

    on: Any
    off: Any
    variable: str = ""
    role: str = ""
    weak: bool = False


UNSET = "\x00unset"


@final
@frozen(kw_only=True)
class Plan:
    """What a template takes, and what it does not show.

    `arguments` are an object or text. `calls` are several in a message, single ones, or text in the content, written
    with `marks`. `results` is the role of tool results. `ids` are short, or hold the function's name. `tools_as` is
    the variable that takes the tools, and `functions` tells that they are the bare functions, as JSON text.
    Thinking goes under the key `thinking`, or into the content between the marks `inline`. Text is a list of `parts`
    where the template reads no other content; `images` tells that it writes something for an image.
    """

    system: bool = True
    merge: bool = False
    parts: bool = False
    images: bool = False
    arguments: str = "object"
    empty: str | None = ""
    ids: str = "short"
    calls: str = "several"
    marks: CallMarks = GENERIC
    results: str = "tool"
    split_text: bool = False
    thinking: str | None = None
    inline: tuple[str, str] = ("<think>", "</think>")
    tools_as: str = "tools"
    functions: bool = False
    switch: Switch | None = None
    lost: frozenset[str] = frozenset()


THINKING_KEYS = ("reasoning_content", "reasoning", "thinking", "thought", _PART)


def variables_of(plan: Plan, tools: Sequence[Any], thinking: bool | None) -> dict[str, Any]:
    """The template's variables for the tools and the wanted thinking."""
    variables: dict[str, Any] = {"tools": list(tools) or None}
    if tools and plan.functions:
        functions = [tool.get("function", tool) for tool in tools]
        variables = {"tools": list(tools), plan.tools_as: json.dumps(functions, ensure_ascii=False, indent=4)}
    elif tools and plan.tools_as != "tools":
        variables[plan.tools_as] = list(tools)
    switch = plan.switch
    if thinking is not None and switch is not None and switch.variable:
        value = switch.on if thinking else switch.off
        if value != UNSET:
            variables[switch.variable] = value
    return variables


def shaped(history: Sequence[Message], plan: Plan, thinking: bool | None = None) -> list[Message]:
    """The messages that the template gets; new ones, which it may change."""
    messages = [_plain(message) for message in _images_of_tools_behind(history)]
    if thinking is not None and plan.switch is not None and plan.switch.role:
        messages = _switched(messages, plan.switch, thinking)
    if not plan.system:
        messages = _without_system(messages)
    if plan.calls == "text":
        messages = [_with_text_calls(message, plan) for message in messages]
    elif plan.calls == "single":
        messages = [*_single_calls(messages)]
    if plan.results != "tool":
        messages = [_as_user(message) for message in messages]
    if plan.split_text:
        messages = [part for message in messages for part in _split(message)]
    numbers: dict[str, str] = {}
    messages = [_finished(message, plan, numbers) for message in messages]
    if plan.merge:
        messages = _merged(messages)
    return [_in_parts(message, plan) for message in messages]


def images_of(history: Iterable[Message]) -> list[str]:
    """The URLs of all images, in the order in which a template comes to them."""
    messages = _images_of_tools_behind(history)
    return [url_of(part) for message in messages for part in content_of(message) if part["type"] == "image_url"]


def _images_of_tools_behind(history: Iterable[Message]) -> Iterable[Message]:
    """Images of tool results in a user message behind the results: templates take only text from a tool."""
    pictures: list[Any] = []
    for message in history:
        if message["role"] == "tool" and not isinstance(message["content"], str):
            pictures += [part for part in content_of(message) if part["type"] == "image_url"]
            yield {**message, "content": [part for part in message["content"] if part["type"] != "image_url"]}
            continue
        if pictures and message["role"] != "tool":
            yield {"role": "user", "content": pictures}
            pictures = []
        yield message
    if pictures:
        yield {"role": "user", "content": pictures}


def _plain(message: Message) -> Message:
    """What every template knows: role, text, thinking, calls, and the name and id of a result."""
    content = message.get("content")
    text = content if isinstance(content, str) else "".join(_text(part) for part in content or ())
    plain: Message = {"role": message["role"], "content": text}
    for key in ("thinking", "tool_calls", "tool_call_id", "name"):
        if message.get(key) and (key != "name" or message["role"] == "tool"):
            plain[key] = message[key]
    return plain


def _text(part: Mapping[str, Any]) -> str:
    if part["type"] == "image_url":
        return IMAGE
    if part["type"] != "text":
        raise InvalidImageError(f"this engine takes text and images: it cannot take a content part {part['type']!r}")
    text: str = part["text"]
    return text


def _in_parts(message: Message, plan: Plan) -> Message:
    """The content as a list of parts, if there is an image or the template reads nothing else."""
    content = message["content"]
    if not isinstance(content, str) or not (plan.parts or IMAGE in content):
        return message
    parts: list[Any] = []
    for index, text in enumerate(content.split(IMAGE)):
        parts += [{"type": "image"}] if index else []
        parts += [{"type": "text", "text": text}] if text else []
    return {**message, "content": parts}


def _switched(messages: list[Message], switch: Switch, thinking: bool) -> list[Message]:
    word = switch.on if thinking else switch.off
    if switch.role == "system" and not (messages and messages[0]["role"] == "system"):
        return [{"role": "system", "content": word}, *messages]
    last = max((index for index, message in enumerate(messages) if message["role"] == switch.role), default=None)
    if last is None:
        return messages
    changed = {**messages[last], "content": f"{messages[last]['content']} {word}"}
    return [*messages[:last], changed, *messages[last + 1 :]]


def _without_system(messages: list[Message]) -> list[Message]:
    if not messages or messages[0]["role"] != "system":
        return messages
    system, *rest = messages
    for index, message in enumerate(rest):
        if message["role"] == "user":
            content = f"{system['content']}\n\n{message['content']}"
            return [*rest[:index], {**message, "content": content}, *rest[index + 1 :]]
    return [{**system, "role": "user"}, *rest]


def _single_calls(messages: list[Message]) -> Iterable[Message]:
    """Each call in a message of its own, with its result behind it."""
    results = {message["tool_call_id"]: message for message in messages if message["role"] == "tool"}
    split: set[str] = set()
    for message in messages:
        calls = message.get("tool_calls") or []
        if len(calls) < 2:
            if message["role"] != "tool" or message["tool_call_id"] not in split:
                yield message
            continue
        for index, call in enumerate(calls):
            split.add(call["id"])
            first = message if index == 0 else {"role": "assistant", "content": ""}
            yield {**first, "tool_calls": [call]}
            if call["id"] in results:
                yield results[call["id"]]


def _with_text_calls(message: Message, plan: Plan) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return message
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    written = write_calls(plan.marks, [(call["function"]["name"], call["function"]["arguments"]) for call in calls])
    return {**rest, "content": "\n".join(filter(None, (message["content"], written)))}


def _as_user(message: Message) -> Message:
    if message["role"] != "tool":
        return message
    return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}


def _split(message: Message) -> list[Message]:
    """The text in a message before that with the calls."""
    if not message.get("tool_calls") or not message["content"].strip():
        return [message]
    return [{"role": "assistant", "content": message["content"]}, {**message, "content": ""}]


def _finished(message: Message, plan: Plan, numbers: dict[str, str]) -> Message:
    """Thinking under its key, arguments and ids in their form."""
    message = dict(message)
    thinking = message.pop("thinking", "")
    calls = message.get("tool_calls")
    if calls:
        message["tool_calls"] = [_call(call, plan, numbers) for call in calls]
        if not message["content"]:
            message["content"] = plan.empty
    if "tool_call_id" in message:
        identity = message["tool_call_id"]
        message["tool_call_id"] = numbers.get(identity) or short_id(identity)
    if not thinking or plan.thinking is None:
        return message
    if plan.thinking == _PART:
        text = [{"type": "text", "text": message["content"]}] if message["content"] else []
        message["content"] = [{"type": "thinking", "thinking": thinking}, *text]
    elif plan.thinking == _INLINE:
        opening, closing = plan.inline
        message["content"] = f"{opening}\n{thinking}\n{closing}\n\n{message['content'] or ''}"
    else:
        message[plan.thinking] = thinking
    return message


def _call(call: Mapping[str, Any], plan: Plan, numbers: dict[str, str]) -> Message:
    name, text = call["function"]["name"], call["function"]["arguments"] or "{}"
    identity = short_id(call["id"]) if plan.ids == "short" else f"functions.{name}:{len(numbers)}"
    numbers[call["id"]] = identity
    arguments: Any = text
    if plan.arguments == "object":
        arguments = loads(text)
        if not isinstance(arguments, dict):
            arguments = {"arguments": text}  # badly written ones: templates take objects only
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def short_id(identity: str) -> str:
    """Nine letters and digits, which is what Mistral's templates demand."""
    if re.fullmatch("[A-Za-z0-9]{9}", identity):
        return identity
    return base64.b32encode(hashlib.sha256(identity.encode()).digest())[:9].decode()


def _merged(messages: list[Message]) -> list[Message]:
    """Neighbours of one role as one message, where text is all they have."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last["role"] == message["role"] in ("user", "assistant")
            and not last.get("tool_calls")
            and isinstance(last["content"], str)
            and isinstance(message["content"], str)
        ):
            text = "\n\n".join(filter(None, (last["content"], message["content"])))
            merged[-1] = {**last, **message, "content": text}
        else:
            merged.append(message)
    return merged


def write_calls(marks: CallMarks, calls: Sequence[tuple[str, str]]) -> str:
    """The text of calls, each a name and arguments as JSON text, as a model with these marks writes it."""
    if marks.syntax is Syntax.PYTHON:
        body = ", ".join(f"{name}({_python(_object(arguments))})" for name, arguments in calls)
        return "".join(marks.opening) + f"[{body}]" + "".join(marks.closing)
    return "".join(_written(marks, name, arguments) for name, arguments in calls)


def _written(marks: CallMarks, name: str, arguments: str) -> str:
    before = "".join(mark if mark != "*" else "id0000001" for mark in marks.opening) + marks.prefix
    after = "".join(marks.closing)
    if marks.syntax is Syntax.JSON:
        value = loads(arguments)
        keys = marks.name_key or "name", marks.arguments_key or "arguments"
        return before + _dumps({keys[0]: name, keys[1]: value if isinstance(value, dict) else arguments}) + after
    ident = f"{marks.ident}id0000001" if marks.ident else ""
    if marks.syntax is Syntax.NAMED:
        body = _bare(_object(arguments), marks.quote) if marks.quote else arguments
        return before + name + ident + marks.naming + body + after
    pairs = (
        marks.key[0] + key + marks.key[1] + marks.value[0] + text + marks.value[1].replace("*", key)
        for key, value in _object(arguments).items()
        for text in [value if isinstance(value, str) else _dumps(value)]
    )
    return before + name + ident + marks.naming + "".join(pairs) + after


def _object(arguments: str) -> dict[str, Any]:
    value = loads(arguments)
    return value if isinstance(value, dict) else {"arguments": arguments}


def _python(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in values.items())


def _bare(value: Any, quote: str) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_bare(item, quote)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_bare(item, quote) for item in value) + "]"
    return f"{quote}{value}{quote}" if isinstance(value, str) else _dumps(value)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
