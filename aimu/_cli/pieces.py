"""Where a long block of Markdown may be cut, so that each piece is rendered once and the next one goes on seamlessly.

A cut depends on the text before it alone: however the text arrives, the pieces are the same. The best place for one is
between the lines of code and tables, the items of a list and the words of a paragraph, after `LIMIT` characters or
those of `LIMITS`. Where there is none, a block is cut anywhere after `LAST` characters or more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen
from markdown_it import MarkdownIt
from markdown_it.token import Token

# HTML, images and link references stay visible as they are written: a reader should see all that the model wrote.
PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable(["image", "reference"])
# Finds the blocks alone, since what is in them takes longer: for many brackets, quadratic time.
BLOCK_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["inline", "reference"])

# Characters of a block before it is cut at a good place, and anywhere: so many are rendered again in each frame. Words
# are rendered faster than lists and code, and a table that is cut has other columns.
LIMIT, LAST = 1024, 4096
LIMITS = {"table_open": 2048, "paragraph_open": 4096}
LONGEST = 2 * max(LIMITS.values())
CARRIED = 512  # characters that the rest of a block may have before it; less than a block has that is cut

_LINE = re.compile(r"\n")
_WORD = re.compile(r"(?<!\s)\s+(?=[^\W\d_])")  # a digit or a mark could begin a block
_PLACES = {
    "fence": re.compile(r"(?<=\S)\n"),  # blank lines at the end of code are not shown
    "code_block": re.compile(r"\n(?= {4})"),
    "table_open": _LINE,
    "blockquote_open": re.compile(r"\n(?= {0,3}>)"),
    "bullet_list_open": re.compile(r"\n(?=[-*+] )"),
    "ordered_list_open": re.compile(r"\n(?=\d{1,9}[.)] )"),
}
_ANYWHERE = (_LINE, re.compile(r"\s+"))
_PREFIXES = {"blockquote_open": "> ", "code_block": "    "}  # that a line needs which is cut
_CLOSING = re.compile(r"[>\s]*(?:`{3,}|~{3,})\s*$")
_INDENTED = re.compile(r"\s{4}")  # a fence with such an indent is none


@frozen
class Cut:
    """Where to cut a block.

    Attributes:
        at: The index of the first character of the rest.
        carried: What is written before the rest, so that it has the form of the block.
        in_code: Whether it is cut within code, whose fences are then left out.
        in_words: Whether it is cut between two words of a paragraph.
    """

    at: int
    carried: str = ""
    in_code: bool = False
    in_words: bool = False


def limit_of(tokens: Sequence[Token]) -> int:
    """Return how long the first block of parsed text may become before it is cut."""
    return LIMITS.get(tokens[0].type, LIMIT) if tokens else LONGEST


def last_of(tokens: Sequence[Token]) -> int:
    """Return how long that block may become if there is no good place to cut it."""
    return max(LAST, 2 * limit_of(tokens))


def cut_of(text: str, tokens: Sequence[Token]) -> Cut | None:
    """Return where to cut a block.

    Args:
        text: The block, as far as it is known.
        tokens: What it was parsed into.

    Returns:
        None if it is short, or is to be cut further on.
    """
    limit, last = limit_of(tokens), last_of(tokens)
    if not tokens or len(text) <= limit:
        return None
    kind = tokens[0].type
    place = _PLACES.get(kind, _WORD)
    found = place.search(text, limit, last)
    if found is None:
        if len(text) <= last:
            return None
        found = next(filter(None, (anywhere.search(text, limit, last) for anywhere in _ANYWHERE)), None)
    at = found.end() if found else last
    fence = _open_fence(text[:at])
    carried = "" if text[at - 1] == "\n" else _PREFIXES.get(kind, "")
    if fence is not None:
        carried = fence + "\n"
    elif kind == "table_open":
        carried = "\n".join(text.split("\n", 2)[:2]) + "\n"
    if len(carried) > CARRIED:
        return Cut(at)
    return Cut(at, carried, in_code=fence is not None or kind == "code_block", in_words=kind == "paragraph_open")


def _open_fence(text: str) -> str | None:
    """Return the line that opens the code in which a text ends, if it ends in some."""
    lines = text.split("\n")
    fences = [token for token in BLOCK_PARSER.parse(text) if token.type == "fence" and token.map]
    if not fences or (place := fences[-1].map) is None or place[1] < len(lines) - (lines[-1] == ""):
        return None
    inside = text.removesuffix("\n").split("\n")[place[0] :]
    opening = inside[0]
    closed = len(inside) > 1 and _CLOSING.match(inside[-1])
    return None if closed or _INDENTED.match(opening) else opening
