"""What a reader has to say: deltas of thinking and answer, their blanks, calls; and what may have to be taken back.

Blanks before a call go unless text follows behind it, blanks around thinking go, those inside wait until it goes on.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import final

from attrs import define, evolve, field

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta, ToolCall
from aimu._core.thinking import GENERATING, THINKING
from aimu.engines._formats.marks import BLANKS

_phase = attrgetter("phase")
_ID_CHARACTERS = string.ascii_letters + string.digits


def call_id() -> str:
    """A new id; nine letters and digits, which is what Mistral's templates demand."""
    number, signs = secrets.randbelow(len(_ID_CHARACTERS) ** 9), []
    for _ in range(9):
        number, sign = divmod(number, len(_ID_CHARACTERS))
        signs.append(_ID_CHARACTERS[sign])
    return "".join(signs)


@define
class Place:
    """Where the answer is. `fresh`: nothing of it, or of its part behind thinking or a call, has come.

    `pending` are blanks that end it so far, `gap` those before a call; `trim` tells that blanks come to nothing,
    `line` that a line begins.
    """

    pending: list[str] = field(factory=list[str])
    gap: str = ""
    said: bool = False
    fresh: bool = True
    after_call: bool = False
    trim: bool = False
    line: bool = True
    count: int = 0  # calls, where this is where the answer was
    length: int = 0  # of `pending`, which only grows, or is replaced


@final
class Output:
    def __init__(self) -> None:
        self.place = Place()
        self.thinking = False
        self.calls: list[ToolCall] = []
        self._deltas: list[Delta] = []
        self._parts: dict[StreamingContentType, list[str]] = {THINKING: [], GENERATING: []}
        self._blanks: list[str] = []  # that end the thinking so far
        self._started = False  # something of this block of thinking has come
        self._held: list[Delta] | None = None
        self._saved = Place()

    def taken(self) -> list[Delta]:
        """The deltas since the last time."""
        deltas, self._deltas = self._deltas, []
        if len(deltas) < 2:
            return deltas
        return [Delta(phase, "".join(delta.text for delta in group)) for phase, group in groupby(deltas, _phase)]

    def text(self, phase: StreamingContentType) -> str:
        return "".join(self._parts[phase])

    def say(self, text: str) -> None:
        """A piece of the answer."""
        place = self.place
        if place.trim:
            text = text.lstrip(BLANKS)
        body = text.rstrip(BLANKS)
        tail = text[len(body) :]
        if body:
            self._emit(GENERATING, "".join([place.gap, *place.pending, body]))
            place.pending, place.gap = [], ""
            place.said, place.fresh, place.after_call, place.trim = True, False, False, False
        if text:
            place.line = "\n" in tail or (not body and place.line)
        if tail:
            place.pending.append(tail)

    def think(self, text: str) -> None:
        """A piece of thinking."""
        body = text.rstrip(BLANKS) if self._started else text.strip(BLANKS)
        if body:
            if not self._started and self._parts[THINKING]:
                self._emit(THINKING, "\n")
            tail = text[len(text.rstrip(BLANKS)) :]
            self._emit(THINKING, "".join([*self._blanks, body]))
            self._started, self._blanks = True, [tail]
        elif self._started:
            self._blanks.append(text)

    @property
    def thought(self) -> bool:
        """Whether something of this block of thinking has come."""
        return self._started

    def begin_thinking(self) -> None:
        self.thinking, self._started, self._blanks = True, False, []
        if not self.place.said:
            self.place.pending = []

    def end_thinking(self) -> None:
        self.thinking = False
        self.place.fresh = True
        self.place.trim = not self.place.said

    def add(self, calls: Iterable[tuple[str, str]]) -> None:
        for name, arguments in calls:
            self.calls.append(ToolCall(call_id(), name, arguments))
        place = self.place
        if place.said and place.pending:
            place.gap = "".join([place.gap, *place.pending])
        place.pending = []
        place.after_call = place.trim = place.fresh = place.line = True

    def finish(self) -> None:
        """Blanks at the end belong to the text, but not those around a call."""
        self.keep()
        if not self.thinking and not self.place.after_call:
            self._emit(GENERATING, "".join(self.place.pending))

    # What is said inside thinking that may go on behind it.

    @property
    def holding(self) -> bool:
        return self._held is not None

    def hold(self) -> None:
        """Leave the thinking for now; `keep` or `take_back` says whether that was right."""
        self._saved = evolve(self.place, count=len(self.calls), length=len(self.place.pending))
        self._held = []
        self.end_thinking()

    def keep(self) -> None:
        held, self._held = self._held, None
        for delta in held or ():
            self._emit(delta.phase, delta.text)

    def take_back(self, text: str) -> None:
        """All since `hold` was thinking, which reads `text`."""
        self._held = None
        self.place = self._saved
        del self.calls[self.place.count :], self.place.pending[self.place.length :]
        self.think(text)

    def _emit(self, phase: StreamingContentType, text: str) -> None:
        if not text:
            return
        if self._held is not None:
            self._held.append(Delta(phase, text))
            return
        self._parts[phase].append(text)
        self._deltas.append(Delta(phase, text))
