"""The reply in a growing text of a model: thinking, answer and tool calls, the same at any cut.

One reader for all formats: what it looks for comes from the rows that it is given. It never raises on a text, and its
work grows with the length of the text. Calls are looked for only where tools were offered; without them their text is
answer. A call inside thinking counts where the thinking is not closed behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from aimu._core.reply import Delta, Reply, StopReason, Usage
from aimu._core.thinking import GENERATING, THINKING
from aimu.engines._formats.bodies import Bodies
from aimu.engines._formats.guess import MOST, Guess, closing, guess
from aimu.engines._formats.marks import BLANKS, HEAD, Row, is_strong, pattern
from aimu.engines._formats.output import Output
from aimu.engines._formats.source import Source, Steps
from aimu.engines._formats.table import UNMARKED, prompt_tail, table_of
from aimu.engines._formats.values import CALL_KEYS, offered_name, plain_name

_GARBAGE = 8192  # characters between marks of a call that may turn out to be none
_HEADER = 512
_PLACED = 1024  # characters in which an unmarked call has its name
_RECIPIENT = re.compile(r"to=([\w.\-]+)")
_NOBODY = ("assistant", "user", "all", "self")
_BEGINS = tuple(f'{{"{key}":' for key in CALL_KEYS)
_FENCE = re.compile(r"```\w{0,12}\s*(?=[{\[])")
_SEPARATOR = re.compile(r"\s{0,8}[,;]\s{0,6}(?=[{\[])")
_ARGUED = re.compile(r'"(?:arguments|parameters)"\s*:')
_REPEATED = re.compile(r"([<{\[])\1*(?=\1)")  # signs of which only the last one can begin a call
_PYTHON = re.compile(r"\[\s*([\w.\-]*)\s*(\(?)")


@final
class Reader:
    """Reads one reply: `feed` pieces, then `finish`.

    `tools` are those that were offered, in OpenAI's function format; `prompt_end` is the end of the rendered prompt,
    which may have opened the thinking already. With `verbatim` the answer is not searched once it has begun.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        tools: Iterable[Mapping[str, Any]] = (),
        prompt_end: str = "",
        verbatim: bool = False,
    ) -> None:
        self._tools = {tool["function"]["name"]: tool["function"] for tool in tools}
        self._table = table_of(tuple(rows))
        self._begins = (*_BEGINS, *(f'{{"{name}":{{' for name in self._tools))
        self._enough = max(map(len, self._begins))
        self._source = Source()
        self._bodies = Bodies(self._source, self._table, self._tools)
        self._output = Output()
        self._label = ""
        self._verbatim = verbatim
        self._steps = self._run()
        self._advance(prompt_tail(prompt_end, self._table))

    @property
    def scanned(self) -> int:
        """How many characters were looked at so far, each as often as it was."""
        return self._source.scanned

    @property
    def thinking(self) -> bool:
        """Whether the text is in thinking."""
        return self._output.thinking

    def feed(self, piece: str) -> list[Delta]:
        """The deltas that are certain with this piece. The text of calls is in none."""
        self._advance(piece)
        return self._output.taken()

    def end(self) -> list[Delta]:
        """Say that the text has ended: the deltas that were held back."""
        if not self._source.ended:
            self._source.ended = True
            self._advance("")
        return self._output.taken()

    def finish(self) -> Reply:
        """End the text, and give the whole of the reply."""
        self.end()
        return self.reply()

    def reply(
        self, stop_reason: StopReason = StopReason.END, usage: Usage | None = None, model: str | None = None
    ) -> Reply:
        """The whole, after `end`; `stop_reason` is the one that holds where there are no calls."""
        output = self._output
        if output.calls and stop_reason is not StopReason.MAX_TOKENS:
            stop_reason = StopReason.TOOL_CALLS
        text, thinking, calls = output.text(GENERATING), output.text(THINKING), tuple(output.calls)
        return Reply(text=text, thinking=thinking, calls=calls, stop_reason=stop_reason, usage=usage, model=model)

    def _advance(self, piece: str) -> None:
        self._source.push(piece)
        next(self._steps, None)

    def _run(self) -> Steps[None]:
        going = True
        while going:
            going = yield from (self._in_thinking() if self._output.thinking else self._in_answer())
        self._output.finish()

    # Each goes past one mark; False at the end of the text.

    def _in_answer(self) -> Steps[bool]:
        table, output = self._table, self._output
        if not self._tools:
            marks = table.in_answer
        else:
            marks = table.with_signs if table.bare or output.place.fresh else table.with_calls
        mark = yield from self._source.until(marks, output.say, left=UNMARKED)
        if mark is None:
            return False
        if self._verbatim and (output.place.said or mark in UNMARKED):
            output.say(self._source.take(self._source.at + len(mark)) if mark in UNMARKED else self._source.last)
        elif mark in UNMARKED:
            yield from self._unmarked(mark)
        elif (self._tools and mark in table.openings and (yield from self._call(mark))) or (
            mark in table.starts and (yield from self._header(mark))
        ):
            pass
        elif mark in table.thinking and (output.place.fresh or _special(mark)):
            self._begin_thinking(mark)
        elif mark in table.closings and output.holding:
            output.take_back(self._source.recorded().removesuffix(self._source.last))
            output.end_thinking()
        elif mark in table.wrappers or (mark in table.closings and (output.place.fresh or _special(mark))):
            output.place.trim = not output.place.said
        elif mark in table.closers and output.place.after_call:
            output.place.trim = True
        elif mark not in table.dropped:
            output.say(self._source.last)
        return True

    def _in_thinking(self) -> Steps[bool]:
        table, output = self._table, self._output
        if self._label:
            yield from self._skip_label()
        mark = yield from self._source.until(table.in_thinking, output.think)
        if mark is None:
            return False
        if mark in table.openings and (yield from self._call_in_thinking(mark)):
            pass
        elif mark in table.closings or mark in table.wrappers:
            output.end_thinking()
        elif mark in table.starts:
            output.end_thinking()
            yield from self._header(mark)
        elif mark not in table.dropped and (output.thought or mark not in table.thinking):
            output.think(self._source.last)
        return True

    def _begin_thinking(self, mark: str) -> None:
        block = self._table.thinking[mark]
        self._output.begin_thinking()
        self._label = block.label
        if block.kept:
            self._output.think(self._source.last)

    def _skip_label(self) -> Steps[None]:
        label, self._label = self._label, ""
        ahead = yield from self._source.peek(len(label) + 1)
        if ahead.startswith(label) and not ahead[len(label) :].isalnum():
            self._source.take(self._source.at + len(label))

    # Calls

    def _call(self, mark: str) -> Steps[bool]:
        calls = yield from self._bodies.read(mark)
        if calls is None:
            return (yield from self._no_call(mark)) if is_strong(mark) else False
        self._output.add(calls)
        return True

    def _no_call(self, mark: str) -> Steps[bool]:
        """Text between the marks of a call is a broken one; a mark before another one says nothing."""
        table, opening = self._table, self._source.last
        closers = {closer for marks, _ in table.entries[mark] for closer in marks.closing}
        parts: list[str] = []
        found = yield from self._source.until(table.hidden, parts.append, left=table.openings, most=_GARBAGE)
        raw = "".join(parts)
        if found in closers and raw.strip():
            self._output.add([(plain_name("", self._tools), raw.strip())])
        elif raw.strip() or found not in table.openings:
            self._output.say(opening + raw + (self._source.last if found and found not in table.openings else ""))
        return True

    def _call_in_thinking(self, mark: str) -> Steps[bool]:
        """A call, unless the thinking turns out to be closed behind it."""
        opening = self._source.last
        ahead = yield from self._source.peek(HEAD)
        if not self._table.begins(mark, ahead):
            return False
        self._source.record(opening)
        self._output.hold()
        if not self._tools or not (yield from self._call(mark)):
            self._output.say(opening)
        return True

    # Messages with a header

    def _header(self, start: str) -> Steps[bool]:
        header, source, output = self._table.header, self._source, self._output
        if header is None:
            return False
        ahead = yield from source.peek(_HEADER)
        end = re.search(pattern(header.end), ahead)
        if end is None:
            source.take(source.at + (len("assistant") if ahead.startswith("assistant") else 0))
            return True
        text = start + ahead[: end.start()]
        source.take(source.at + end.end())
        output.place.fresh = True
        output.place.trim = not output.place.said
        recipient = next((name for name in _RECIPIENT.findall(text) if name not in _NOBODY), None)
        if recipient is not None:
            yield from self._addressed(recipient, header.closes)
        elif any(re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", text) for word in header.thinking):
            output.begin_thinking()
        return True

    def _addressed(self, recipient: str, closes: tuple[str, ...]) -> Steps[None]:
        """A message to a tool: its arguments, or a call in marks of its own."""
        ahead = (yield from self._source.peek(HEAD)).lstrip(BLANKS)
        if any(ahead.startswith(mark) for mark in self._table.openings if is_strong(mark)):
            return
        call = yield from self._bodies.addressed(recipient, closes)
        if self._tools:
            self._output.add([call])

    # Calls without marks

    def _unmarked(self, sign: str) -> Steps[None]:
        """JSON or Python that may be a call; text where it names no tool that was offered."""
        source, output = self._source, self._output
        opening = ""
        if repeated := _REPEATED.match(source.text, source.at):
            output.say(source.take(repeated.end()))
            return
        if sign == "<":
            yield from self._guessed()
            return
        alone = output.place.fresh or (self._table.bare and output.place.line)
        if not alone and (not self._table.bare or sign == "```"):
            output.say(source.take(source.at + len(sign)))
            return
        if sign == "```":
            fence = _FENCE.match((yield from source.peek(32)))
            opening = source.take(source.at + (fence.end() if fence else len(sign)))
            if fence is None:
                output.say(opening)
                return
        python = yield from source.decide(self._is_python, HEAD)
        if not python and not (yield from source.decide(self._is_json, _PLACED)):
            output.say(opening or source.take(source.at + 1))
            return
        calls, text = yield from self._bodies.bare(python)
        if (
            not calls
            or any(name not in self._tools for name, _ in calls)
            or not (alone or python or _ARGUED.search(text))
        ):
            output.say(opening + text)
            return
        output.add(calls)
        yield from self._bodies.close(())
        between = _SEPARATOR.match((yield from source.peek(16)))
        if between:
            source.take(source.at + between.end())

    def _guessed(self) -> Steps[None]:
        """A tag that nobody has described, and a call behind it if there is one."""
        source, output = self._source, self._output
        found: Guess | bool | None = None

        def tell(text: str, final: bool) -> bool | None:
            nonlocal found
            found = guess(text, final, self._tools)
            if not isinstance(found, Guess) or found.name:
                return True if isinstance(found, Guess) else found
            seems = (self._is_python(text[found.end :], final), self._is_json(text[found.end :], final))
            return True if True in seems else None if None in seems else False

        if not (yield from source.decide(tell, MOST)) or not isinstance(found, Guess):
            output.say(source.take(source.at + 1))
            return
        opening = source.take(source.at + found.end)
        if found.name:
            output.add([(yield from self._bodies.plain(found.name))])
        else:
            python = yield from source.decide(self._is_python, HEAD)
            calls, text = yield from self._bodies.bare(python)
            if not calls or any(name not in self._tools for name, _ in calls):
                output.say(opening + text)
                return
            output.add(calls)
            yield from self._bodies.close(())
        while size := closing((yield from source.peek(96))):
            source.take(source.at + size)

    def _is_json(self, ahead: str, final: bool) -> bool | None:
        """Whether what comes may be a call: it begins with a call's key, and its name is one that was offered."""
        head = "".join(ahead[:64].split()).removeprefix("[")
        if not head.startswith(self._begins) and (
            len(head) >= self._enough or not any(begin.startswith(head) for begin in self._begins)
        ):
            return False
        found = offered_name(ahead)
        return plain_name(found[1], self._tools) in self._tools if found is not None else (True if final else None)

    def _is_python(self, ahead: str, final: bool) -> bool | None:
        found = _PYTHON.match(ahead)
        if found is None:
            return False if ahead or final else None
        if found[2]:
            return plain_name(found[1], self._tools) in self._tools
        if found.end() < len(ahead) or final or not any(name.startswith(found[1]) for name in self._tools):
            return False
        return None


def _special(mark: str) -> bool:
    """Whether a mark is one that no answer quotes; `<think>` may be quoted."""
    return "|" in mark or "｜" in mark or mark.startswith("[")
