"""Split text that carries its reasoning between tags, as it comes, at any cut.

Owns only the text between `<think>` and `</think>`; which models write it so is the providers' and engines' matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from aimu.core.chunks import StreamingContentType
from aimu.core.reply import Delta

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING


@final
class ThinkSplitter:
    """Incremental splitter: `feed` pieces in, deltas out; `finish` once at the end.

    A thinking block is recognised at the start of the text only (leading whitespace aside), so that an answer which
    quotes the tag stays an answer. Pass `thinking=True` where the prompt has opened the block already. Blank lines
    around the block are dropped. A block that never closes is all thinking. Joined deltas of each phase do not depend
    on how the text was cut.
    """

    def __init__(self, *, thinking: bool = False, opening: str = "<think>", closing: str = "</think>") -> None:
        self._opening, self._closing = opening, closing
        self._held = ""  # a piece that may be the beginning of a tag, or blanks that may turn out to be around one
        self._advance = self._in_thinking if thinking else self._at_start
        self._trim = thinking

    def feed(self, text: str) -> Iterator[Delta]:
        self._held += text
        yield from self._run(final=False)

    def finish(self) -> Iterator[Delta]:
        yield from self._run(final=True)

    def skip_block(self) -> None:
        """Say that the block came apart from the text, which is to be the answer, its blanks at the start dropped."""
        if self._advance == self._at_start:
            self._trim, self._advance = True, self._in_answer

    def _run(self, *, final: bool) -> Iterator[Delta]:
        while True:
            before = self._advance
            delta = self._advance(final)
            if delta is not None and delta.text:
                yield delta
            if self._advance == before:
                return

    def _at_start(self, final: bool) -> Delta | None:
        text = self._held.lstrip()
        if text.startswith(self._opening):
            self._held = text[len(self._opening) :]
            self._trim, self._advance = True, self._in_thinking
            return None
        if not final and self._opening.startswith(text):
            return None  # may still become the tag
        self._trim, self._advance = False, self._in_answer
        return None

    def _in_thinking(self, final: bool) -> Delta | None:
        if self._trim:
            self._held = self._held.lstrip()
            self._trim = not self._held
        thought, closed, rest = self._held.partition(self._closing)
        if closed:
            self._held, self._trim, self._advance = rest, True, self._in_answer
            return Delta(THINKING, thought.rstrip())
        if final:
            self._held = ""
            return Delta(THINKING, thought.rstrip())
        keep = self._tail(thought)
        self._held = thought[len(thought) - keep :]
        return Delta(THINKING, thought[: len(thought) - keep])

    def _in_answer(self, final: bool) -> Delta | None:
        if self._trim:
            self._held = self._held.lstrip()
            self._trim = not self._held
        text, self._held = self._held, ""
        return Delta(GENERATING, text)

    def _tail(self, text: str) -> int:
        """Length of the end of `text` that may belong to the closing tag, or be blanks before it."""
        for size in range(min(len(self._closing) - 1, len(text)), 0, -1):
            if self._closing.startswith(text[-size:]):
                break
        else:
            size = 0
        body = text[: len(text) - size]
        return size + len(body) - len(body.rstrip())


def split_thinking(text: str, *, thinking: bool = False) -> tuple[str, str]:
    """`(thinking, answer)` of a whole text."""
    splitter = ThinkSplitter(thinking=thinking)
    parts: dict[StreamingContentType, str] = {THINKING: "", GENERATING: ""}
    for delta in [*splitter.feed(text), *splitter.finish()]:
        parts[delta.phase] += delta.text
    return parts[THINKING], parts[GENERATING]
