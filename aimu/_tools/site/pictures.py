"""How diagrams and pictures of a page fit into the site: on small screens, and on light and dark pages."""

from __future__ import annotations

import re

_WIDE = re.compile(r'<pre class="mermaid"><code>sequenceDiagram.*?</pre>', re.DOTALL)
_PICTURE = re.compile(
    r'<picture><source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)"><img ([^>]*)src="([^"]+)"></picture>'
)


def fitted(html: str) -> str:
    """Let diagrams that are too wide for a small screen scroll, and pictures follow the site's switch of colours."""
    html = _PICTURE.sub(r'<img \2src="\3#only-light"><img \2src="\1#only-dark">', html)
    return _WIDE.sub(r'<div class="wide-diagram">\g<0></div>', html)
