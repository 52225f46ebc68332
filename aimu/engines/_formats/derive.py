"""The row of a template that nobody has described: the marks stand between the words of rendered conversations.

The same conversation with and without thinking, a call, a second argument, a second call: what stands around the words
is the marks, and what all have in common belongs to the turn. Owns turn, thinking and answer; calls are
`derive_calls`'s. What a template does not show is missing in the row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import final

from attrs import evolve, frozen

from aimu._core.messages import Message
from aimu.engines._formats.derive_calls import Calls, call_marks
from aimu.engines._formats.marks import CallMarks, Header, Row, Syntax, Thinking, is_strong
from aimu.engines._formats.probing import ANSWER, NAMES, THOUGHT, USER, Probe, assistant, call, result, user
from aimu.engines._formats.table import THINK
from aimu.engines._formats.tokens import common_prefix, common_suffix, tokens
from aimu.engines._formats.writing import Plan

_TERMINATED = re.compile(r"<[^<>]+>[\w ]+(<[^<>]+>)\s*$")
_LABELLED = re.compile(r"(<[^<>]+>|\[[^\[\]]+\])(\w+)\s*")
_TAGS = re.compile(r"<[^<>]+>|\[/?[A-Z_]+\]")
_SHORT = re.compile(r"\S{1,40}(?:\s\S{1,20})?")  # a mark, and not what a template says of itself
_WORDS = re.compile(r"\w+")
_LAST_SIGN = re.compile(r"(?<=[\s>])([^\w\s<>]{2,}|>{2,})$")


@final
@frozen(kw_only=True)
class _Turn:
    """Text behind the user's words. `begun` is what a reply is asked with, `header` its part that is the turn's own.

    `start` is where the texts of all replies part; `answer` and `ended` stand around the answer. `terminator` is the
    tag that ends each mark, where marks are `<tag>word<tag>`.
    """

    begun: str
    header: str
    start: str
    answer: str
    ended: str
    terminator: str


@final
@frozen(kw_only=True)
class _Thought:
    """What stands around the thinking, and before an answer behind it. `again`: a new turn begins behind it."""

    opening: str
    closing: str
    answer: str
    again: bool


def derive(probe: Probe, plan: Plan) -> Row:
    """What can be told of a template's format."""
    around = _around_thought(probe, plan)
    turn = _turn(probe, plan, _terminator(around))
    if turn is None:
        return Row(name="derived")
    turn = _without_opening(turn, around)
    thought = _thought(probe, plan, turn, around)
    blocks = [THINK, *_blocks(turn, thought)]
    wrapper = _answer(turn, thought, blocks)
    header = _header(turn, thought, wrapper)
    ended = turn.ended.lstrip().removeprefix(wrapper[1] if wrapper else "")
    marks = call_marks(
        Calls(
            probe,
            plan,
            start=turn.start,
            leading=[mark for block in blocks for mark in (block.opening, block.closing, block.label)]
            + [*(wrapper or ())],
            ended=ended,
            header=header.end if header else "",
            terminator=turn.terminator,
        )
    )
    dropped = {mark for mark in map(str.strip, tokens(ended, turn.terminator)) if _is_tag(mark)} - {"<bos>", "<eos>"}
    dropped |= {mark for mark in (ended.strip(), turn.header.strip()) if is_strong(mark) and _SHORT.fullmatch(mark)}
    answers = [wrapper] if wrapper is not None and header is None else []
    if marks is not None and marks.syntax is not Syntax.JSON and not marks.opening and not header:
        marks, spoken = _begun_by_prompt(turn, marks)
        answers += spoken
    if marks is not None and header is not None and not any(map(is_strong, marks.opening)):
        marks = None  # the header tells them
    bare = marks is not None and not marks.opening
    return Row(
        name="derived",
        calls=(marks,) if marks is not None and marks.opening else (),
        thinking=tuple(block for block in blocks if block != THINK) if header is None else (),
        answer=tuple(answers),
        dropped=tuple(sorted(dropped if header is None else dropped - {turn.header.strip()})),
        header=header,
        bare=bare,
    )


def _is_tag(mark: str) -> bool:
    return is_strong(mark) and mark.startswith(("<", "[")) and mark.endswith((">", "]"))


def _behind(text: str | None) -> str | None:
    """The text behind the user's words."""
    return text[text.find(USER) + len(USER) :] if text is not None and USER in text else None


def _with_call(probe: Probe, plan: Plan, message: Message, thinking: bool | None = None) -> str:
    """The text before the name in a call, with its result where the template wants one."""
    for rest in ([], [result()]):
        text = _behind(probe([user, message, *rest], plan, thinking=thinking))
        if text is not None and NAMES[0] in text:
            return text.partition(NAMES[0])[0]
    return ""


_Around = tuple[str, str]


def _around_thought(probe: Probe, plan: Plan) -> tuple[_Around | None, _Around | None]:
    """What stands before the thought and behind it, up to an answer and up to a call."""
    if plan.thinking is None or plan.thinking == "content":
        return None, None
    before_answer = before_call = None
    for wanted in (None, True):
        answered = _behind(probe([user, assistant(ANSWER, thinking=THOUGHT)], plan, thinking=wanted)) or ""
        before, thought, rest = answered.partition(THOUGHT)
        if thought and ANSWER in rest and before_answer is None:
            before_answer = before, rest.partition(ANSWER)[0]
        before, thought, rest = _with_call(probe, plan, assistant("", call(), thinking=THOUGHT), wanted).partition(
            THOUGHT
        )
        if thought and before_call is None:
            before_call = before, rest
    return before_answer, before_call


def _terminator(around: tuple[_Around | None, _Around | None]) -> str:
    """The tag that ends each mark, where the marks around the thinking are `<tag>word<tag>`."""
    found = around[0] or around[1]
    opening = _TERMINATED.search(found[0]) if found else None
    if found is None or opening is None:
        return ""
    closing = re.match(r"\s*<[^<>]+>[\w ]+(<[^<>]+>)", found[1])
    return opening[1] if closing and closing[1] == opening[1] else ""


def _turn(probe: Probe, plan: Plan, terminator: str) -> _Turn | None:
    begun = _behind(probe([user], plan, generate=True))
    answered = _behind(probe([user, assistant(ANSWER)], plan))
    if begun is None or answered is None or ANSWER not in answered:
        return None
    asked = _behind(probe([user], plan))
    before, _, ended = answered.partition(ANSWER)
    start = common_prefix(begun, before, terminator)
    others = [_with_call(probe, plan, assistant("", call()))]
    others += [_behind(probe([user], plan, generate=True, thinking=wanted)) or "" for wanted in (True, False)]
    for other in others:
        common = common_prefix(start, other, terminator)
        start = common if any(map(is_strong, tokens(common))) else start
    header = begun.removeprefix(asked) if asked is not None and begun.startswith(asked) else ""
    own = start[len(begun) - len(header) :] if header and begun.startswith(start) else ""
    return _Turn(begun=begun, header=own, start=start, answer=_rest(before, start), ended=ended, terminator=terminator)


def _rest(text: str, start: str) -> str:
    """`text` behind what it has in common with `start`."""
    return text[len(common_prefix(text, start)) :]


def _without_opening(turn: _Turn, around: tuple[_Around | None, _Around | None]) -> _Turn:
    """A turn whose start does not hold the mark that opens the thinking, which some templates always write."""
    found = around[0] or around[1]
    last = (tokens(turn.start) or [""])[-1]
    if found is None or not last.startswith("<") or not found[1].lstrip().startswith(f"</{last[1:]}"):
        return turn
    start = turn.start.removesuffix(last)
    return evolve(turn, start=start, header=turn.header.removesuffix(last), answer=last + turn.answer)


def _thought(probe: Probe, plan: Plan, turn: _Turn, around: tuple[_Around | None, _Around | None]) -> _Thought | None:
    before_answer, before_call = around
    found = before_answer or before_call
    if found is None:
        return None
    opening = _rest(found[0], turn.start).strip()
    closing = _closing(probe, plan, turn, opening, around)
    head = turn.header.strip()
    again = bool(head) and closing.rstrip().endswith(head)
    closing = closing.rstrip().removesuffix(head).strip() if again else closing.strip()
    answer = turn.answer
    if before_answer and before_answer[1].lstrip().startswith(closing):
        answer = before_answer[1].lstrip().removeprefix(closing).lstrip().removeprefix(head if again else "")
    return _Thought(opening=opening, closing=closing, answer=answer, again=again)


def _closing(probe: Probe, plan: Plan, turn: _Turn, opening: str, around: tuple[_Around | None, _Around | None]) -> str:
    """The mark behind a thought: what answer and call have in common, or what closes an empty one."""
    before_answer, before_call = around
    behind = (before_answer or before_call or ("", ""))[1]
    begun = [_behind(probe([user], plan, generate=True, thinking=wanted)) or "" for wanted in (None, False)]
    rests = [_rest(text, turn.start).strip() for text in begun]
    for rest in rests:
        empty = rest.removeprefix(opening).strip() if opening and rest.startswith(opening) else ""
        if empty and behind.lstrip().startswith(empty):
            return empty
    if before_answer and before_call:
        closing = common_prefix(before_answer[1], before_call[1], turn.terminator)
    else:
        ending = turn.answer if before_answer else _rest(_with_call(probe, plan, assistant("", call())), turn.start)
        closing = behind[: len(behind) - len(common_suffix(behind, ending, turn.terminator))]
    for rest in rests:
        if rest and closing.strip() != rest and closing.rstrip().endswith(rest) and opening not in rest:
            closing = closing.rstrip().removesuffix(rest)
    return closing


def _blocks(turn: _Turn, thought: _Thought | None) -> list[Thinking]:
    if thought is None or not thought.closing:
        return []
    if not thought.opening:  # the prompt begins the thought
        prefilled = turn.begun.removeprefix(turn.start).strip()
        return [Thinking(prefilled, thought.closing, kept=True)] if prefilled and not is_strong(prefilled) else []
    labelled = _LABELLED.fullmatch(thought.opening)
    return [
        Thinking(labelled[1], thought.closing, labelled[2]) if labelled else Thinking(thought.opening, thought.closing)
    ]


def _answer(turn: _Turn, thought: _Thought | None, blocks: Sequence[Thinking]) -> tuple[str, str] | None:
    opening = (thought.answer if thought is not None else turn.answer).strip()
    for block in blocks:
        for mark in (block.opening + block.label, block.opening, block.closing):
            opening = opening.replace(mark, "")
    opening = opening.strip()
    if not is_strong(opening):
        return None
    first = tokens(turn.ended.strip(), turn.terminator)
    return opening, first[0].strip() if first and is_strong(first[0]) else ""


def _header(turn: _Turn, thought: _Thought | None, wrapper: tuple[str, str] | None) -> Header | None:
    """Messages with a header, where thought and answer begin with the same tag behind different words."""
    if thought is None or wrapper is None or not thought.again:
        return None
    ends = _TAGS.findall(wrapper[0])
    if not ends or not thought.opening.endswith(ends[-1]) or wrapper[0] == ends[-1] or ends[-1] in thought.closing:
        return None
    end = ends[-1]
    starts = [mark for mark in _TAGS.findall(turn.header) if mark != end]
    starts += [mark for mark in ends[:1] if mark != end and wrapper[0].startswith(mark)]
    closes = {*_TAGS.findall(turn.ended), *_TAGS.findall(thought.closing)} - {end, *starts}
    words = [word for word in _WORDS.findall(thought.opening) if word not in _WORDS.findall(wrapper[0])]
    return Header(tuple(dict.fromkeys(starts)), end, tuple(sorted(closes)), tuple(words))


def _begun_by_prompt(turn: _Turn, marks: CallMarks) -> tuple[CallMarks, list[tuple[str, str]]]:
    """Calls whose first mark is the end of each prompt, and the words behind it that begin an answer."""
    sign = _LAST_SIGN.search(turn.start.rstrip())
    if sign is None:
        return marks, []
    word = re.fullmatch(r"\w+\n", turn.answer)
    return evolve(marks, opening=(sign[1],), naming=marks.naming or "\n"), [(sign[1] + word[0], "")] if word else []
