"""Separate an answer from the reasoning that stands between tags at its start, while it streams.

Providers and engines know which models write reasoning this way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING


@final
class ThinkSplitter:
    """An incremental splitter: `feed` it pieces of text to get deltas, and call `finish` once at the end.

    It recognises a thinking block only at the start of the text, after any whitespace, so an answer that quotes the
    tag remains an answer. It drops whitespace around the block, and takes a block that never closes as thinking to the
    end. The text of each phase does not depend on where the pieces were cut.

    Args:
        thinking: Whether the prompt has already opened the block.
        opening: The tag that opens the block.
        closing: The tag that closes it.
    """

    def __init__(self, *, thinking: bool = False, opening: str = "<think>", closing: str = "</think>") -> None:
        self._opening, self._closing = opening, closing
        self._held = ""  # text that may be the beginning of a tag, or whitespace that may be next to one
        self._advance = self._in_thinking if thinking else self._at_start
        self._trim = thinking

    def feed(self, text: str) -> Iterator[Delta]:
        """Yield the deltas that the next piece of text completes."""
        self._held += text
        yield from self._run(final=False)

    def finish(self) -> Iterator[Delta]:
        """Yield what was held back."""
        yield from self._run(final=True)

    def skip_block(self) -> None:
        """Treat the text as the answer, without leading whitespace: its thinking came separately."""
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
            return None  # it may still become the tag
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
        """Return the length of the end of `text` that may be part of the closing tag, or whitespace before it."""
        for size in range(min(len(self._closing) - 1, len(text)), 0, -1):
            if self._closing.startswith(text[-size:]):
                break
        else:
            size = 0
        body = text[: len(text) - size]
        return size + len(body) - len(body.rstrip())


def split_thinking(text: str, *, thinking: bool = False) -> tuple[str, str]:
    """Return the thinking and the answer in a complete text; `thinking` as for `ThinkSplitter`."""
    splitter = ThinkSplitter(thinking=thinking)
    parts: dict[StreamingContentType, str] = {THINKING: "", GENERATING: ""}
    for delta in [*splitter.feed(text), *splitter.finish()]:
        parts[delta.phase] += delta.text
    return parts[THINKING], parts[GENERATING]
