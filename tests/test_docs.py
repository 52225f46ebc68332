"""Every code block of README and docs runs, and every link between the project's files leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.aio.faults import FAULTS
from tests.examples.programs import STRICT, warnings_of
from tests.recorded import ROOTS, load

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
PAGES = [page for page in PAGES if page.name != "SKILL.md"]  # of an example
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
# The pages of the site; some are made when it is built, which fails if the navigation names a page that is not there.
NAVIGATION = set(re.findall(r"[\w./-]+\.md|[\w.-]+/\*", (ROOT / "mkdocs.yml").read_text("utf8")))


def name(page):
    return page.relative_to(ROOT).as_posix()


def with_code():
    """The pages that have code, marked where it loads the embedded model."""
    for page in PAGES:
        code = "".join(BLOCK.findall(page.read_text("utf8")))
        if code:
            loads = "tiny_model(" in code or "tiny_gguf(" in code
            yield pytest.param(page, id=name(page), marks=pytest.mark.engines if loads else ())


@pytest.mark.parametrize("page", list(with_code()))
def test_the_code_of_a_page_runs_from_its_first_block_to_its_last(page, tmp_path):
    blocks = BLOCK.findall(page.read_text("utf8"))
    program = tmp_path / f"{page.stem}_page.py"  # "mcp.py" would hide the package
    program.write_text("\n\n".join(blocks), "utf8")
    command = [sys.executable, *STRICT, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not warnings_of(done.stderr), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_files_lead_somewhere(page):
    targets = [(page.parent / link).resolve() for link in LINK.findall(page.read_text("utf8"))]
    made = {(ROOT / "docs" / name).resolve() for name in NAVIGATION}
    assert not [target for target in targets if not target.exists() and target not in made]


def test_the_navigation_of_the_site_names_every_page():
    pages = {page.relative_to(ROOT / "docs") for page in PAGES if (ROOT / "docs") in page.parents}
    assert not [page for page in pages if not {page.as_posix(), f"{page.parent.as_posix()}/*"} & NAVIGATION]


def test_the_readme_names_every_page():
    linked = LINK.findall((ROOT / "README.md").read_text("utf8"))
    assert {name(page) for page in PAGES} - {"README.md"} <= set(linked)


def test_the_figures_of_the_readme_are_those_of_what_shows_them():
    readme = (ROOT / "README.md").read_text("utf8")
    costs, models = ((ROOT / "docs" / page).read_text("utf8") for page in ("performance.md", "local-models.md"))

    def cells(start):
        row = re.findall(rf"^\| {start} \|.*$", costs, re.MULTILINE)[0]  # on asyncio
        return [cell.strip() for cell in row.strip("|").split("|")]

    agent, piece = (re.search(r"\*\*([\d.]+)\*\*", cells(work)[2])[1] for work in ("agent, one tool call", "delta"))
    assert f"an agent {agent} of its CPU time, a piece of a stream {piece};" in readme
    memory = float(cells("1,000 agents at once, memory too")[4].split()[0])
    assert f"; {memory:.0f} KiB for each of 1,000 agents" in readme
    batched = [costs.partition(f"{kind} lengths: CPU for each token")[2] for kind in ("ragged", "equal")]
    least, most = (1 / float(re.search(r"^\| 16 \|[^*]*\*\*([\d.]+)\*\*", text, re.MULTILINE)[1]) for text in batched)
    assert f"16 requests at once: {least:.1f} to {most:.1f} times the tokens" in readme
    plain, facade = (float(cell.split()[0]) for cell in cells("call")[1:])
    assert f"| {facade - plain:.0f} µs more for a call |" in readme
    architectures, kinds = (re.search(rf"(\d+) {word}", models)[1] for word in ("architectures", "kinds"))
    assert f"{architectures} architectures of transformers, {kinds} kinds of GGUF" in readme
    streams = [
        recording
        for recording in load(ROOTS[:1]).values()
        if recording["streaming"] and recording["response"]["status"] == 200 and "error" not in recording["expect"]
    ]
    services = {recording["provider"] for recording in streams}
    assert f"{len(streams)} recorded streams of {len(services)} services" in readme
    assert f"{len(FAULTS)} faults put in on purpose" in readme


def test_the_commands_of_the_readme_name_sessions_that_exist():
    sessions = re.findall(r"nox -s (\w+)", "".join(page.read_text("utf8") for page in PAGES))
    defined = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf8"), re.MULTILINE)
    assert sessions
    assert set(sessions) <= set(defined)


def test_ci_runs_the_commands_of_the_readme():
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text("utf8"), re.MULTILINE)
    assert len(commands) == 2
    ran = (ROOT / ".ci/run").read_text("utf8").splitlines()
    assert set(commands) <= set(ran)


@pytest.mark.engines
def test_the_picture_of_the_demo_shows_what_it_prints():
    command = [sys.executable, "-m", "aimu._tools.demo_picture", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_demo_runs_without_weights():
    done = subprocess.run(
        [sys.executable, "docs/demo.py", "--scripted", "--seed", "7"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The answer is") == 10
