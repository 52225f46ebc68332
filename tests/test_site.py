"""The site: nothing of the code is missing on the reference pages made from tables; links and navigation lead on."""

import inspect
import re
from pathlib import Path

import pytest

from aimu import errors
from aimu._tools.site import paths, pictures, tables
from aimu.models._options import VOCABULARY
from aimu.models._resolve import CATALOGS
from aimu.models._table import TABLE
from aimu.types import ClientOptions, MCPOptions

ROOT = Path(__file__).parents[1]
PAGES = tables.pages(ROOT)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_says_its_cause_and_its_remedy(name):
    doc = inspect.getdoc(getattr(errors, name))
    cause, remedy = doc.partition("\n\n")[0], doc.partition("\nRemedy:\n    ")[2]
    assert re.match(r"[A-Z`].+[.;]", cause, re.DOTALL)
    assert re.match(r"[A-Z].+\.", remedy, re.DOTALL)
    assert f"\n::: aimu.errors.{name}\n" in PAGES["reference/errors.md"]
    assert f"[`{name}`][aimu.errors.{name}]" in PAGES["reference/errors.md"]


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_the_pages_have_each_provider_with_its_variables(row):
    assert f"| [{row.title}]({row.link}) | `{row.name}:…` |" in PAGES["reference/providers.md"]
    if row.connection is not None:
        at = row.connection
        for variable in (*at.key_variables, *at.token_variables, *at.url_variables):
            assert f"| `{variable}` | {row.title}: " in PAGES["reference/environment.md"]
            assert f"`{variable}`" in PAGES["reference/providers.md"]


@pytest.mark.parametrize("provider", CATALOGS)
def test_the_page_of_models_has_each_member_of_each_catalog(provider):
    module, kind = CATALOGS[provider]
    catalog = getattr(__import__(module, fromlist=[kind]), kind)
    for member in catalog:
        assert f"| `{member.spec}` | `{member.name}` |" in PAGES["reference/models.md"]


@pytest.mark.parametrize("key", [*VOCABULARY, *ClientOptions.__annotations__, *MCPOptions.__annotations__])
def test_the_page_of_options_says_what_each_means(key):
    assert re.search(rf"^\| `{key}` \| .*\w.*\.+ \|$", PAGES["reference/options.md"], re.MULTILINE)


def test_the_changelog_shows_every_news_fragment_as_unreleased():
    page = PAGES["reference/changelog.md"]
    unreleased = page.partition("## Unreleased")[2].partition("\n## ")[0]
    fragments = [path.read_text("utf8").strip() for path in (ROOT / "changelog.d").glob("+*.md")]
    assert sorted(re.findall(r"^- (.+)$", unreleased, re.MULTILINE)) == sorted(fragments)
    head, _, rest = (ROOT / "CHANGELOG.md").read_text("utf8").partition("<!-- towncrier release notes start -->\n")
    assert page.startswith(head)
    assert page.endswith(rest)


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    for page, text in PAGES.items():
        for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in block.splitlines()}) == 1, page


@pytest.mark.parametrize(
    ("page", "link", "wanted"),
    [
        ("clients.md", "answers.md", "answers.md"),
        ("how-to/stream.md", "../clients.md", "../clients.md"),
        ("architecture.md", "../CONTRIBUTING.md", "contributing.md"),
        ("reference/index.md", "../../CHANGELOG.md", "changelog.md"),
        ("how-to/stream.md", "../../changelog.d/README.md", "../news-fragments.md"),
        ("contributing.md", "docs/architecture.md", "architecture.md"),
        ("contributing.md", "changelog.d/README.md", "news-fragments.md"),
        ("reference/changelog.md", "docs/performance.md", "../performance.md"),
        ("clients.md", "https://example.org/README.md", "https://example.org/README.md"),
        ("clients.md", "#streams", "#streams"),
        ("index.md", "../README.md#an-agent", "index.md#an-agent"),
    ],
)
def test_a_link_leads_to_the_same_page_on_the_site(page, link, wanted):
    assert (
        paths.relinked(f"see [it]({link}), twice: [it]({link})", page) == f"see [it]({wanted}), twice: [it]({wanted})"
    )


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("[the configuration](pyproject.toml)", "the configuration (`pyproject.toml`)"),
        ("[`pyproject.toml`](pyproject.toml)", "`pyproject.toml`"),
        ("[tools/](tests/tools)", "`tests/tools`"),
    ],
)
def test_a_link_to_what_is_no_page_becomes_its_path(link, wanted):
    assert (ROOT / re.search(r"\((.+)\)", link)[1]).exists()
    assert paths.relinked(f"See {link}.", "contributing.md") == f"See {wanted}."


def test_the_first_mention_of_an_error_leads_to_its_remedy():
    kept = "## `OutputError`\n\n```python\nprint(`OutputError`)\n```\n\n[see `OutputError`](x.md) `ValueError`"
    assert paths.errors_linked(kept) == kept
    text = f"{kept} `OutputError`, `OutputError` or `aimu.errors.AimuError`"
    linked = (
        "[`OutputError`][aimu.errors.OutputError], `OutputError` or [`aimu.errors.AimuError`][aimu.errors.AimuError]"
    )
    assert paths.errors_linked(text) == f"{kept} {linked}"


def test_a_folder_in_the_navigation_stands_for_its_pages_that_are_not_named(tmp_path):
    for name in ("a/one.md", "a/two.md", "a/three.md", "b/four.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    nav = ["index.md", {"A": ["a/two.md", "a/*"]}, {"B": [{"Inner": ["b/*"]}]}, {"None": ["c/*"]}]
    assert paths.expanded(nav, tmp_path) == [
        "index.md",
        {"A": ["a/two.md", "a/one.md", "a/three.md"]},
        {"B": [{"Inner": ["b/four.md"]}]},
    ]


def test_a_picture_for_two_schemes_follows_the_switch_of_the_site():
    page = (ROOT / "docs/index.md").read_text("utf8")
    (picture,) = re.findall("<picture>.*</picture>", page)
    light, dark = re.findall("<img [^>]*>", pictures.fitted(f"<p>{picture}</p>"))
    assert 'src="demo.light.svg#only-light"' in light
    assert 'src="demo.dark.svg#only-dark"' in dark
    assert 'alt="The demo in a terminal' in light


def test_a_wide_diagram_scrolls():
    diagram = '<pre class="mermaid"><code>sequenceDiagram\n    a->>b: c</code></pre>'
    assert pictures.fitted(f"{diagram}<p>") == f'<div class="wide-diagram">{diagram}</div><p>'
    assert pictures.fitted('<pre class="mermaid"><code>flowchart LR</code></pre>').startswith(
        '<div class="wide-diagram">'
    )
    assert pictures.fitted('<pre class="mermaid"><code>flowchart TD</code></pre>').startswith("<pre")
    crowd = '<pre class="mermaid"><code>sequenceDiagram\n' + "    participant a\n" * 6 + "</code></pre>"
    assert pictures.fitted(crowd).startswith('<div class="wide-diagram many">')


def test_a_cell_with_much_text_is_not_squeezed():
    assert pictures.fitted("<td>short</td><th>short</th>") == "<td>short</td><th>short</th>"
    long = f"<code>{'x' * 20}</code> {'y' * 20}"
    assert pictures.fitted(f"<td>{long}</td>") == f'<td class="long">{long}</td>'
    assert pictures.fitted(f"<th>{long}</th>") == f'<th class="long">{long}</th>'


def test_no_line_ends_inside_an_option_of_a_command():
    assert (
        pictures.fitted("<code>-m</code> <code>run --no-color x-y</code>")
        == '<code><span class="option">-m</span></code> <code>run <span class="option">--no-color</span> x-y</code>'
    )
    block = "<pre><span></span><code>run --quiet\n</code></pre>"
    assert pictures.fitted(block) == block
