"""A text that comes in pieces, and marks in it: what was found does not depend on where the pieces were cut.

Readers are generators that yield where they need more text. Everything but a bounded rest is taken before that, so that
the work grows with the length of the text only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Generator, Iterable
from functools import lru_cache
from typing import TypeAlias, TypeVar, final

from aimu.engines._formats.marks import BLANKS

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]

_ROOM = 16  # blanks that may stand where a mark has some
_GLANCE = 64  # characters that tell most often
_SPLIT = re.compile(r"(\s+)")


@final
class Marks:
    """Marks to look for. Of several at one place the longest is found."""

    def __init__(self, marks: Iterable[str]) -> None:
        unique = sorted({mark for mark in marks if mark.strip()}, key=len, reverse=True)
        self._parts = {mark: tuple(part for part in _SPLIT.split(mark) if part) for mark in unique}
        by_begin: dict[str, list[str]] = {}  # by two characters, by one where that is all
        for mark, parts in self._parts.items():
            by_begin.setdefault(parts[0][:2], []).append(mark)
        for begin, found in by_begin.items():
            if len(begin) == 2:
                found += by_begin.get(begin[0], [])
        self._all: re.Pattern[str] | None = None
        self._by_begin = by_begin
        self._firsts = frozenset(begin[0] for begin in by_begin)
        self._reach = max(map(_longest, self._parts.values()), default=0)
        begins = "|".join(map(re.escape, sorted(by_begin, key=len, reverse=True)))
        self._begin = re.compile(rf"{begins}|[{re.escape(''.join(self._firsts))}]\Z" if begins else "(?!)")

    def find(self, text: str, at: int, ended: bool) -> tuple[int, int, str] | int:
        """`(start, end, mark)` of the first one, or where in `text` one may begin that is not complete yet."""
        certain = self._certain(text, ended)
        if at <= certain:
            hit = self._whole.search(text, at)
            if hit is not None and hit.start() <= certain:
                return hit.start(), hit.end(), self._named(hit)
            at = certain + 1
        while begin := self._begin.search(text, at):
            at = begin.start()
            found = self.match(text, at, ended)
            if found is not None:
                return at if isinstance(found, int) else (at, *found)
            at += 1
        return len(text)

    def match(self, text: str, at: int, ended: bool) -> tuple[int, str] | int | None:
        """`(end, mark)` of the one at `at`, None where there is none, `at` where it is not complete yet."""
        if at <= self._certain(text, ended):
            hit = self._whole.match(text, at)
            return (hit.end(), self._named(hit)) if hit is not None else None
        begin = text[at : at + 2]
        if len(begin) == 1 and begin in self._firsts and self._longer(begin):
            return at
        for mark in self._by_begin.get(begin) or self._by_begin.get(begin[:1]) or ():
            end = _match(self._parts[mark], text, at)
            if end is None:
                return at
            if end >= 0:
                return end, mark
        return None

    @property
    def _whole(self) -> re.Pattern[str]:
        if self._all is None:  # costly, and not always needed
            self._all = re.compile("|".join(map(_pattern, self._parts.values())) or "(?!)")
        return self._all

    def _certain(self, text: str, ended: bool) -> int:
        """The last place where each mark is there as a whole or not at all."""
        return len(text) if ended else len(text) - self._reach

    def _named(self, hit: re.Match[str]) -> str:
        if hit[0] in self._parts:
            return hit[0]
        return next(mark for mark, parts in self._parts.items() if re.fullmatch(_pattern(parts), hit[0]))

    def _longer(self, first: str) -> bool:
        found = ((begin, self._parts[marks[0]]) for begin, marks in self._by_begin.items())
        return any(begin[0] == first and (len(begin) > 1 or len(parts) > 1) for begin, parts in found)


@lru_cache(maxsize=1024)
def marks_of(*marks: str) -> Marks:
    """The same Marks each time."""
    return Marks(marks)


def _longest(parts: tuple[str, ...]) -> int:
    return sum(_ROOM if part.isspace() else len(part) for part in parts)


def _pattern(parts: tuple[str, ...]) -> str:
    """Blanks may be fewer or more within a mark; where it begins with some, the first two of them are there."""
    begin = parts[0][:2] if parts[0].isspace() else ""
    rest = [rf"\s{{0,{_ROOM}}}" if part.isspace() else re.escape(part) for part in parts]
    rest[:1] = [re.escape(begin), rf"\s{{0,{_ROOM - len(begin)}}}"] if begin else rest[:1]
    return "".join(rest)


def _match(parts: tuple[str, ...], text: str, at: int) -> int | None:
    """The end of a mark at `at`, -1 where it is another text, None where the text ends within it."""
    for part in parts:
        if part.isspace():
            stop = at + _ROOM
            while at < min(stop, len(text)) and text[at].isspace():
                at += 1
            if at == len(text) and at < stop:
                return None
            continue
        if text.startswith(part, at):
            at += len(part)
            continue
        rest = len(text) - at
        return None if rest < len(part) and part.startswith(text[at:]) else -1
    return at


@final
class Source:
    """What has come of a text, less what was taken. `scanned` counts the characters that were looked at."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self.last = ""  # the last mark, as it stands in the text
        self.taken = 0
        self.scanned = 0
        self._record: list[str] | None = None
        self._given_back = 0

    def push(self, piece: str) -> None:
        self.text = self.text[self.at :] + piece
        self.at = 0
        self.scanned += len(self.text)

    def take(self, end: int) -> str:
        """The text up to position `end` of `text`."""
        piece = self.text[self.at : end]
        self.at = end
        self.taken += len(piece)
        if self._record is not None:
            self._record.append(piece)
        return piece

    def give_back(self, text: str) -> bool:
        """Have the end of what was taken read once more. False where too much was: no text is read without an end."""
        self._given_back += len(text)
        if self._given_back > self.taken + HELD:
            return False
        start = self.at - len(text)
        if start >= 0 and self.text.startswith(text, start):
            self.at = start
        else:  # it began in a piece before this one
            self.text, self.at = text + self.text[self.at :], 0
        self.scanned += len(text)
        self.taken -= len(text)
        if self._record is not None:
            self._unrecord(len(text))
        return True

    def _unrecord(self, left: int) -> None:
        record = self._record or []
        while left > 0 and record:
            last = record.pop()
            if len(last) > left:
                record.append(last[: len(last) - left])
            left -= len(last)

    @property
    def recording(self) -> bool:
        return self._record is not None

    def record(self, first: str) -> None:
        """Remember what is taken from now on, behind `first`."""
        self._record = [first]

    def recorded(self) -> str:
        """What was taken since `record`, which ends it."""
        text, self._record = "".join(self._record or ()), None
        return text

    def peek(self, size: int) -> Steps[str]:
        """The next `size` characters, fewer only at the end."""
        while len(self.text) - self.at < size and not self.ended:
            yield
        return self.text[self.at : self.at + size]

    def blanks(self) -> Steps[str]:
        """Take the blanks that come next."""
        taken: list[str] = []
        while True:
            end = self.at
            while end < len(self.text) and self.text[end] in BLANKS:
                end += 1
            taken.append(self.take(end))
            if end < len(self.text) or self.ended:
                return "".join(taken)
            yield

    def decide(self, test: Callable[[str, bool], bool | None], most: int) -> Steps[bool]:
        """What `test` says of the next characters, `most` of them at most; it says None while more may matter.

        Its second argument is true where no more will come; what it says of a text holds for all that begin with it.
        """
        size = min(_GLANCE, most)
        while True:
            ahead = self.text[self.at : self.at + size]
            self.scanned += len(ahead)
            answer = test(ahead, self.ended if len(ahead) < size else size == most)
            if answer is not None:
                return answer
            if len(ahead) == size < most:
                size = most  # all that there is, now that a glance did not tell
            elif self.ended:
                return False
            else:
                yield

    def until(
        self, marks: Marks, sink: Callable[[str], object], left: Container[str] = (), most: int | None = None
    ) -> Steps[str | None]:
        """Give the text before the next mark to `sink` and take the mark, unless it is in `left`.

        None at the end of the text, and where no mark is in the next `most` characters.
        """
        last = None if most is None else self.taken + most
        while True:
            found = marks.find(self.text, self.at, self.ended)
            if isinstance(found, tuple):
                start, end, mark = found
                if last is not None and self.taken + start - self.at > last:
                    sink(self.take(self.at + last - self.taken))
                    return None
                sink(self.take(start))
                self.last = self.text[self.at : end] if mark in left else self.take(end)
                return mark
            if last is not None and self.taken + found - self.at > last:
                found = self.at + last - self.taken
            if found > self.at:
                sink(self.take(found))
            if self.ended or self.taken == last:
                return None
            yield


HELD = 4096
"""Characters that may be read once more whatever the length of the text."""
