"""The grammar of a whole reply in Lark, as llguidance reads it: thinking, marks around the answer, answer or calls.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md (that of 1.9).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import final

from attrs import define, field

from aimu.engines._formats.chat_format import UNKNOWN, ChatFormat
from aimu.engines._formats.marks import Row, Thinking
from aimu.engines._formats.table import THINK, table_of
from aimu.engines._grammars.vocabulary import Vocabulary

BLANK = r"BLANK: /[ \t\r\n]{1,16}/"


@final
@define
class Lark:
    """Rules of a grammar, which grow as the parts of a reply are described."""

    vocabulary: Vocabulary
    rules: list[str] = field(factory=lambda: [BLANK])

    def rule(self, name: str, body: str) -> str:
        """Add a rule, or a terminal if its name is in capitals; return its name."""
        self.rules.append(f"{name}: {body}")
        return name

    def mark(self, text: str) -> str:
        """Return what writes a mark: its own tokens, or else its text. Blanks at its edges are free."""
        parts = self.vocabulary.marks_in(text.strip())
        written = " ".join(f"<[{part}]>" if isinstance(part, int) else quoted(part) for part in parts)
        before, behind = text[:1].isspace(), text[-1:].isspace()
        return " ".join(filter(None, ("BLANK?" if before else "", written, "BLANK?" if behind else "")))

    def text(self, start: str) -> str:
        """Return the grammar whose text follows the rule `start`."""
        return "\n".join([f"start: {start}", *self.rules]) + "\n"


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return json.dumps(text, ensure_ascii=False)


def either(parts: Iterable[str]) -> str:
    return f"({' | '.join(parts)})"


def reply(lark: Lark, form: ChatFormat, answers: Sequence[str], *, begun: bool, thinking: bool) -> str:
    """Return what the whole reply follows.

    Args:
        lark: Where rules are added.
        form: The chat format.
        answers: What may follow the thinking.
        begun: Whether the prompt has begun the thinking.
        thinking: Whether the reply may think first.
    """
    if form.name != UNKNOWN and table_of(form.rows).header is not None:
        raise ValueError(f"replies of the format {form.name!r} have a header")
    parts: list[str] = []
    blocks = _blocks(form)
    if begun or (thinking and blocks):
        closings = [block.closing for block in blocks] or [THINK.closing]
        parts.append(_thinking(lark, form, [] if begun else [block.opening for block in blocks], closings))
    before = [lark.mark(opening) for row in _rows(form) for opening, _ in row.answer if opening]
    if before:
        parts.append(f"({either(before)} BLANK?)?")
    parts.append(either(answers))  # the reply ends with them: no mark has to close an answer that is complete
    return " ".join(parts)


def _rows(form: ChatFormat) -> list[Row]:
    """Return the rows that say what the template shows; of an unknown format there are all others, too."""
    return [row for row in form.rows if form.name != UNKNOWN or row.name == "derived"]


def _blocks(form: ChatFormat) -> list[Thinking]:
    """Return the marks of thinking that the template knows."""
    found = [block for row in _rows(form) for block in row.thinking if block.opening and block.closing]
    return found or ([THINK] if form.plan.thinking is not None or form.plan.switch is not None else [])


def _thinking(lark: Lark, form: ChatFormat, openings: list[str], closings: list[str]) -> str:
    """Return what writes thinking with its marks; without `openings` it has begun already."""
    table = table_of(form.rows)
    tokens = [
        mark for mark in closings if all(isinstance(part, int) for part in lark.vocabulary.marks_in(mark.strip()))
    ]
    said = {*table.closings, *table.wrappers, *table.starts} | {mark for mark in table.openings if len(mark) > 2}
    said = {*closings} if form.name == UNKNOWN else said
    if tokens:
        lark.rule("THOUGHT", f"/(?s:.+)/ & ~/(?s:.*){_any(said)}(?s:.*)/")
        closed = f"THOUGHT? {either(map(lark.mark, tokens))}"
    else:
        # Up to the first closing mark, wherever tokens end: a terminal is cut at marks only if they are a part of it.
        kept = f" & ~/(?s:.*){_any(others)}(?s:.*)/" if (others := said - set(closings)) else ""
        lark.rule("thought[lazy]", f"/(?s:.*){_any(closings)}/{kept}")
        closed = "thought"
    if not openings:
        return f"{closed} BLANK?"
    return f"({either(map(lark.mark, openings))} {closed} BLANK?)?"


def _any(marks: Iterable[str]) -> str:
    return f"({'|'.join(sorted(re.escape(mark.strip()).replace('/', chr(92) + '/') for mark in marks))})"
