"""News fragments: each has a known type and holds one line of text."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "changelog.d"
FRAGMENTS = sorted(path.name for path in FOLDER.iterdir() if path.name != "README.md")
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["tool"]["towncrier"]
TYPES = [entry["directory"] for entry in CONFIG["type"]]


def test_the_guide_lists_the_types_that_are_configured():
    assert re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text("utf8"), re.MULTILINE) == TYPES


def test_releases_are_written_where_the_changelog_expects_them():
    assert CONFIG["start_string"] in (ROOT / "CHANGELOG.md").read_text("utf8")


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_is_one_line_with_a_known_type(name):
    assert re.fullmatch(rf"\+[a-z0-9-]+\.({'|'.join(TYPES)})\.md", name)
    assert re.fullmatch(r"[A-Z`][^\n]+\.\n", (FOLDER / name).read_text("utf8"))
