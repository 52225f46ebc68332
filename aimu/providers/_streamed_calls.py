"""Tool calls of OpenAI's chat completions, collected from pieces.

Servers differ in how they number the pieces, what they repeat in each, and whether calls have ids. Linear in what
arrives, however it is cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, final

from attrs import define, field

from aimu._core.reply import ToolCall, new_call_id
from aimu.providers._wire import arguments_text, held_arguments

# Extra keys of a message or call that the service needs back: Gemini's thought signatures, OpenRouter's blocks.
KEPT = ("extra_content", "thought_signature", "reasoning_details")
_SIGNS = re.compile(r'["\\{}\[\]]')


@define
class _Brackets:
    """Follows JSON text through its pieces, and knows whether the object that it began with has ended."""

    depth: int = 0
    ended: bool = False
    _in_text: bool = False
    _escaped: bool = False

    def read(self, piece: str) -> None:
        if self._escaped and piece:
            self._escaped, piece = False, piece[1:]
        at = 0
        while (sign := _SIGNS.search(piece, at)) is not None:
            at = sign.end()
            mark = sign.group()
            if mark == "\\":
                at += 1
                self._escaped = at > len(piece)
            elif mark == '"':
                self._in_text = not self._in_text
            elif not self._in_text:
                self.depth += 1 if mark in "{[" else -1
                self.ended = self.ended or self.depth <= 0


@define
class _Call:
    """One call."""

    id: str = ""
    kept: dict[str, Any] | None = None
    _names: list[str] = field(factory=list[str])
    _named: int = 0  # the length of the name so far
    _arguments: list[str] = field(factory=list[str])
    _brackets: _Brackets = field(factory=_Brackets)
    _read: int = 0  # how many of the pieces `_brackets` has read

    @property
    def name(self) -> str:
        return "".join(self._names)

    @property
    def arguments(self) -> str:
        return "".join(self._arguments)

    def add(self, piece: Mapping[str, Any]) -> str:
        """Add a piece, and return what it adds to the arguments."""
        function = piece.get("function") or {}
        self.id = self.id or str(piece.get("id") or "")
        name = function.get("name") or ""
        # Some servers repeat the whole name in every piece, some the name so far, and some split it.
        if name and len(name) >= self._named and name.startswith(self.name):
            self._names, self._named = [name], len(name)
        elif name:
            self._names.append(name)
            self._named += len(name)
        arguments = function.get("arguments")
        added = ""
        if arguments:
            added = arguments if isinstance(arguments, str) else arguments_text(arguments)
            self._arguments.append(added)
        kept = {key: piece[key] for key in KEPT if piece.get(key)}
        if kept:
            self.kept = {**(self.kept or {}), **kept}
        return added

    def continues(self, piece: Mapping[str, Any]) -> bool:
        """Return whether `piece`, with the index of this call, belongs to it: Gemini gives every call the index 0."""
        function = piece.get("function") or {}
        if not function.get("name"):
            return True
        if piece.get("id") and self.id:
            return bool(piece["id"] == self.id)
        arguments = function.get("arguments")
        if not self._arguments or not arguments:
            return True
        return not (str(arguments).lstrip().startswith("{") and self._is_whole())

    def _is_whole(self) -> bool:
        for piece in self._arguments[self._read :]:
            self._brackets.read(piece)
        self._read = len(self._arguments)
        return self._brackets.ended

    def hold_to(self, piece: Mapping[str, Any], provider: str, partial: str) -> None:
        """Compare with the call as it stands in the whole message, and keep the longer arguments."""
        function = piece.get("function") or {}
        if not self._named:
            self._names = [function.get("name") or ""]
        final = function.get("arguments")
        self._arguments = [held_arguments(final, self.arguments, provider, partial=partial)]


@final
class StreamedCalls:
    """The calls of one reply, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}  # by index
        self._order: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._next = 0  # an index that no call has
        self._last: _Call | None = None

    def add(self, piece: Mapping[str, Any], shown: str | None = None) -> str:
        """Add a piece to the call that it belongs to.

        Returns:
            What it adds to the arguments, if the call is the first with the name `shown`.
        """
        index = piece.get("index")
        if isinstance(index, int):
            call = self._calls.get(index)
        else:  # no index: the id decides, and a piece without an id belongs to the call before it
            index = self._next
            call = self._named(piece) if piece.get("id") else self._last
        if call is not None and not call.continues(piece):
            call, index = self._named(piece), self._next
        if call is None:
            call = self._calls[index] = _Call()
            self._order.append(call)
            self._next = max(self._next, index + 1)
        added = call.add(piece)
        if call.id:
            self._by_id.setdefault(call.id, call)
        self._last = call
        if shown is None or call.name != shown:
            return ""
        return added if next(one for one in self._order if one.name == shown) is call else ""

    def hold_to(self, position: int, piece: Mapping[str, Any], provider: str, partial: str) -> None:
        """Compare with a call of the whole message, and add it if it was not streamed.

        Raises:
            MalformedResponseError: Its arguments contradict those that were streamed.
        """
        call = self._named(piece) or next(iter(self._order[position : position + 1]), None)
        if call is None or (piece.get("id") and call.id and call.id != piece["id"]):
            self.add({**piece, "index": self._next})
        else:
            call.hold_to(piece, provider, partial)

    def all(self) -> list[tuple[ToolCall, dict[str, Any] | None]]:
        """Return each call, with the extra keys that the service needs back."""
        return [
            (ToolCall(call.id or new_call_id(), call.name, arguments_text(call.arguments)), call.kept)
            for call in self._order
        ]

    def _named(self, piece: Mapping[str, Any]) -> _Call | None:
        """Return the call with the piece's id, or None."""
        return self._by_id.get(str(piece["id"])) if piece.get("id") else None
