"""Every code block of README and docs runs, and every link between the project's files leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(page.read_text("utf8"))], ids=name)
def test_the_code_of_a_page_runs_from_its_first_block_to_its_last(page, tmp_path):
    blocks = BLOCK.findall(page.read_text("utf8"))
    program = tmp_path / f"{page.stem}_page.py"  # "mcp.py" would hide the package
    program.write_text("\n\n".join(blocks), "utf8")
    command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # llama-cpp-python keeps files on the null device open to the end of the program.
    said = [line for line in done.stderr.splitlines() if "name='/dev/null'" not in line]
    assert not any("ResourceWarning" in line for line in said), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_files_lead_somewhere(page):
    missing = [link for link in LINK.findall(page.read_text("utf8")) if not (page.parent / link).exists()]
    assert not missing


def test_the_commands_of_the_readme_name_sessions_that_exist():
    sessions = re.findall(r"nox -s (\w+)", "".join(page.read_text("utf8") for page in PAGES))
    defined = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf8"), re.MULTILINE)
    assert sessions
    assert set(sessions) <= set(defined)
