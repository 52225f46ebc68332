"""The border of a skill's folder: what is bundled, and that nothing outside is read, listed or waited for."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu.errors import SkillError
from aimu.skills import Skill, SkillManager
from aimu.skills import _skill as skill_module
from tests.skills.written import ON_ONE_FOLDER, put, write


def test_bundled_files_are_listed_without_the_hidden_ones_and_what_leads_outside(bundle):
    assert bundle.files() == ["logo.png", "same", "scripts/run.py"]
    assert bundle.read("scripts/run.py") == "print()"
    assert bundle.read("./scripts/../same") == b"\x89PNG\xff"
    assert "name: pdf" in bundle.read("SKILL.md")


@pytest.mark.parametrize(
    "path", ["../secret", "out", "up/secret", "scripts/out", "up/../secret", "/etc/hostname", "../pdf2", "up", ".."]
)
def test_nothing_outside_the_folder_is_read(bundle, path):
    with pytest.raises(SkillError, match="outside"):
        bundle.read(path)


@pytest.mark.parametrize("path", ["", ".", "scripts", "none", "pipe", "loop", "a\0b", "x" * 5_000, "logo.png/x"])
def test_a_path_that_is_not_a_file_raises_skill_error(bundle, path):
    with pytest.raises(SkillError, match="pdf"):
        bundle.read(path)


@ON_ONE_FOLDER
@given(st.lists(st.sampled_from(["..", ".", "up", "out", "scripts", "secret", "pdf", "run.py", "", "~"])).map("/".join))
def test_no_path_reads_a_file_outside_the_folder(bundle, path):
    try:
        assert bundle.read(path) != "SECRET"
    except SkillError:
        pass


def test_files_have_bounds_in_size_and_number(bundle, monkeypatch):
    monkeypatch.setattr(skill_module, "MAX_FILE_BYTES", 3)
    with pytest.raises(SkillError, match="more than 3 bytes"):
        bundle.read("scripts/run.py")
    monkeypatch.setattr(skill_module, "MAX_FILES", 2)
    with pytest.raises(SkillError, match="more than 2 files"):
        bundle.files()


def test_a_skill_file_that_links_outside_is_refused(tmp_path):
    folder = tmp_path / "pdf"
    folder.mkdir()
    write(tmp_path / "elsewhere")
    (folder / "SKILL.md").symlink_to(tmp_path / "elsewhere" / "pdf" / "SKILL.md")
    with pytest.raises(SkillError, match="outside"):
        Skill.load(folder)


def test_a_skill_file_may_be_a_link_within_its_folder(tmp_path):
    folder = put(tmp_path, "---\nname: pdf\ndescription: d\n---\nDo it.", file_name="text.md")
    (folder / "SKILL.md").symlink_to("text.md")
    assert Skill.load(folder).body == "Do it."


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop", "dangling", "large", "binary"])
def test_a_skill_file_that_is_not_a_small_text_is_left_out_and_told(tmp_path, kind):
    folder = tmp_path / "pdf"
    folder.mkdir()
    file = folder / "SKILL.md"
    match kind:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "loop":
            file.symlink_to("SKILL.md")
        case "dangling":
            file.symlink_to("nothing")
        case "large":
            file.write_bytes(b"---\nname: pdf\ndescription: d\n---\n" + b"x" * 1_000_000)
        case "binary":
            file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    skills = SkillManager(tmp_path)
    assert dict(skills.skills) == {}
    [problem] = skills.problems
    assert problem.path == file
    assert not problem.loaded


def test_the_first_files_are_those_nearest_to_the_top_and_the_walk_has_an_end(tmp_path, monkeypatch):
    folder = write(tmp_path)
    for path in ("z.txt", "b/2.txt", "b/1.txt", "a/deep/er/3.txt", "node_modules/x/index.js", "__pycache__/x.pyc"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")
    (folder / "a" / "circle").symlink_to(folder)
    skill = Skill.load(folder)
    assert skill.first_files(9) == (["z.txt", "a/deep/er/3.txt", "b/1.txt", "b/2.txt"], False)
    assert skill.first_files(2) == (["z.txt", "a/deep/er/3.txt"], True)
    assert skill.first_files(4)[1] is False
    assert skill.read("node_modules/x/index.js") == "x"
    monkeypatch.setattr(skill_module, "MAX_FOLDERS", 1)
    assert skill.first_files(9) == (["z.txt"], False)
