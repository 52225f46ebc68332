"""Markdown that grows: what is finished is rendered once, only the block at the end is rendered again.

A block at the top level is finished when another one has begun below it. Of a block that is longer than the screen, the
lines that no longer fit are printed as they are. A block that has no room as Markdown, such as a table of a hundred
columns, is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, final

from attrs import define, field
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from aimu._cli.region import STYLE
from aimu._cli.safe import shown

# HTML, images and link references stay visible as they are written: a reader should see all that the model wrote.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable(["image", "reference"])
_END = re.compile(r"(?: |\033\[[0-9;]*m)*$")
_CODE = "ansi_dark"
DEEPEST = 16  # levels of nesting; the parser drops what is a little deeper
INDENTS = {"blockquote_open": 4, "list_item_open": 4}  # cells, besides the digits of a number
COLUMN = 5  # cells that a column of a table needs at least
NARROWEST = 4  # cells of text next to its indent
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


@final
@define(eq=False)
class GrowingMarkdown:
    """The Markdown of an answer while it streams.

    Args:
        console: Renders it; its width may change.
    """

    console: Console
    _text: str = field(default="", init=False)  # of the block at the end
    _printed: int = field(default=0, init=False)  # lines of it that have left the screen
    _as_written: bool = field(default=False, init=False)  # whether they were shown without Markdown

    def feed(self, text: str) -> None:
        """Add text, which has no control characters."""
        self._text += text.replace("\t", "    ")

    def take(self, room: int) -> tuple[list[str], list[str]]:
        """Return new lines that are final, and lines that may still change.

        Args:
            room: How many lines of the second kind there may be.
        """
        final = []
        lines = self._text.split("\n")
        sure = lines if len(lines[-1].lstrip()) > MARKER else lines[:-1]
        tokens = _PARSER.parse("\n".join(sure))
        starts = sorted({token.map[0] for token in tokens if token.level == 0 and token.map})
        if len(starts) > 1:
            for begin, end in pairwise(starts):
                final += self._lines_of("\n".join(lines[begin:end]))[self._printed :]
                self._printed = 0
            self._text = "\n".join(lines[starts[-1] :])
        growing = self._lines_of(self._text)
        if tokens and tokens[-1].type == "table_close" and room:  # a row that grows changes all lines above
            return final, growing[self._printed :][-room:]
        over = max(self._printed, len(growing) - room)
        final += growing[self._printed : over]
        self._printed = over
        return final, growing[over:]

    def finish(self) -> list[str]:
        """Return all lines that are left, and begin anew."""
        final, live = self.take(0)
        self._text, self._printed = "", 0
        return final + live

    def _lines_of(self, text: str) -> list[str]:
        """Return the lines of the block that grows; if they change their form, all are to be printed again."""
        if not text.strip():
            return []
        page = _Page(text)
        as_written = not _has_room(page.parsed, self.console.width)
        if as_written != self._as_written:
            self._as_written, self._printed = as_written, 0
        lines = ansi_lines(self.console, Text(text) if as_written else page)
        inked = [index for index, line in enumerate(lines) if STYLE.sub("", line)] or [0]
        return ["", *lines[inked[0] : inked[-1] + 1]]


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
        yield Syntax(str(self.text).rstrip(), self.lexer_name, theme=_CODE, background_color="default", word_wrap=True)
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
        self.parsed = _PARSER.parse(text)
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
