"""Markdown that grows: what is finished is rendered once, only the block at the end is rendered again.

A block at the top level is finished when another one has begun below it; a long one is cut into pieces (`pieces`). Of a
block that is longer than the screen, the lines that no longer fit are printed as they are. A block that has no room as
Markdown, such as a table of a hundred columns, is shown as it was written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, final

from attrs import define, field
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from aimu._cli.pieces import BLOCK_PARSER, LAST, LONGEST, PARSER, Cut, cut_of, last_of, limit_of
from aimu._cli.region import STYLE
from aimu._cli.safe import shown

_END = re.compile(r"(?: |\033\[[0-9;]*m)*$")
_CODE = "ansi_dark"
DEEPEST = 16  # levels of nesting; the parser drops what is a little deeper
INDENTS = {"blockquote_open": 4, "list_item_open": 4}  # cells, besides the digits of a number
COLUMN = 5  # cells that a column of a table needs at least
NARROWEST = 4  # cells of text next to its indent
BUDGET = 2048  # characters that are finished in one frame, and a block
PER_LINE = 32  # characters that are rendered as fast as another line is begun
MARKER = 16  # characters of a line that tell whether it begins a block, or belongs to the one above

THEME = Theme(
    {
        "markdown.code": "cyan",
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "bold dim",
        "markdown.h5": "dim",
        "markdown.h6": "dim",
        "markdown.link": "underline",
        "markdown.link_url": "dim",
        "markdown.block_quote": "dim",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
    }
)


def ansi_lines(console: Console, renderable: Any) -> list[str]:
    """Return the lines of a renderable, with styles as far as the console has them."""
    with console.capture() as capture:
        console.print(renderable, markup=False, highlight=False, emoji=False)
    return [
        _END.sub(lambda end: end[0].replace(" ", ""), line, count=1)
        for line in capture.get().removesuffix("\n").split("\n")
    ]


def _cost(text: str) -> int:
    """Return how much work it is to render a text, in characters."""
    return len(text) + PER_LINE * text.count("\n")


@final
@define(eq=False)
class GrowingMarkdown:
    """The Markdown of an answer while it streams.

    Args:
        console: Renders it; its width may change.
    """

    console: Console
    _text: str = field(default="", init=False)  # of the block at the end, and of what comes after it
    _fed: list[str] = field(factory=list[str], init=False)  # what comes after that
    _stopped: bool = field(default=False, init=False)  # whether `take` ended before the block at the end
    _skipped: int = field(default=0, init=False)  # lines of its rendering that the piece before it has shown
    _printed: int = field(default=0, init=False)  # lines of it that have left the screen
    _as_written: bool = field(default=False, init=False)  # whether they were shown without Markdown
    _drawn: tuple[str, int, list[str]] = field(default=("", 0, []), init=False)  # text, width and lines of a rendering

    def feed(self, text: str) -> None:
        """Add text, which has no control characters."""
        self._fed.append(text.replace("\t", "    "))

    def take(self, room: int, budget: int = BUDGET) -> tuple[list[str], list[str]]:
        """Return new lines that are final, and lines that may still change.

        Args:
            room: How many lines of the second kind there may be.
            budget: About how many characters to finish; the next call goes on.
        """
        self._text += "".join(self._fed)
        self._fed.clear()
        if self._text[:LONGEST].isspace():
            self._text = self._text.lstrip()
        final: list[str] = []
        left = budget
        while left > 0:
            *finished, (tokens, text, is_whole) = self._blocks()
            if not finished:
                if (cut := cut_of(text.rstrip() if is_whole else text, tokens)) is None:
                    self._stopped = False
                    return self._growing(final, tokens, room)
                left -= _cost(text[: cut.at])
                final += self._piece(cut)
            for tokens, text, _ in finished:
                left -= _cost(text)
                if (cut := cut_of(text.rstrip(), tokens)) is not None:
                    final += self._piece(cut)
                    break
                final += self._end(self._lines_of(text), len(text))
                if left <= 0:
                    break
        self._stopped = True
        return final, []

    @property
    def behind(self) -> bool:
        """Return whether there is much that is not rendered yet, which `take` does in further calls."""
        return self._stopped or sum(map(len, self._fed)) > BUDGET

    def finish(self, budget: int = sys.maxsize) -> list[str]:
        """Return all lines that are left, and begin anew.

        Args:
            budget: About how many characters to render, which takes long; what is left is shown as it was written.
        """
        lines, _ = self.take(0, budget)
        lines += self._text.split("\n") if self._stopped else self._lines_of(self._text)[self._printed :]
        self._text, self._printed, self._skipped, self._stopped = "", 0, 0, False
        return lines

    def _blocks(self) -> list[tuple[list[Token], str, bool]]:
        """Return the first blocks, of which all but the last are finished: what they are, their text, if it is whole.

        Of the last one, the text is as far as it is sure.
        """
        for size in (LAST + 2 * MARKER, LONGEST + 2 * MARKER):
            lines = self._text[:size].split("\n")
            sure = lines if len(lines[-1].lstrip()) > MARKER or len(lines) == 1 else lines[:-1]
            tokens = BLOCK_PARSER.parse("\n".join(sure))
            begins = [n for n, token in enumerate(tokens) if token.level == 0 and token.map and token.nesting >= 0]
            is_whole = len(self._text) <= size
            if is_whole or len(begins) > 1 or last_of(tokens) < size:
                break
        starts = [0, *((tokens[n].map or [0])[0] for n in begins[1:])]
        ends = [*begins[1:], len(tokens)]
        blocks = [
            (tokens[begin:end], "\n".join(lines[first:last]) + "\n", True)
            for begin, end, first, last in zip(begins, ends, starts, starts[1:], strict=False)
        ]
        return [*blocks, (tokens[begins[-1] :] if begins else [], "\n".join(sure[starts[-1] :]), is_whole)]

    def _piece(self, cut: Cut) -> list[str]:
        """Take a piece off the first block and return the lines of it that are left to print."""
        text = self._text[: cut.at]
        lines = self._lines_of(text)
        at, words = cut.at, text.rstrip()
        fenced = cut.in_code and not self._as_written
        if fenced:
            lines.pop()
        elif cut.in_words and lines[-1][:1].isalpha() and words.endswith(lines[-1]) and len(lines[-1]) < len(words):
            at = len(words) - len(lines.pop())  # the next piece fills this line
        left = self._end(lines, at)
        self._text = cut.carried + self._text
        self._skipped = bool(lines) + (fenced or bool(cut.carried and cut.in_code))
        return left

    def _end(self, lines: list[str], length: int) -> list[str]:
        """Finish the text at the beginning, and return the lines of it that are left to print."""
        left = lines[self._printed :]
        self._text, self._printed, self._skipped = self._text[length:], 0, 0
        return left

    def _growing(self, final: list[str], tokens: Sequence[Token], room: int) -> tuple[list[str], list[str]]:
        """Return the lines of the block at the end, divided by whether they may still change."""
        growing = self._lines_of(self._text)
        is_table = bool(tokens) and tokens[-1].type == "table_close"  # a row that grows changes all lines above
        if is_table or len(self._text) > limit_of(tokens):
            return final, growing[self._printed :][-room:] if room else []
        over = max(self._printed, len(growing) - room)
        final += growing[self._printed : over]
        self._printed = over
        return final, growing[over:]

    def _lines_of(self, text: str) -> list[str]:
        """Return the lines of the block that grows; if they change their form, all are to be printed again."""
        if not text.strip():
            return []
        if self._drawn[:2] != (text, self.console.width):
            page = _Page(text)
            as_written = not _has_room(page.parsed, self.console.width)
            if as_written != self._as_written:
                self._as_written, self._printed = as_written, 0
            lines = ansi_lines(self.console, Text(text) if as_written else page)
            inked = [index for index, line in enumerate(lines) if STYLE.sub("", line)] or [0]
            self._drawn = text, self.console.width, ["", *lines[inked[0] : inked[-1] + 1]]
        return self._drawn[2][self._skipped :]


@final
class _Heading(Heading):
    """A heading at the left margin."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


@final
class _Code(CodeBlock):
    """Code between fences, without a margin, so that it can be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        name = self.lexer_name if self.lexer_name != "text" else ""
        yield Text(f"```{name}", "dim")
        if code := str(self.text).rstrip():
            yield Syntax(code, self.lexer_name, theme=_CODE, background_color="default", word_wrap=True)
        yield Text("```", "dim")


@final
class _Table(TableElement):
    """A table that folds what is too wide for a cell."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                for column in table.columns:
                    column.overflow = "fold"
            yield table


@final
class _Page(Markdown):
    parsed: list[Token]
    elements: ClassVar = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _Table,
    }

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False, code_theme=_CODE)
        self.parsed = PARSER.parse(text)
        _make_safe(self.parsed)


def _make_safe(tokens: Sequence[Token]) -> None:
    """Escape control characters that were written as entities, such as `&#8238;`, or percent-encoded in a link."""
    for token in tokens:
        token.content = shown(token.content)
        _make_safe(token.children or ())


def _has_room(tokens: Sequence[Token], width: int) -> bool:
    """Return whether a block can be shown as Markdown without losing text."""
    indents, deepest, columns = [0], 0, 0
    for token in tokens:
        if token.level > DEEPEST:
            return False
        if token.type in INDENTS:
            indents.append(indents[-1] + INDENTS[token.type] + len(token.info))
            deepest = max(deepest, indents[-1])
        elif token.type in ("blockquote_close", "list_item_close"):
            indents.pop()
        columns += token.type == "th_open"
    return deepest + max(NARROWEST, COLUMN * columns) <= width
