"""How diagrams, pictures and tables of a page fit into the site: on small screens, and on light and dark pages."""

from __future__ import annotations

import re

_WIDE = re.compile(r'<pre class="mermaid"><code>(?:sequenceDiagram|flowchart LR).*?</pre>', re.DOTALL)
_PICTURE = re.compile(
    r'<picture><source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)"><img ([^>]*)src="([^"]+)"></picture>'
)
_CELL = re.compile(r"<(t[dh])>(.*?)</\1>", re.DOTALL)
_LONG = 40  # characters: what wraps to more than three lines in a narrow column


def fitted(html: str) -> str:
    """Let what is too wide for a small screen scroll, and pictures follow the site's switch of colours.

    Cells with much text get the class `long`, so that they are not squeezed into a narrow column there.
    """
    html = _PICTURE.sub(
        r'<span class="wide-picture"><img \2src="\3#only-light"><img \2src="\1#only-dark"></span>', html
    )
    html = _CELL.sub(_cell, html)
    return _WIDE.sub(r'<div class="wide-diagram">\g<0></div>', html)


def _cell(match: re.Match[str]) -> str:
    kind, content = match.groups()
    text = re.sub(r"<[^>]+>", "", content)
    return f'<{kind} class="long">{content}</{kind}>' if len(text) > _LONG else match[0]
