"""Which skills are found where, who wins, and what is told of the rest."""

import logging
import os

import pytest

from aimu.errors import InvalidOptionError, SkillError
from aimu.skills import Skill, SkillManager
from tests.skills.written import put, write


def told(skills):
    return [str(problem) for problem in skills.problems]


def test_the_usual_folders_are_searched_when_first_asked_and_the_project_beats_the_user(tmp_path, monkeypatch, caplog):
    project, home = tmp_path / "project", tmp_path / "home"
    skills = SkillManager()
    write(project / "skills", "above")
    write(project / ".agents" / "skills", "both", body="project")
    write(project / ".claude" / "skills" / "team", "deep")
    write(home / ".agents" / "skills", "both", body="user")
    write(home / ".claude" / "skills", "own")
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(home))
    with caplog.at_level(logging.WARNING, "aimu.skills"):
        assert list(skills.skills) == ["above", "both", "deep", "own"]
    assert skills.get("both").body == "project"
    [record] = caplog.records
    assert "'both'" in record.getMessage()
    assert str(home) in record.getMessage()
    [problem] = skills.problems
    assert problem.path == home / ".agents" / "skills" / "both" / "SKILL.md"
    assert f"the skill 'both' in {project / '.agents' / 'skills' / 'both'} was found first" in problem.problem
    assert not problem.loaded


def test_one_skill_linked_into_two_folders_does_not_clash(tmp_path, caplog):
    write(tmp_path / ".agents" / "skills")
    (tmp_path / ".claude" / "skills").mkdir(parents=True)
    (tmp_path / ".claude" / "skills" / "pdf").symlink_to(tmp_path / ".agents" / "skills" / "pdf")
    skills = SkillManager(project=tmp_path, user=tmp_path)
    assert list(skills.skills) == ["pdf"]
    assert told(skills) == []
    assert not caplog.records


def test_the_home_directory_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = write(tmp_path / "mine", "tilde")
    write(tmp_path / "mine" / "skills", "project")
    write(tmp_path / "own" / ".agents" / "skills", "user")
    assert list(SkillManager("~/mine").skills) == ["project", "tilde"]
    assert list(SkillManager(["~/mine/tilde"]).skills) == ["tilde"]
    assert list(SkillManager(project="~/mine", user="~/own").skills) == ["project", "user"]
    assert Skill.load("~/mine/tilde").folder == folder


def test_a_relative_folder_and_a_skill_file_may_be_given(tmp_path, monkeypatch):
    folder = write(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    assert SkillManager("here").get("pdf").folder == folder
    assert SkillManager("here/pdf/SKILL.md").get("pdf").folder == folder
    assert SkillManager("./here/../here").get("pdf").folder == folder


def test_a_deviating_skill_is_used_and_told_and_an_unusable_one_is_left_out_and_logged(tmp_path, caplog):
    write(tmp_path, "good")
    odd = write(tmp_path, "odd", header="description: d\nversion: 1")
    bad = put(tmp_path, "", folder="bad")
    skills = SkillManager([tmp_path, tmp_path / "missing"])
    with caplog.at_level(logging.WARNING, "aimu.skills"):
        assert list(skills.skills) == ["good", "odd"]
    missing, refused, remark = skills.problems
    assert str(missing) == f"{tmp_path / 'missing'}: there is no such folder; correct the path, or create it"
    assert refused.path == bad / "SKILL.md"
    assert remark.path == odd / "SKILL.md"
    assert [problem.loaded for problem in skills.problems] == [False, False, True]
    assert [record.getMessage() for record in caplog.records] == [f"skills: {missing}", f"skills: {refused}"]


def test_a_deviating_skill_raises_when_strict(tmp_path):
    write(tmp_path, "odd", header="description: d\nversion: 1")
    with pytest.raises(SkillError, match="unknown key 'version'"):
        SkillManager(tmp_path, strict=True).skills
    with pytest.raises(SkillError, match="no such folder"):
        SkillManager(tmp_path / "missing", strict=True).skills


def test_skills_six_levels_down_are_found_and_deeper_folders_are_told(tmp_path):
    path = tmp_path
    for level in range(1, 9):
        path /= f"level{level}"
        write(path, f"skill{level}", folder="skill") if level < 8 else path.mkdir()
    skills = SkillManager(tmp_path)
    assert list(skills.skills) == [f"skill{level}" for level in range(1, 6)]
    [problem] = [problem for problem in skills.problems if not problem.loaded]
    assert problem.path == tmp_path
    assert "more than 6 levels down" in problem.problem
    assert "level1/level2/level3/level4/level5/level6/level7" in problem.problem or "level6/skill" in problem.problem


def test_a_skill_inside_another_is_told_and_one_below_a_given_skill_is_found(tmp_path):
    write(tmp_path, "outer")
    inner = write(tmp_path / "outer", "inner")
    write(tmp_path / "outer" / "assets", "sample")
    around = SkillManager(tmp_path)
    assert list(around.skills) == ["outer"]
    [problem] = around.problems
    assert problem.path == inner / "SKILL.md"
    assert f"inside the skill in {tmp_path / 'outer'}" in problem.problem
    assert list(SkillManager(tmp_path / "outer").skills) == ["inner", "outer"]


def test_hidden_folders_are_searched_after_the_others_and_machinery_is_passed_over(tmp_path):
    write(tmp_path / "skills", "pdf", body="visible")
    write(tmp_path / ".claude" / "skills", "pdf", body="hidden")
    write(tmp_path / ".curated", "extra")
    for name in (".git", ".venv", "node_modules", "__pycache__"):
        write(tmp_path / name, "other")
    skills = SkillManager(tmp_path)
    assert list(skills.skills) == ["extra", "pdf"]
    assert skills.get("pdf").body == "visible"


def test_circles_of_links_and_many_folders_end_the_search(tmp_path, monkeypatch):
    write(tmp_path / "a" / "b", "reached")
    for name in ("up", "again", "once-more"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    visited = []
    listdir = os.listdir

    def counted(folder):
        visited.append(folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", counted)
    skills = SkillManager(tmp_path)
    assert list(skills.skills) == ["reached"]
    assert len(visited) < 10
    monkeypatch.setattr("aimu.skills._walk.MAX_FOLDERS", 2)
    skills.refresh()
    assert "more than 2 folders" in told(skills)[0]


def test_a_folder_that_cannot_be_listed_is_told_and_does_not_affect_the_others(tmp_path, monkeypatch):
    write(tmp_path / "open", "pdf")
    write(tmp_path / "shut", "other")
    listdir = os.listdir

    def guarded(folder):
        if os.path.basename(folder) == "shut":
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", guarded)
    skills = SkillManager(tmp_path)
    assert list(skills.skills) == ["pdf"]
    assert told(skills) == [f"{tmp_path / 'shut'}: cannot be searched: [Errno 13] Permission denied; make it readable"]


def test_a_skill_is_got_by_its_name_in_any_case_and_form(tmp_path):
    put(tmp_path, "---\nname: Code Review\ndescription: d\n---\nx", folder="review")
    write(tmp_path, "größe")
    skills = SkillManager(tmp_path)
    assert skills.get(" code  review ").name == "Code Review"
    assert skills.get("gro\u0308ße").name == "größe"


def test_a_name_that_only_differs_in_case_from_several_is_not_guessed(tmp_path):
    for folder, name in (("a", "PDF"), ("b", "Pdf")):
        put(tmp_path, f"---\nname: {name}\ndescription: d\n---\nx", folder=folder)
    with pytest.raises(SkillError, match="available: PDF, Pdf"):
        SkillManager(tmp_path).get("pdf")


def test_an_unknown_skill_is_an_error_that_lists_the_known_ones_or_those_most_like_it(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b")
    skills = SkillManager(tmp_path)
    with pytest.raises(SkillError, match=r"no skill 'c'; available: a, b"):
        skills.get("c")
    for number in range(40):
        write(tmp_path, f"skill-{number}")
    skills.refresh()
    with pytest.raises(SkillError, match=r"of 42, the names most like it: skill-1") as caught:
        skills.get("skil-1")
    assert len(str(caught.value)) < 200


def test_options_that_exclude_each_other_or_make_no_sense_are_refused(tmp_path):
    with pytest.raises(InvalidOptionError, match="not both"):
        SkillManager(tmp_path, project=tmp_path)
    with pytest.raises(InvalidOptionError, match="0 or more"):
        SkillManager(tmp_path, catalog_characters=-1)
