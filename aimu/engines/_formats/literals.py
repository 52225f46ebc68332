"""Calls and values as Python writes them, and objects with bare keys: a small parser that takes what models write.

Owns text that is complete; where it ends is found before. Raises ValueError, and nothing else, where it is none of it.
"""

from __future__ import annotations

import re
from typing import Any, final

from aimu._core.json_text import DEPTH
from aimu.engines._formats.values import Tools, dumps, plain_name, properties_of

_STRINGS = {quote: re.compile(rf"[^\\{quote}]*+(?:\\.[^\\{quote}]*+)*+{quote}", re.DOTALL) for quote in "'\""}
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\s,:=()\[\]{}\"']+")
_BARE = re.compile(r"[^,()\[\]{}]*")
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]++|(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?)")
_LONGEST = 3000  # characters of a number, also of a hexadecimal one: Python writes no integer of more than 4300 digits
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": ""}


def python_calls(text: str, tools: Tools) -> list[tuple[str, str]]:
    """`(name, arguments as JSON text)` of `name(key=value)`, several of them, or a list."""
    parser = _Parser(text, "")
    calls = []
    parser.skip("[")
    while parser.rest() and not parser.skip("]"):
        name = plain_name(parser.word(), tools)
        positional, named = parser.arguments()
        keys = [key for key in properties_of(name, tools) if key not in named]
        if len(positional) == 1 and not named and isinstance(positional[0], dict) and len(keys) != 1:
            named = positional[0]
        elif len(positional) <= len(keys):
            named = dict(zip(keys, positional, strict=False)) | named
        else:
            raise ValueError("more values than the tool has arguments")
        calls.append((name, dumps(named)))
        while parser.skip(",") or parser.skip(";"):
            pass
    if parser.rest() or not calls:
        raise ValueError("text behind the calls")
    return calls


def bare_object(text: str, quote: str) -> dict[str, Any]:
    """An object whose keys are bare and whose strings stand between `quote` marks."""
    parser = _Parser(text, quote)
    value = parser.value(0)
    if parser.rest() or not isinstance(value, dict):
        raise ValueError("not one object")
    return value


def python_object(text: str) -> Any:
    """The value of text with single quotes, as Python prints lists and objects; None where it is none."""
    try:
        return python_value(text) if "'" in text else None
    except (ValueError, RecursionError):
        return None


def python_value(text: str) -> Any:
    """A list or object as Python prints it."""
    parser = _Parser(text, "")
    value = parser.value(0)
    if parser.rest():
        raise ValueError("text behind the value")
    return value


@final
class _Parser:
    def __init__(self, text: str, quote: str) -> None:
        self._text, self._quote = text, quote
        self._at = 0

    def rest(self) -> bool:
        self._blanks()
        return self._at < len(self._text)

    def skip(self, sign: str) -> bool:
        self._blanks()
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) if found else 0
        return found

    def word(self) -> str:
        self._blanks()
        return self._match(_WORD)

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        if not self.skip("("):
            raise ValueError("no arguments")
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while not self.skip(")"):
            key = self._key("=")
            if key is None:
                positional.append(self.value(0))
            else:
                named[key] = self.value(0)
            if not self.skip(",") and not self._text.startswith(")", self._at):
                raise ValueError("no comma")
        return positional, named

    def value(self, depth: int) -> Any:
        self._blanks()
        first = self._text[self._at : self._at + 1]
        if depth >= DEPTH and first in ("{", "[", "("):
            raise ValueError("nested too deep")
        if self._quote and self._text.startswith(self._quote, self._at):
            return self._quoted()
        if first == "{":
            return self._object(depth)
        if first in ("[", "("):
            return self._list(depth, "]" if first == "[" else ")")
        if first in ('"', "'"):
            text = self._string()
            while self._peek() in ('"', "'"):  # as Python joins them
                text += self._string()
            return text
        return self._plain()

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        found: dict[str, Any] = {}
        while not self.skip("}"):
            key = self._key(":")
            if key is None:
                raise ValueError("no key")
            found[key] = self.value(depth + 1)
            if not self.skip(",") and self._peek() != "}":
                raise ValueError("no comma")
        return found

    def _list(self, depth: int, end: str) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while not self.skip(end):
            found.append(self.value(depth + 1))
            if not self.skip(",") and self._peek() != end:
                raise ValueError("no comma")
        return found

    def _key(self, sign: str) -> str | None:
        """The key before `sign`, which is taken too; None where a value comes next."""
        self._blanks()
        start = self._at
        first = self._text[start : start + 1]
        try:
            if self._quote and self._text.startswith(self._quote, start):
                key = self._quoted()
            else:
                key = self._string() if first in ('"', "'") and sign == ":" else self._match(_WORD)
        except ValueError:
            self._at = start
            return None
        if self.skip(sign):
            return key
        self._at = start
        return None

    def _quoted(self) -> str:
        start = self._at + len(self._quote)
        end = self._text.find(self._quote, start)
        if end < 0:
            raise ValueError("a string without an end")
        self._at = end + len(self._quote)
        return self._text[start:end]

    def _string(self) -> str:
        end = _STRINGS[self._text[self._at]].match(self._text, self._at + 1)
        if end is None:
            raise ValueError("a string without an end")
        body = self._text[self._at + 1 : end.end() - 1]
        self._at = end.end()
        return _ESCAPE.sub(_unescaped, body)

    def _plain(self) -> Any:
        """A number, a constant, or words without quotes."""
        text = self._match(_BARE).strip()
        lower = text.lower()
        if lower in _CONSTANTS:
            return _CONSTANTS[lower]
        if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
            if not text or not self._quote:
                raise ValueError("no value")
            return text
        if lower.startswith(("0x", "-0x", "+0x")):
            return int(text, 16)
        number = float(text.replace("_", ""))
        return int(text) if re.fullmatch(r"[-+]?[\d_]+", text) else number

    def _peek(self) -> str:
        self._blanks()
        return self._text[self._at : self._at + 1]

    def _blanks(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None or not found[0]:
            raise ValueError("nothing there")
        self._at = found.end()
        return found[0]


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number < 0x110000 else found[0]
    return _ESCAPES.get(code, code)
