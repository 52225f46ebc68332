"""What the reader looks for, built once for some rows: all marks, what each means, and where a prompt left off."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import final

from attrs import frozen

from aimu.engines._formats.marks import ANY, BLANKS, HEAD, CallMarks, Header, Row, Thinking, is_strong, look
from aimu.engines._formats.source import Marks

THINK = Thinking("<think>", "</think>")
"""What most families write; looked for in all."""
UNMARKED = frozenset(("{", "[", "```", "<"))
"""How a call without marks may begin."""
_MANY = 12  # marks at the end of a prompt


@final
@frozen(eq=False, kw_only=True)
class Table:
    """Marks of some rows by what they mean. `openings` are those of calls, `closers` what may stand behind calls.

    `wrappers` stand around the answer, `starts` begin a message with a header, `dropped` are no text. The answer is
    searched for `in_answer`, where tools were offered `with_calls`, and where an unmarked call may begin `with_signs`,
    thinking for `in_thinking`; `stops` and `hidden` are the marks that end a broken call, `hidden_in_thinking` those
    that end one within thinking.
    """

    rows: tuple[Row, ...]
    entries: Mapping[str, tuple[tuple[CallMarks, int], ...]]
    openings: frozenset[str]
    closers: frozenset[str]
    thinking: Mapping[str, Thinking]
    closings: frozenset[str]
    wrappers: frozenset[str]
    dropped: frozenset[str]
    header: Header | None
    bare: bool
    starts: frozenset[str]
    in_answer: Marks
    with_calls: Marks
    with_signs: Marks
    in_thinking: Marks
    stops: tuple[str, ...]
    hidden: Marks
    hidden_in_thinking: Marks

    @property
    def all_marks(self) -> frozenset[str]:
        """Each mark that means something, also within calls."""
        found = {
            *self.openings,
            *self.closers,
            *self.thinking,
            *self.closings,
            *self.wrappers,
            *self.dropped,
            *self.starts,
        }
        for marks, _ in (pair for pairs in self.entries.values() for pair in pairs):
            found.update(
                (*marks.opening, *marks.closing, *marks.key, *marks.value, marks.naming, marks.ident, marks.quote)
            )
        return frozenset(
            mark.strip() for mark in found | {self.header.end if self.header else ""} if mark.strip() and mark != ANY
        )

    def begins(self, mark: str, ahead: str) -> bool:
        """Whether a call begins behind `mark`, by what comes next."""
        return any(look(marks, index, True, ahead, len(ahead) < HEAD) for marks, index in self.entries[mark])


@lru_cache(maxsize=256)
def table_of(rows: tuple[Row, ...]) -> Table:
    entries: dict[str, list[tuple[CallMarks, int]]] = {}
    closers: set[str] = set()
    for marks in dict.fromkeys(marks for row in rows for marks in row.calls):
        closers.update(mark for mark in marks.closing if is_strong(mark))
        for index in marks.entries:
            entries.setdefault(marks.opening[index], []).append((marks, index))
    blocks = [THINK, *(block for row in rows for block in row.thinking)]
    thinking = {block.opening: block for block in blocks if block.opening}
    closings = {block.closing for block in blocks if block.closing}
    headers = [row.header for row in rows if row.header is not None]
    header = _joined(headers)
    openings, starts = frozenset(entries), frozenset(header.starts if header else ())
    wrappers = frozenset(mark for row in rows for pair in row.answer for mark in pair if mark)
    dropped = {mark for row in rows for mark in row.dropped} | {mark for head in headers for mark in head.closes}
    stops = tuple(mark for mark in {*openings, *closers} if is_strong(mark))
    common = {*thinking, *closings, *wrappers, *dropped, *starts}
    calls = {*common, *closers, *openings, *("<" for row in rows if row.guessed)}
    return Table(
        rows=rows,
        entries={mark: tuple(found) for mark, found in entries.items()},
        openings=openings,
        closers=frozenset(closers),
        thinking=thinking,
        closings=frozenset(closings),
        wrappers=wrappers,
        dropped=frozenset(dropped),
        header=header,
        bare=any(row.bare for row in rows),
        starts=starts,
        in_answer=Marks(common),
        with_calls=Marks(calls),
        with_signs=Marks(calls | (UNMARKED - {"<"})),
        in_thinking=Marks(common | {mark for mark in openings if is_strong(mark)}),
        stops=stops,
        hidden=Marks(stops),
        hidden_in_thinking=Marks((*stops, *closings)),
    )


def _joined(headers: Iterable[Header]) -> Header | None:
    """One header for all: rows of one reader have the same, or only one has any."""
    found = [*dict.fromkeys(headers)]
    if len(found) < 2:
        return found[0] if found else None
    alike = [header for header in found if header.end == found[0].end]
    return Header(
        tuple(dict.fromkeys(mark for header in alike for mark in header.starts)),
        found[0].end,
        tuple(dict.fromkeys(mark for header in alike for mark in header.closes)),
        tuple(dict.fromkeys(word for header in alike for word in header.thinking)),
    )


def prompt_tail(prompt_end: str, table: Table) -> str:
    """What the end of a prompt has begun of the reply: marks of thinking and answer, or a message without its body."""
    header = table.header
    if header is not None:
        start = max(prompt_end.rfind(mark) for mark in header.starts)
        if start >= 0 and prompt_end.find(header.end, start) < 0:
            return prompt_end[start:]
    marks = {*table.thinking, *table.closings, *table.wrappers, *(mark for mark in table.openings if len(mark) > 2)}
    marks |= {block.opening + label for block in table.thinking.values() if (label := block.label)}
    ends = [re.compile(rf"{re.escape(mark.strip())}\s*\Z") for mark in sorted(marks, key=len, reverse=True)]
    rest = prompt_end
    for _ in range(_MANY):
        found = next((hit for end in ends if (hit := end.search(rest))), None)
        if found is None:
            break
        rest = rest[: found.start()]
    tail = prompt_end[len(rest) :]
    return tail if tail.strip(BLANKS) else ""
