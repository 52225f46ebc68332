"""The events of MkDocs that this site handles: pages from the code, links that leave docs/, and local scripts.

MkDocs is installed only where the site is built, so its objects have no types here.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from aimu._tools.site import api, scripts, tables

ROOT = Path(__file__).resolve().parents[3]
# Files beside docs/ that are pages too, by their path in the checkout.
ROOT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "reference/changelog.md",
    "changelog.d/README.md": "news-fragments.md",
    "README.md": "index.md",
}
_WIDE = re.compile(r'<pre class="mermaid"><code>sequenceDiagram.*?</pre>', re.DOTALL)
_OUTSIDE = re.compile(r'<(?:script|img|iframe|link rel="(?:stylesheet|preconnect)")[^>]*"((?:https?:)?//[^"]+)')
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_config(config: Any) -> Any:
    """Replace each `folder/*` of the navigation by the pages of that folder which it does not name elsewhere."""
    named = {item for item in _leaves(config.nav) if not item.endswith("/*")}
    config.nav = _expanded(config.nav, Path(config.docs_dir), named)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the code, those beside docs/, and the scripts."""
    pages = {**api.pages(), **tables.pages(ROOT)}
    for origin, page in ROOT_PAGES.items():
        if page not in pages and files.get_file_from_path(page) is None:
            pages[page] = (ROOT / origin).read_text("utf8")
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    for path, script in scripts.files().items():
        files.append(File.generated(config, path, content=script))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to files beside docs/ to their pages on the site, and give the first page more room."""
    here = page.file.src_uri
    if here == "index.md":
        page.meta["hide"] = ["navigation"]  # it would list this page alone
    origin = next((path for path, name in ROOT_PAGES.items() if name == here != "index.md"), f"docs/{here}")

    def relinked(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[1]))
        target = ROOT_PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if target is None or (origin.startswith("docs/") and path.startswith("docs/")):
            return match[1]
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(relinked, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Let diagrams that are too wide for a small screen scroll instead of shrinking."""
    return _WIDE.sub(r'<div class="wide-diagram">\g<0></div>', html)


def on_post_build(config: Any) -> None:
    """Check what MkDocs does not: each public name is described, and no page loads anything from elsewhere.

    Raises:
        PluginError: The site breaks one of these rules.
    """
    site = Path(config.site_dir)
    texts = {path.relative_to(site).as_posix(): path.read_text("utf8") for path in site.rglob("*.html")}
    faults = [f"{page} loads {url}" for page, text in texts.items() for url in _OUTSIDE.findall(text)]
    faults += [
        f"{thing.name} is not described on {page}"
        for group in api.things().values()
        for thing in group
        if f'id="{thing.home}"' not in texts.get(page := api.page_of(thing.home).replace(".md", ".html"), "")
    ]
    if faults:
        raise PluginError("\n".join(faults))


def _leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    values = nav.values() if isinstance(nav, dict) else nav or ()
    return [leaf for value in values for leaf in _leaves(value)]


def _expanded(nav: Any, docs: Path, named: set[str]) -> Any:
    if isinstance(nav, dict):
        return {title: _expanded(value, docs, named) for title, value in nav.items()}
    if not isinstance(nav, list):
        return nav
    items: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/*"):
            found = sorted(path.relative_to(docs).as_posix() for path in docs.glob(f"{item}.md"))
            items += [path for path in found if path not in named]
        else:
            items.append(_expanded(item, docs, named))
    return [item for item in items if not isinstance(item, dict) or all(value != [] for value in item.values())]
