"""How diagrams, pictures and tables of a page fit into the site: on small screens, and on light and dark pages."""

from __future__ import annotations

import re

_WIDE = re.compile(r'<pre class="mermaid"><code>(?:sequenceDiagram|flowchart LR).*?</pre>', re.DOTALL)
_PICTURE = re.compile(
    r'<picture><source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)"><img ([^>]*)src="([^"]+)"></picture>'
)
_MANY = 5  # participants of a sequence diagram that would be too small to read on any screen
_CELL = re.compile(r"<(t[dh])>(.*?)</\1>", re.DOTALL)
_CODE = re.compile(r"<code>[^<\n]*</code>")
_OPTION = re.compile(r"(?<![^\s>])-[^\s<]{1,32}")
_LONG = 40  # characters: what wraps to more than three lines in a narrow column


def fitted(html: str) -> str:
    """Let what is too wide for a small screen scroll, and pictures follow the site's switch of colours.

    Cells with much text get the class `long`, so that they are not squeezed into a narrow column. Options of a command
    in the text get the class `option`, so that no line ends after one of their hyphens.
    """
    html = _PICTURE.sub(
        r'<span class="wide-picture"><img \2src="\3#only-light"><img \2src="\1#only-dark"></span>', html
    )
    html = _CODE.sub(_code, _CELL.sub(_cell, html))
    return _WIDE.sub(_scrolling, html)


def _scrolling(match: re.Match[str]) -> str:
    many = " many" if match[0].count("participant ") > _MANY else ""
    return f'<div class="wide-diagram{many}">{match[0]}</div>'


def _cell(match: re.Match[str]) -> str:
    kind, content = match.groups()
    text = re.sub(r"<[^>]+>", "", content)
    return f'<{kind} class="long">{content}</{kind}>' if len(text) > _LONG else match[0]


def _code(match: re.Match[str]) -> str:
    return _OPTION.sub(r'<span class="option">\g<0></span>', match[0])
