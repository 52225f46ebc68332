"""What holds for every program of docs/examples/: the index lists it, its head says what it needs, a test runs it."""

import ast
import json
import re

import pytest

from aimu._tools.site import programs as site
from tests.examples.programs import FOLDER

ROOT = FOLDER.parents[1]
INDEX = (FOLDER / "README.md").read_text("utf8")
PROGRAMS = sorted(path for path in FOLDER.rglob("*.py") if 'if __name__ == "__main__"' in path.read_text("utf8"))
TESTS = "".join(path.read_text("utf8") for path in (ROOT / "tests/examples").glob("test_*.py"))


def name(path):
    return path.relative_to(FOLDER).as_posix()


# The others are started by these.
STARTED = [path for path in PROGRAMS if f"python docs/examples/{name(path)}" in INDEX]


@pytest.mark.parametrize("path", STARTED, ids=name)
def test_the_head_of_a_program_says_how_to_install_and_start_it(path):
    text = path.read_text("utf8")
    head = ast.get_docstring(ast.parse(text))
    assert re.search(r"^    pip install '\.", head, re.MULTILINE)
    assert f"\n    python docs/examples/{name(path)}" in head
    assert "For your own:" in head
    assert re.search(r'aio\.client\("|aimu\.client\("', text), "one line shows how a real model goes in"
    assert re.search(r"^    (pip install .+)$", head, re.MULTILINE)[1] in INDEX
    assert name(path) in TESTS


def test_the_index_lists_every_program_and_the_readme_nothing_else():
    linked = set(re.findall(r"\]\((\w+)(?:/|\.)[^)]*\)", INDEX)) - {""}
    there = {path.stem for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb") or any(path.glob("*.py"))}
    assert linked == there
    assert {path.relative_to(FOLDER).parts[0].partition(".")[0] for path in STARTED} == {
        path.stem for path in FOLDER.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
    }


def test_every_program_has_a_page_of_the_site_to_which_the_index_leads():
    pages = site.pages(ROOT)
    navigation = (ROOT / "mkdocs.yml").read_text("utf8")
    assert pages
    for page, text in pages.items():
        assert page in navigation
        assert f"]({page.removeprefix('examples/')})" in site.relinked(INDEX, ROOT)
        assert text.startswith("# ")


def test_a_page_shows_every_file_of_a_program_the_main_one_first_and_its_docstring_as_prose():
    pages = site.pages(ROOT)
    shown = re.findall(
        r'title="docs/examples/(.+)"', pages["examples/chat_web.md"] + pages["examples/research_team.md"]
    )
    assert shown == ["chat_web/app.py", "chat_web/page.html", "research_team/team.py", "research_team/servers.py"]
    assert (FOLDER / "chat_web/page.html").read_text("utf8").strip() in pages["examples/chat_web.md"]
    source = (FOLDER / "race.py").read_text("utf8")
    head, below = ast.get_docstring(ast.parse(source)), source.split('"""', 2)[2].strip()
    assert (
        pages["examples/race.md"] == f'# race.py\n\n{head}\n\n```python title="docs/examples/race.py"\n{below}\n```\n'
    )


def test_a_page_of_a_notebook_has_its_outputs_and_no_colours(tmp_path):
    folder = tmp_path / "docs" / "examples"
    folder.mkdir(parents=True)
    code = {"cell_type": "code", "source": ["1 +\n", "1"]}
    outputs = [
        {"output_type": "stream", "text": ["a\n", "b\n"]},
        {"output_type": "execute_result", "data": {"text/plain": ["2"]}},
        {"output_type": "error", "traceback": ["\x1b[0;31mOops\x1b[0m"]},
    ]
    cells = [{"cell_type": "markdown", "source": ["# A tour"]}, {**code, "outputs": outputs}]
    (folder / "tour.ipynb").write_text(json.dumps({"cells": cells}), "utf8")
    shown = [f'```text title="Output"\n{text}\n```' for text in ("a\nb", "2", "Oops")]
    expected = "\n\n".join(["# A tour", "```python\n1 +\n1\n```", *shown])
    assert site.pages(tmp_path) == {"examples/tour.md": expected + "\n"}
