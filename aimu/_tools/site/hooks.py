"""The events of MkDocs that this site handles: pages from the code, links that leave docs/, and local scripts.

MkDocs is installed only where the site is built, so its objects have no types here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from aimu import errors
from aimu._tools.site import api, paths, pictures, programs, scripts, tables

_OUTSIDE = re.compile(r'<(?:script|img|iframe|link rel="(?:stylesheet|preconnect)")[^>]*"((?:https?:)?//[^"]+)')
_UNLINKED = re.compile(r'<li class="doc-section-item field-body">\s*<code>(?:<span[^>]*>)?(\w+)')


def on_config(config: Any) -> Any:
    """Fill in the folders of the navigation."""
    config.nav = paths.expanded(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the code, those beside docs/, and the scripts."""
    pages = {**api.pages(), **tables.pages(paths.ROOT), **programs.pages(paths.ROOT)}
    for origin, page in paths.ROOT_PAGES.items():
        if page not in pages and files.get_file_from_path(page) is None:
            pages[page] = (paths.ROOT / origin).read_text("utf8")
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    for path, script in scripts.files().items():
        files.append(File.generated(config, path, content=script))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to files beside docs/ to their pages, link errors, and give the first page more room."""
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation"]  # it would list this page alone
    if page.file.src_uri == "examples/README.md":
        markdown = programs.relinked(markdown, paths.ROOT)
    return paths.relinked(paths.errors_linked(markdown), page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Fit diagrams and pictures into the page."""
    return pictures.fitted(html)


def on_post_build(config: Any) -> None:
    """Check what MkDocs does not.

    Each public name is on a page and has a docstring, each error that a docstring names links to its remedy, and no
    page loads anything from elsewhere.

    Raises:
        PluginError: The site breaks one of these rules.
    """
    site = Path(config.site_dir)
    texts = {path.relative_to(site).as_posix(): path.read_text("utf8") for path in site.rglob("*.html")}
    faults = [f"{page} loads {url}" for page, text in texts.items() for url in _OUTSIDE.findall(text)]
    faults += [
        f"{page} names {name} without a link to its remedy"
        for page, text in texts.items()
        for name in set(_UNLINKED.findall(text)) & set(errors.__all__)
    ]
    faults += [
        f"{thing.name} is not described on {page}"
        for group in api.things().values()
        for thing in group
        if f'id="{thing.home}"' not in texts.get(page := api.page_of(thing.home).replace(".md", ".html"), "")
    ]
    faults += [
        f"{thing.name} has no docstring"
        for group in api.things().values()
        for thing in group
        if not api.summary(thing.thing)
    ]
    if faults:
        raise PluginError("\n".join(faults))
