"""The grammar of a whole reply: thinking, marks before the answer, answer or calls."""

from __future__ import annotations

from collections.abc import Sequence

from aimu.engines._formats.chat_format import UNKNOWN, ChatFormat
from aimu.engines._formats.marks import Row, Thinking
from aimu.engines._formats.table import THINK, table_of
from aimu.engines._grammars.headers import before_thought, has_headers, headers_of
from aimu.engines._grammars.lark import Lark, any_of, either


def reply(lark: Lark, form: ChatFormat, answers: Sequence[str], *, begun: bool, thinking: bool) -> str:
    """Return what the whole reply follows.

    Args:
        lark: Where rules are added.
        form: The chat format.
        answers: What may follow the thinking.
        begun: Whether the prompt has begun the thinking.
        thinking: Whether the reply may think first.
    """
    parts: list[str] = []
    if has_headers(form):
        thought = headers_of(form).thought
        if begun or not any(isinstance(part, int) for part in lark.vocabulary.marks_in(headers_of(form).answer)):
            raise ValueError(f"the marks of the format {form.name!r} are no tokens, or the prompt has begun a message")
        if thinking and thought is not None:
            parts.append(_thinking(lark, form, [thought[0]], [thought[1]]))
        return " ".join([*parts, either(answers)])
    blocks = _blocks(form)
    if begun or (thinking and blocks):
        closings = list(dict.fromkeys(block.closing for block in blocks or [THINK]))
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
    before = before_thought(form)
    shown = [block for block in (*found, THINK) if block.opening.strip() in before]
    return shown or found or ([THINK] if form.plan.thinking is not None or form.plan.switch is not None else [])


def _thinking(lark: Lark, form: ChatFormat, openings: list[str], closings: list[str]) -> str:
    """Return what writes thinking with its marks; without `openings` it has begun already."""
    table = table_of(form.rows)
    tokens = [mark for mark in closings if lark.is_token(mark)]
    said = {*table.closings, *table.wrappers, *table.starts} | {mark for mark in table.openings if len(mark) > 2}
    said = {*closings} if form.name == UNKNOWN else said
    if tokens:
        lark.rule("THOUGHT", f"/(?s:.+)/ & ~/(?s:.*){any_of(said)}(?s:.*)/")
        closed = f"THOUGHT? {either(map(lark.mark, tokens))}"
    else:
        # Up to the first closing mark, wherever tokens end: a terminal is cut at marks only if they are a part of it.
        kept = f" & ~/(?s:.*){any_of(others)}(?s:.*)/" if (others := said - set(closings)) else ""
        lark.rule("thought[lazy]", f"/(?s:.*){any_of(closings)}/{kept}")
        closed = "thought"
    if not openings:
        return f"{closed} BLANK?"
    return f"({either(map(lark.mark, openings))} {closed} BLANK?)?"
