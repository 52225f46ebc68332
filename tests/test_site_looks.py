"""Every page of the built site in a browser, wide and narrow, light and dark; test_site.py has what it is made of."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
SITE = Path(__file__).parents[1] / "site"
FAULTS = Path(__file__).with_name("site_faults.js").read_text("utf8")
FORMS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=os.environ["AIMU_CHROMIUM"], args=["--no-sandbox"])


def opened(browser, width, scheme, faults):
    """A page without a network, which adds to the faults what it asks of others and what its console says."""
    page = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, offline=True).new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: said.type in ("error", "warning") and faults.append(said.text))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or faults.append(asked.url))
    return page


def test_the_faults_are_found(browser):
    page = opened(browser, 390, "light", found := [])
    page.set_content(
        """<article><h1>¶</h1><p id=a>**bold</p><p id=a style="color: #999">grey</p><img width=9 height=9 src="data:,">
        <p style="width: 500px">wide</p><p style="color: oklch(0.2 0 0)">of another form</p></article>
        <img src="http://127.0.0.1:9/far.png"><script>console.error("said"); throw Error("thrown")</script>"""
    )
    found += page.evaluate(FAULTS)
    page.context.close()
    kinds = ("the page is wider", "too wide: <p", "broken: data:", "Markdown: **bold", "twice: #a", "an empty heading")
    seen = ("weak: P. rgb(153, 153, 153)", "not rgb: oklch(", "said", "thrown", "http://127.0.0.1:9/far.png")
    for kind in (*kinds, *seen):
        assert [fault for fault in found if fault.startswith(kind)], (kind, found)


@pytest.mark.parametrize(("width", "scheme"), FORMS)
def test_no_page_has_a_fault_that_a_browser_can_see(browser, width, scheme):
    paths = [path for path in sorted(SITE.rglob("*.html")) if path.name != "404.html"]  # its links begin at the root
    found = []
    page = opened(browser, width, scheme, found)
    faults = {}
    for path in paths:
        page.goto(path.as_uri())
        page.wait_for_function("!document.querySelector('pre.mermaid')")  # each diagram is drawn
        assert page.get_attribute("body", "data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
        found += page.evaluate(FAULTS)
        if found:
            faults[path.relative_to(SITE).as_posix()] = found.copy()
            found.clear()
    page.context.close()
    assert len(paths) > 60
    assert not faults


@pytest.mark.parametrize("width", [1280, 390])
def test_the_search_works_without_a_network(browser, width):
    faults = []
    page = opened(browser, width, "light", faults)
    page.goto((SITE / "index.html").as_uri())
    if width < 1000:
        page.locator(".md-header__button[for=__search]").click()
    for word, wanted in ("cancellation", "cancellation.html"), ("BusyConversationError", "reference/errors.html"):
        page.get_by_role("textbox", name="Search").fill("")
        page.get_by_role("textbox", name="Search").press_sequentially(word)
        page.locator(f".md-search-result__link[href*='{wanted}']").first.wait_for()
    page.context.close()
    assert not faults
