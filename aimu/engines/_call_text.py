"""Tool calls in the text of a local model: which formats there are, and readers that take the calls out at any cut.

Owns the text of calls only; thinking and stop strings are `chat_format`'s. Does not check arguments: a malformed call
is a call with the raw text as its arguments, so that whoever runs it can tell the model.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, cast

from aimu._core.reply import UNKNOWN_NAME, ToolCall

_NAME = re.compile(r'"name"\s*:\s*"([^"\\]+)"')
_READABLE = re.compile(r"[\w.:/-]+")
_QUOTE = re.compile(r'\\.|(")', re.DOTALL)
_XML_CALL = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_XML_ARGUMENT = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?(?:</parameter>|\Z)", re.DOTALL)
_MISTRAL_CALL = re.compile(r"\s*([\w.-]+)\s*(?:\[CALL_ID\][^\[]*)?\[ARGS\]")
_CALL_KEYS = ("name", "type", "id", "function", "parameters", "arguments")
_BLANKS = " \t\r\n"
_ID_CHARACTERS = string.ascii_letters + string.digits


class CallFormat(StrEnum):
    """How a model writes tool calls.

    HERMES (Qwen too): `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, or Qwen-Coder's XML between the tags.
    MISTRAL: `[TOOL_CALLS][{...}, ...]` or `[TOOL_CALLS]name[ARGS]{...}`. JSON (Llama 3): the whole answer is
    `{"name": ..., "parameters": {...}}` or an array of such.
    """

    HERMES = "hermes"
    MISTRAL = "mistral"
    JSON = "json"


def call_format(template: str) -> CallFormat:
    """The format that a chat template shows to the model."""
    if "<tool_call>" in template:
        return CallFormat.HERMES
    return CallFormat.MISTRAL if "[TOOL_CALLS]" in template else CallFormat.JSON


def call_id() -> str:
    """A new id; nine letters and digits, which is what Mistral's templates demand."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(9))


class CallReader(ABC):
    """Takes the calls out of an answer. `feed` and `finish` return the text that is none; blanks around calls go."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]]) -> None:
        self._tools = tools
        self._held = ""
        self.calls: list[ToolCall] = []

    @abstractmethod
    def feed(self, text: str) -> str: ...

    @abstractmethod
    def finish(self) -> str: ...

    def _add(self, body: str) -> None:
        """One call whose text is `body`, whatever it is."""
        if _XML_CALL.match(body.strip()):
            for name, text in _XML_CALL.findall(body):
                self._append(name, json.dumps(self._typed(name, text), ensure_ascii=False))
        elif not self._add_object(loads(body)):
            guess = _NAME.search(body)
            name = guess[1] if guess and _READABLE.fullmatch(guess[1]) else UNKNOWN_NAME
            self._append(name, body.strip())

    def _add_object(self, value: Any) -> bool:
        """Whether `value` is a call, or a list of them."""
        found = [_call_of(item) for item in (value if isinstance(value, list) and value else [value])]
        calls = [call for call in found if call is not None]
        if len(calls) < len(found):
            return False
        for name, arguments in calls:
            self._append(name, arguments)
        return True

    def _append(self, name: str, arguments: str) -> None:
        self.calls.append(ToolCall(call_id(), name, arguments))

    def _typed(self, name: str, text: str) -> dict[str, Any]:
        """Arguments written as XML have no types of their own: what is no string by the schema is read as JSON."""
        properties = (self._tools.get(name, {}).get("parameters") or {}).get("properties") or {}
        arguments: dict[str, Any] = dict(_XML_ARGUMENT.findall(text))
        for key, value in arguments.items():
            types = _types(properties.get(key))
            if "string" not in types or (value.strip() == "null" and "null" in types):
                arguments[key] = loads(value, value)
        return arguments


class _TaggedCalls(CallReader):
    """Text up to an opening tag, a call up to its closing tag, and so on."""

    _opening, _closing = "<tool_call>", "</tool_call>"
    _inside = _trim = False

    def feed(self, text: str) -> str:
        self._held += text
        said: list[str] = []
        while self._step(said):
            pass
        return "".join(said)

    def _step(self, said: list[str]) -> bool:
        """Go past one tag; False when there is none yet."""
        if self._inside:
            end = self._end()
            if end >= 0:
                self._add(self._held[:end])
                self._held, self._inside = self._held[end + len(self._closing) :], False
                self._trim = True
            return end >= 0
        if self._trim:
            self._held = self._held.lstrip(_BLANKS)
            self._trim = not self._held
        before, opened, rest = self._held.partition(self._opening)
        if opened:
            said.append(before.rstrip(_BLANKS))
            self._held, self._inside = rest, True
            return True
        body = before[: len(before) - overlap(before, self._opening)].rstrip(_BLANKS)
        said.append(body)
        self._held = before[len(body) :]
        return False

    def _end(self) -> int:
        """Where the call ends: a tag inside a JSON string is a part of the string."""
        at = self._held.find(self._closing)
        if self._held.lstrip(_BLANKS).startswith("<"):
            return at
        while at >= 0 and _ends_in_string(self._held[:at]):
            at = self._held.find(self._closing, at + 1)
        return at

    def finish(self) -> str:
        held, self._held = self._held, ""
        if not self._inside:
            return held
        body, closed, rest = held.partition(self._closing)
        self._add(body)
        if not closed:
            return ""
        self._inside, self._trim = False, True  # a lost quote hid the closing tag: the rest is read for itself
        return self.feed(rest) + self.finish()


class _MistralCalls(CallReader):
    """Everything behind the first mark is calls."""

    _opening = "[TOOL_CALLS]"
    _inside = False

    def feed(self, text: str) -> str:
        self._held += text
        if self._inside:
            return ""
        before, opened, rest = self._held.partition(self._opening)
        self._inside = bool(opened)
        if opened:
            self._held = rest
            return before.rstrip(_BLANKS)
        body = before[: len(before) - overlap(before, self._opening)].rstrip(_BLANKS)
        self._held = before[len(body) :]
        return body

    def finish(self) -> str:
        held, self._held = self._held, ""
        if not self._inside:
            return held
        for body in filter(str.strip, self._bodies(held)):
            named = _MISTRAL_CALL.match(body)
            if named:
                self._append(named[1], body[named.end() :].strip() or "{}")
            else:
                self._add(body)
        return ""

    def _bodies(self, held: str) -> Iterator[str]:
        """The text behind each mark; a mark inside a JSON string is a part of the string."""
        pieces = held.split(self._opening)
        while pieces:
            size = 1
            for count in range(1, len(pieces) + 1):
                body = self._opening.join(pieces[:count])
                if not _ends_in_string(body):
                    named = _MISTRAL_CALL.match(body)
                    size = count if loads(body[named.end() :] if named else body) is not None else 1
                    break
            yield self._opening.join(pieces[:size])
            del pieces[:size]


class _JsonCalls(CallReader):
    """An answer that is nothing but JSON and names an offered tool."""

    _tag = "<|python_tag|>"
    _decided = False

    def feed(self, text: str) -> str:
        self._held += text
        if not self._decided and self._may_be_call():
            return ""
        self._decided = True
        said, self._held = self._held, ""
        return said

    def _may_be_call(self) -> bool:
        """Never true of a text whose beginning it was not true of, so that the cut does not matter."""
        text = self._held.lstrip(_BLANKS)
        if self._tag.startswith(text) or text.startswith(self._tag):
            return True
        head = "".join(text[:64].split()).removeprefix("[")
        begins = [f'{{"{key}":' for key in _CALL_KEYS]
        if text[0] not in "[{" or not any(head.startswith(begin) or begin.startswith(head) for begin in begins):
            return False
        name = _NAME.search(text)
        return name is None or name[1] in self._tools

    def finish(self) -> str:
        held, self._held = self._held, ""
        text = held.strip(_BLANKS)
        if self._decided or not text:
            return held
        tagged = text.startswith(self._tag)
        rest = self._leading_calls(text.removeprefix(self._tag))
        if self.calls:
            return rest
        name = _NAME.search(text)
        if tagged or (name is not None and name[1] in self._tools and loads(text) is None):
            self._add(rest)  # meant as a call, and broken
            return ""
        return held

    def _leading_calls(self, text: str) -> str:
        """Take calls from the front, with blanks, commas or semicolons between them; what is left."""
        while text := text.lstrip(_BLANKS + ",;"):
            try:
                value, end = json.JSONDecoder(strict=False).raw_decode(text)
            except (ValueError, RecursionError):
                break
            calls = [_call_of(item) for item in (value if isinstance(value, list) else [value])]
            if not calls or any(call is None or call[0] not in self._tools for call in calls):
                break
            self._add_object(value)
            text = text[end:]
        return text


READERS: Mapping[CallFormat, Callable[[Mapping[str, Mapping[str, Any]]], CallReader]] = {
    CallFormat.HERMES: _TaggedCalls,
    CallFormat.MISTRAL: _MistralCalls,
    CallFormat.JSON: _JsonCalls,
}


def _call_of(value: Any) -> tuple[str, str] | None:
    """`(name, arguments as JSON text)` of a JSON value that is a call."""
    if not isinstance(value, dict):
        return None
    call = cast(dict[str, Any], value)
    inner = call.get("function")
    if isinstance(inner, dict):
        call = cast(dict[str, Any], inner)
    name = call.get("name") or inner
    if not isinstance(name, str):
        return None
    arguments = call.get("arguments", call.get("parameters"))
    if arguments is None:
        return name, "{}"
    return name, arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _types(schema: Any) -> set[str]:
    """The JSON types that a schema names."""
    if not isinstance(schema, Mapping):
        return set()
    named = schema.get("type") or ()
    options = schema.get("anyOf") or schema.get("oneOf") or ()
    return {named} if isinstance(named, str) else {*named}.union(*map(_types, options))


def _ends_in_string(text: str) -> bool:
    """Whether the end of a JSON text lies inside a string."""
    return sum(map(bool, _QUOTE.findall(text))) % 2 == 1


def loads(text: str, default: Any = None) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):  # a model that repeats itself nests without an end
        return default


def overlap(text: str, tag: str) -> int:
    """Length of the end of `text` that may be the beginning of `tag`."""
    for size in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
