"""Markdown that grows: what is finished is rendered once, only the block at the end is rendered again.

A block at the top level is finished when another one has begun below it. Of a block that is longer than the screen, the
lines that no longer fit are printed as they are.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, ClassVar, final

from attrs import define, field
from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

# HTML, images and link references stay visible as they are written: a reader should see all that the model wrote.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable(["image", "reference"])
_STYLE = re.compile(r"\033\[[0-9;]*m")
_END = re.compile(r"(?: |\033\[[0-9;]*m)*$")
_CODE = "ansi_dark"
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
                final += self._rendered("\n".join(lines[begin:end]))[self._printed :]
                self._printed = 0
            self._text = "\n".join(lines[starts[-1] :])
        growing = self._rendered(self._text)
        over = max(self._printed, len(growing) - room)
        final += growing[self._printed : over]
        self._printed = over
        return final, growing[over:]

    def finish(self) -> list[str]:
        """Return all lines that are left, and begin anew."""
        final, live = self.take(0)
        self._text, self._printed = "", 0
        return final + live

    def _rendered(self, text: str) -> list[str]:
        if not text.strip():
            return []
        lines = ansi_lines(self.console, _Page(text))
        inked = [index for index, line in enumerate(lines) if _STYLE.sub("", line)] or [0]
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
class _Page(Markdown):
    elements: ClassVar = {**Markdown.elements, "heading_open": _Heading, "fence": _Code, "code_block": _Code}

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False, code_theme=_CODE)
        self.parsed = _PARSER.parse(text)
