"""Generated files: they are up to date, and a new row of the table generates its classes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import aimu
from aimu._tools import generate, provider_classes

HERE = Path(aimu.__file__).parent
ROW = """
    ProviderRow(
        name="box",
        title="Box",
        stem="Box",
        link="https://box.test",
        connection=Connection(base_url="https://box.test/v1", key_variables=("BOX_KEY",)),
    ),
)

TABLE:"""
USE = """
import aimu.models
from aimu import aio
from aimu.models import *
from aimu.aio import *
print(repr(BoxClient("m")), AsyncBoxClient("box:m").spec, aio.AsyncBoxClient is AsyncBoxClient)
print("BoxModel" in aimu.models.__all__, "box" in aimu.models.PROVIDERS)
print(AsyncBoxClient.__doc__)
"""


def run(folder, *arguments):
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_generated_files_are_up_to_date():
    assert [*generate.outdated()] == []


def test_a_generated_file_says_so_first_and_how_it_is_made():
    for path, text in provider_classes.files().items():
        head = "\n".join(text.splitlines()[:1]) if path.name == "clients.py" else text
        assert "Generated from the table of providers by `python -m aimu._tools.generate`: do not edit." in head


@pytest.fixture
def checkout(tmp_path):
    leave = shutil.ignore_patterns("tiny", "recipe", "__pycache__")
    shutil.copytree(HERE, tmp_path / "aimu", ignore=leave)
    return tmp_path


def test_check_names_what_differs_and_needs_no_packages(checkout):
    check = ("-S", "-m", "aimu._tools.generate", "--check")
    assert run(checkout, *check) == (0, "")
    changed = checkout / "aimu/_sync/clients.py"
    changed.write_text(changed.read_text("utf8") + "\n", "utf8")
    (checkout / "aimu/aio/_clients.py").unlink()
    status, said = run(checkout, *check)
    assert status == 1
    assert said.splitlines() == [
        "aimu/aio/_clients.py differs",
        "aimu/_sync/clients.py differs",
        "run `python -m aimu._tools.generate`",
    ]
    assert run(checkout, "-S", "-m", "aimu._tools.generate")[0] == 0
    assert run(checkout, *check) == (0, "")


def test_a_new_row_generates_its_classes(checkout):
    table = checkout / "aimu/models/_table.py"
    table.write_text(table.read_text("utf8").replace("\n)\n\nTABLE:", ROW), "utf8")
    status, said = run(checkout, "-m", "aimu._tools.generate")
    assert status == 0
    assert len(said.splitlines()) == 4
    status, said = run(checkout, "-c", USE)
    assert status == 0, said
    assert said.startswith("<BoxClient box:m"), said
    assert "box:m True\nFalse True\nA client for Box.\n" in said
    assert "model: The id of a model, without the prefix `box:`." in said


def test_a_row_that_is_not_written_as_literals_is_an_error(checkout, monkeypatch):
    monkeypatch.setattr(provider_classes, "ROOT", checkout)
    table = checkout / "aimu/models/_table.py"
    table.write_text(table.read_text("utf8").replace('name="vllm"', 'name="v" + LLM'), "utf8")
    with pytest.raises(ValueError, match="malformed"):
        provider_classes.rows()


def test_a_package_without_a_place_for_its_exports_is_an_error(checkout, monkeypatch):
    monkeypatch.setattr(provider_classes, "ROOT", checkout)
    init = checkout / "aimu/aio/__init__.py"
    init.write_text(init.read_text("utf8").replace(provider_classes.END, ""), "utf8")
    with pytest.raises(ValueError, match="must have one part"):
        provider_classes.files()
