"""Where pages are: links that lead out of docs/, links to errors, and the navigation with its folders."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from aimu import errors

ROOT = Path(__file__).resolve().parents[3]
# Files beside docs/ that are pages too, by their path in the checkout.
ROOT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "reference/changelog.md",
    "changelog.d/README.md": "news-fragments.md",
    "benchmarks/README.md": "benchmarks.md",
    "README.md": "index.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
# An error in the text; what is not to be changed comes first: blocks of code, headings and links.
_ERROR = re.compile(
    r"^ *```.*?^ *```|^#.*?$|\[[^\]]*\][(\[]|`(?P<written>(?:aimu\.errors\.)?(?P<name>\w+))`", re.DOTALL | re.MULTILINE
)


def relinked(markdown: str, page: str) -> str:
    """Return the text of a page whose links out of docs/, or from there into docs/, are links of the site.

    A link to a file that is no page of the site becomes text with the file's path.

    Args:
        markdown: The text.
        page: The path of the page under docs/, as the site has it.
    """
    origin = next((path for path, name in ROOT_PAGES.items() if name == page != "index.md"), f"docs/{page}")

    def link(match: re.Match[str]) -> str:
        text, written, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), written))
        inside = path.removeprefix("docs/") if path.startswith("docs/") else None
        target = ROOT_PAGES.get(path, inside)
        if inside and origin.startswith("docs/"):
            return match[0]
        if target is not None:
            return f"[{text}]({posixpath.relpath(target, posixpath.dirname(page) or '.')}{anchor})"
        if not (ROOT / path).exists():
            return match[0]
        return f"`{path}`" if path.endswith(text.strip("`/")) else f"{text} (`{path}`)"

    return _LINK.sub(link, markdown)


def errors_linked(markdown: str) -> str:
    """Return the text of a page on which the first mention of each error is a link to its cause and remedy."""
    seen = {""}

    def link(match: re.Match[str]) -> str:
        name = match["name"] or ""
        if name in seen or name not in errors.__all__:
            return match[0]
        seen.add(name)
        return f"[`{match['written']}`][aimu.errors.{name}]"

    return _ERROR.sub(link, markdown)


def expanded(nav: Any, docs: Path) -> Any:
    """Return the navigation with each `folder/*` replaced by the pages of the folder that are not named elsewhere.

    A section without pages is left out.
    """
    return _expanded(nav, docs, set(_leaves(nav)))


def _leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [leaf for value in (nav.values() if isinstance(nav, dict) else nav) for leaf in _leaves(value)]


def _expanded(nav: Any, docs: Path, named: set[str]) -> Any:
    if isinstance(nav, dict):
        return {title: found for title, value in nav.items() if (found := _expanded(value, docs, named))}
    if isinstance(nav, str):
        return nav
    items: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/*"):
            found = sorted(path.relative_to(docs).as_posix() for path in docs.glob(f"{item}.md"))
            items += [path for path in found if path not in named]
        elif inner := _expanded(item, docs, named):
            items.append(inner)
    return items
