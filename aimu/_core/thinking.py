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
        self._blanks: list[str] = []  # whitespace that may be next to a tag
        self._held = ""  # the text behind it: the beginning of a tag, perhaps
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
        self._blanks.append(self._held[: len(self._held) - len(text)])
        self._held = text
        if text.startswith(self._opening):
            self._blanks.clear()
            self._held = text[len(self._opening) :]
            self._trim, self._advance = True, self._in_thinking
        elif final or not self._opening.startswith(text):
            self._held = self._with_blanks(text)
            self._trim, self._advance = False, self._in_answer
        return None

    def _in_thinking(self, final: bool) -> Delta | None:
        if self._trim:
            self._held = self._held.lstrip()
            self._trim = not self._held
        thought, closed, rest = self._held.partition(self._closing)
        if closed:
            self._held, self._trim, self._advance = rest, True, self._in_answer
        else:
            body = thought if final else thought[: len(thought) - self._begun(thought)]
            self._held = thought[len(body) :]
            thought = body
        body = thought.rstrip()
        text = self._with_blanks(body) if body else ""
        if closed or final:
            self._blanks.clear()
        else:
            self._blanks.append(thought[len(body) :])
        return Delta(THINKING, text)

    def _with_blanks(self, text: str) -> str:
        """Return `text` behind the whitespace that was held back."""
        text = "".join([*self._blanks, text])
        self._blanks.clear()
        return text

    def _in_answer(self, final: bool) -> Delta | None:
        if self._trim:
            self._held = self._held.lstrip()
            self._trim = not self._held
        text, self._held = self._held, ""
        return Delta(GENERATING, text)

    def _begun(self, text: str) -> int:
        """Return the length of the end of `text` that may be the beginning of the closing tag."""
        sizes = range(min(len(self._closing) - 1, len(text)), 0, -1)
        return next((size for size in sizes if self._closing.startswith(text[-size:])), 0)


def split_thinking(text: str, *, thinking: bool = False) -> tuple[str, str]:
    """Return the thinking and the answer in a complete text; `thinking` as for `ThinkSplitter`."""
    splitter = ThinkSplitter(thinking=thinking)
    parts: dict[StreamingContentType, list[str]] = {THINKING: [], GENERATING: []}
    for delta in [*splitter.feed(text), *splitter.finish()]:
        parts[delta.phase].append(delta.text)
    return "".join(parts[THINKING]), "".join(parts[GENERATING])
