"""The releases that an error at loading names are those of constraints.txt and pyproject.toml."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from aimu.engines._huggingface import HuggingFaceEngine
from aimu.engines._llamacpp import LlamaCppEngine
from aimu.engines._tested import TESTED, versions_note
from aimu.errors import EngineError

ROOT = Path(__file__).parents[2]


def release(text):
    """Normalize a version: `5.20` and `5.20.0` are the same release, and a local part (`+cpu`) does not count."""
    numbers = [int(number) for number in text.partition("+")[0].split(".")]
    return numbers + [0] * (3 - len(numbers))


def test_the_newest_tested_releases_are_those_of_the_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", "\n".join(lines), re.MULTILINE))
    for name, (_, newest) in TESTED.items():
        assert release(pinned[name]) == release(newest), name


def test_the_lowest_tested_releases_are_the_lower_bounds_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    wanted = [line for extra in ("hf", "llamacpp") for line in project["optional-dependencies"][extra]]
    bounds = dict(re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(wanted), re.MULTILINE))
    for name, (lowest, newest) in TESTED.items():
        assert release(bounds[name]) == release(lowest) <= release(newest), name


def test_the_note_names_installed_and_tested_versions_and_how_to_install_them():
    (lowest, newest), (_, torch) = TESTED["transformers"], TESTED["torch"]
    note = versions_note(("transformers", "torch"))
    assert note.startswith(f"installed: transformers {version('transformers')}, torch {version('torch')}; tested: ")
    assert f"; tested: transformers {lowest} to {newest}, torch " in note
    assert note.endswith(f"; `pip install 'transformers=={newest}' 'torch=={torch}'` installs tested versions")


def test_a_package_without_a_distribution_has_an_unknown_version(monkeypatch):
    monkeypatch.setitem(TESTED, "no-such-engine", ("1.0", "1.0"))
    note = versions_note(("no-such-engine",))
    assert note.startswith("installed: no-such-engine of an unknown version; tested: no-such-engine 1.0; `pip install ")


def test_the_error_at_loading_names_the_versions(tmp_path):
    with pytest.raises(EngineError) as caught:
        HuggingFaceEngine(tmp_path)
    assert str(caught.value).endswith(f" ({versions_note(('transformers', 'torch'))})")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(EngineError) as caught:
        LlamaCppEngine(broken)
    assert str(caught.value).endswith(f" ({versions_note(('llama-cpp-python',))})")
