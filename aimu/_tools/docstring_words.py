"""Docstrings of the async classes in the words of the sync ones.

Owns the table of words and the layout: what changed is wrapped again, code keeps its lines. Knows no classes.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass  # the lint environment has nothing beyond the standard library
from typing import Literal

WIDTH = 120

# In this order. Spaces match across lines.
WORDS = [
    (r"\basync (with|for)\b", r"\1"),
    (r"\basync def run\b", "def run"),
    (r"\bawait ", ""),
    (r"\b([Aa])n async (?=[aeiou])", r"\1n "),
    (r"\b([Aa])n async ", r"\1 "),
    (r"\ban aio\b", "an aimu"),
    (r"\baclose\b", "close"),
    (r"\b([Aa])n Async(?=[AEIOU])", r"\1n "),
    (r"\b([Aa])n Async(?=[A-Z])", r"\1 "),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bone async task at a time\b", "one thread at a time"),
    (r"\bin the caller's event loop\b", "on the caller's thread"),
    (r"\bfrom any async task\b", "from any thread"),
    (r"\bin the async task of this call\b", "on the thread of this call"),
]
# What differs between the surfaces in more than words. Each must still be said somewhere.
SENTENCES = {
    "An awaitable of the answer, or with `stream=True` of an async iterator of chunks.": (
        "The answer, or with `stream=True` an iterator of chunks."
    ),
    "Or a sync client: both are then handles of one conversation. For models that run in this process (`hf`, "
    "`llamacpp`), pass a sync client, because only it loads weights.": (
        "Models that run in this process (`hf`, `llamacpp`) load their weights here, once. Or another sync client: "
        "both are then handles of one conversation, as is `aimu.aio.client(client)`."
    ),
    "WeightsLoadedTwiceError: The model runs in this process and is not given as a sync client.": "",
    "or `model_client` is not an async client": "or `model_client` is one of `aimu.aio`",
    "Whether the calls of one reply may overlap; a number limits how many run at once.": (
        "Whether the calls of one reply may overlap; a number limits how many run at once. If they may, sync tools run "
        "in worker threads, otherwise on the caller's thread."
    ),
    " The first run reads the folders in a worker thread.": "",
    "A stream is read once.": "A stream is read once, by one thread.",
    " Awaiting a stream returns the stream itself.": "",
    " A tool or runner of the run itself does not wait for the end of the run; it is cancelled at its next wait.": "",
    "anyio.BusyResourceError: Another async task is waiting for the next chunk.": (
        "StreamClosedError: Another thread has begun to read the stream."
    ),
    "connects, and holds the connections in this event loop until the block ends. Without a block, `await "
    "MCPClient.connect(...)` holds the connections in a thread; any async task may then call `aclose()`. Calls may "
    "run concurrently and in any event loop.": (
        "connects until the block ends. Without a block, `MCPClient.connect(...)` connects until `close()`. Calls may "
        "run concurrently and in any thread."
    ),
}
UNFIT = re.compile(r"(?i)\bawait\w*|\basync (with|for)\b|\baclose\b|\bcoroutines?\b|\bevent loops?\b")

_HEADING = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Examples?):$")
_ITEM = re.compile(r"\*{0,2}(\w+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Some lines of a docstring that belong together.

    `margins` are the indentations of the first and the following lines; a blank line or code has none.
    """

    kind: Literal["blank", "code", "heading", "prose", "item"]
    lines: list[str]
    margins: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """The words on one line."""
        return " ".join(line.strip() for line in self.lines)


class Words:
    """Puts texts into other words; collects the sentences that it met, and what is wrong."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self.met: set[str] = set()
        self.problems: list[str] = []

    def docstring(self, text: str, indent: int) -> str:
        """A docstring, for a place that is indented by `indent`."""
        lines: list[str] = []
        for block in blocks(text):
            if block.kind == "code":
                lines.extend(self._words(line) for line in block.lines)
            elif (said := self.sentence(block.text)) == block.text and max(map(len, block.lines)) <= WIDTH - indent:
                lines.extend(block.lines)
            elif said:
                lines.extend(wrapped(said, block.margins, indent, first=not lines))
        return "\n".join(lines)

    def sentence(self, text: str) -> str:
        """Prose without a layout."""
        for before, after in SENTENCES.items():
            if before in text:
                self.met.add(before)
                text = text.replace(before, after)
        return self._words(text)

    def _words(self, text: str) -> str:
        text = re.sub(r"(?<!aimu\.)\baio\.(\w+)", lambda found: self._names.get(found[1], found[0]), text)
        for pattern, replacement in WORDS:
            text = re.sub(pattern, replacement, text)
        if unfit := UNFIT.search(text):
            self.problems.append(f"a sync docstring would say {unfit[0]!r}; add to the table of words: {text}")
        return text


def blocks(docstring: str) -> list[Block]:
    """The docstring taken apart, Google style."""
    found: list[Block] = []
    section, fenced = "", False
    lines = inspect.cleandoc(docstring).split("\n")
    for line in lines:
        indent = len(line) - len(line.lstrip())
        last = found[-1] if found else None
        if line.strip() and indent == 0 and not fenced:
            section = ""
        if line.lstrip().startswith("```"):
            fenced = not fenced
            found.append(Block("code", [line]))
        elif not line.strip():
            found.append(Block("blank", [""]))
        elif heading := _HEADING.match(line):
            section = heading[1]
            found.append(Block("heading", [line]))
        elif fenced or section.startswith("Example") or (not section and indent >= 4):
            found.append(Block("code", [line]))
        elif section in ("Args", "Attributes", "Raises") and indent == 4:
            found.append(Block("item", [line], (4, 8)))
        elif line.lstrip().startswith("- "):
            found.append(Block("prose", [line], (indent, indent + 2)))
        elif last is not None and last.kind in ("prose", "item"):
            last.lines.append(line)
        else:
            found.append(Block("prose", [line], (indent, indent)))
    return found


def items(docstring: str) -> dict[str, str]:
    """What the sections `Args:` and `Attributes:` say of each name."""
    matches = (_ITEM.match(block.text) for block in blocks(docstring) if block.kind == "item")
    return {match[1]: match[2] for match in matches if match}


def wrapped(text: str, margins: tuple[int, int], indent: int, *, first: bool) -> list[str]:
    """The lines of a paragraph; the first one of a docstring leaves room for the quotes."""
    quotes = '"""' if first else ""
    lines = textwrap.wrap(
        quotes + text,
        width=WIDTH - indent,
        initial_indent=" " * margins[0],
        subsequent_indent=" " * margins[1],
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [lines[0].removeprefix(quotes), *lines[1:]]
