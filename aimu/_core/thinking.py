"""Separate an answer from the reasoning that a server left in its text, between tags or before a closing tag.

`ThinkSplitter` does it while the text streams, and recognises a block only at the start. `separate` reads a complete
text, and recognises reasoning whose opening tag is missing too: some chat templates end the prompt with that tag.
All of it is linear in the length of the text, whatever the text is and however it is cut.
"""

from __future__ import annotations

import re
from typing import final

from attrs import frozen

from aimu._core.chunks import StreamingContentType
from aimu._core.reply import Delta

THINKING, GENERATING = StreamingContentType.THINKING, StreamingContentType.GENERATING

TAGS = {
    "<think>": "</think>",  # DeepSeek, Qwen and most others
    "<thinking>": "</thinking>",  # Claude 3 before tool calls, and models trained on its answers
    "<thought>": "</thought>",  # Gemini, https://ai.google.dev/gemini-api/docs/openai
    "[THINK]": "[/THINK]",  # Magistral, https://docs.mistral.ai/capabilities/reasoning
    "<seed:think>": "</seed:think>",  # Seed-OSS, https://huggingface.co/ByteDance-Seed/Seed-OSS-36B-Instruct
    "◁think▷": "◁/think▷",  # Kimi-VL, https://huggingface.co/moonshotai/Kimi-VL-A3B-Thinking
}
"""The tags of reasoning. `<reasoning>` is not one of them: prompts ask for it as part of the answer."""

CLOSINGS = tuple(TAGS.values())
_STARTS = {tag[0] for tag in (*TAGS, *CLOSINGS)}
_MARK = re.compile(r"\n|`+|" + "|".join(re.escape(tag) for tag in (*TAGS, *CLOSINGS)))
_TO_THE_END = re.compile(r"\s*+\Z")  # blanks
_QUOTES = tuple("\"'“‘«「(|=>\\")  # before a tag that is quoted
_GOES_ON = tuple(".,;:!?)]}|")  # after a tag inside a sentence
_ENDS = tuple('.!?…。！？:;)"”*')  # of a sentence
_NEAR = 80  # characters around a tag that say whether it is part of a sentence


@final
class ThinkSplitter:
    """An incremental splitter: `feed` it pieces of text to get deltas, and call `finish` once at the end.

    It recognises a thinking block only at the start of the text, after any whitespace, so an answer that quotes the
    tag remains an answer. It drops whitespace around the block, and takes a block that never closes as thinking to the
    end. A closing tag at the very start stands for an empty block. The text of each phase does not depend on where the
    pieces were cut.

    Attributes:
        found: Whether there was a block.

    Args:
        thinking: Whether the prompt has already opened the block, with `<think>`.
    """

    def __init__(self, *, thinking: bool = False) -> None:
        self.found = thinking
        self._opened = thinking
        self._closing = TAGS["<think>"]
        self._tags = (*TAGS, *CLOSINGS)
        self._held = ""  # what may be the beginning of a tag
        self._blank: list[str] = []  # whitespace that may be next to a tag
        self._trim = thinking
        self._step = self._in_thinking if thinking else self._at_start

    @property
    def answering(self) -> bool:
        """Whether all text that follows is the answer."""
        return self._step == self._in_answer

    def feed(self, text: str) -> list[Delta]:
        """Return the deltas that the next piece of text completes."""
        deltas: list[Delta] = []
        while text:
            text = self._step(text, deltas)
        return deltas

    def finish(self) -> list[Delta]:
        """Return what was held back."""
        held, self._held = self._held, ""
        deltas: list[Delta] = []
        if self._step == self._at_start:
            self._answer("".join(self._blank) + held, deltas)
        elif self._step == self._in_thinking and held:
            self._think(held, deltas)
        return deltas

    def skip_block(self, *, trim: bool) -> None:
        """Expect no block, because the thinking came separately; `trim` drops whitespace before the answer."""
        if self._step == self._at_start:
            self._tags, self._trim = CLOSINGS, trim

    def _at_start(self, text: str, deltas: list[Delta]) -> str:
        if not self._held:
            body = text.lstrip()
            self._blank.append(text[: len(text) - len(body)])
            if not body:
                return ""
            text = body
        text, self._held = self._held + text, ""
        tag = next((tag for tag in self._tags if text.startswith(tag)), None)
        if tag is not None:
            self.found = self._trim = True
            self._blank.clear()
            self._closing = TAGS.get(tag, "")
            self._step = self._in_thinking if self._closing else self._in_answer
            return text[len(tag) :]
        if any(tag.startswith(text) for tag in self._tags):
            self._held = text
            return ""
        self._answer(text if self._trim else "".join(self._blank) + text, deltas)
        return ""

    def _in_thinking(self, text: str, deltas: list[Delta]) -> str:
        text, self._held = self._held + text, ""
        thought, closed, rest = text.partition(self._closing)
        if closed:
            self._think(thought, deltas)
            self._trim, self._step = True, self._in_answer
            return rest
        keep = next((n for n in range(len(self._closing) - 1, 0, -1) if text.endswith(self._closing[:n])), 0)
        self._held = text[len(text) - keep :]
        self._think(text[: len(text) - keep], deltas)
        return ""

    def _think(self, text: str, deltas: list[Delta]) -> None:
        """Add thinking; keep the whitespace after it, which counts only if more thinking follows."""
        core = text.rstrip()
        if core:
            if self._trim:
                self._trim, said = False, core.lstrip()
            else:
                said = "".join(self._blank) + core
            deltas.append(Delta(THINKING, said))
            self._blank.clear()
        self._blank.append(text[len(core) :])

    def _in_answer(self, text: str, deltas: list[Delta]) -> str:
        if self._trim:
            text = text.lstrip()
        if text:
            self._answer(text, deltas)
        return ""

    def _answer(self, text: str, deltas: list[Delta]) -> None:
        self._trim, self._step = False, self._in_answer
        if text:
            deltas.append(Delta(GENERATING, text))


@final
@frozen
class Separated:
    """The thinking and the answer in a text; `closing` is the tag that ended thinking which no tag opened, or ""."""

    thinking: str
    text: str
    closing: str = ""


def split_thinking(text: str, *, thinking: bool = False) -> tuple[str, str]:
    """Return the thinking and the answer in a complete text; `thinking` as for `ThinkSplitter`."""
    return _split(text, ThinkSplitter(thinking=thinking))


def separate(text: str, *, apart: bool = False, trim: bool = False, calls: bool = False) -> Separated:
    """Return the thinking and the answer in a complete text.

    Args:
        text: The text.
        apart: Whether the service sent thinking separately, so that no block is expected.
        trim: Whether to drop whitespace before the answer in that case.
        calls: Whether tool calls follow, so that the answer itself may be empty.
    """
    if not apart and not any(start in text for start in _STARTS):
        return Separated("", text)
    splitter = ThinkSplitter()
    if apart:
        splitter.skip_block(trim=trim)
    thought, answer = _split(text, splitter)
    if splitter.found or apart:
        return Separated(thought, answer)
    end = _unopened(text, calls=calls)
    if end is None:
        return Separated("", text)
    return Separated(text[: end.start()].strip(), text[end.end() :].lstrip(), end.group())


def _split(text: str, splitter: ThinkSplitter) -> tuple[str, str]:
    deltas = [*splitter.feed(text), *splitter.finish()]
    thought, answer = (
        "".join(delta.text for delta in deltas if delta.phase is phase) for phase in (THINKING, GENERATING)
    )
    return thought, answer


def _unopened(text: str, *, calls: bool) -> re.Match[str] | None:
    """Return the first closing tag that ends reasoning: no tag opened it, and the text is not about it."""
    if not any(tag in text for tag in CLOSINGS):
        return None
    line = 0  # where the line begins
    code = ""  # the backticks that opened inline code or a fence
    opened = False
    for mark in _MARK.finditer(text):
        sign = mark.group()
        if sign == "\n":
            line = mark.end()
            code = code if len(code) >= 3 else ""  # inline code ends with its line at the latest
        elif sign[0] == "`":
            code = sign if not code else "" if len(sign) >= len(code) else code
        elif code:
            continue
        elif sign in TAGS:
            opened = True
        elif opened:
            opened = False
        elif _ends_reasoning(text, line, mark, calls=calls):
            return mark
    return None


def _ends_reasoning(text: str, line: int, tag: re.Match[str], *, calls: bool) -> bool:
    """Return whether a closing tag ends reasoning, rather than being mentioned in a sentence of the answer.

    Args:
        text: The whole text.
        line: The start of the tag's line.
        tag: The tag.
        calls: Whether tool calls follow.
    """
    before = text[max(line, tag.start() - _NEAR) : tag.start()]
    follows = text[tag.end() : tag.end() + _NEAR]
    after, newline, below = follows.partition("\n")
    if before.endswith(_QUOTES) or after.startswith(_GOES_ON):
        return False
    if not before.strip():
        return True  # the tag begins its line
    sentence = before.rstrip().endswith(_ENDS)
    if not after.strip():
        if not newline or _TO_THE_END.match(text, tag.end()):
            return calls
        return sentence or not before[-1].isspace() or not below[:1].islower()
    starts = not after.lstrip()[0].islower()
    glued = (not before[-1].isspace()) + (not after[0].isspace())
    return glued == 2 or (sentence or starts if glued else sentence and starts)
