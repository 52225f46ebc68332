"""Skills: the format, the border of the folder, discovery, and the tools."""

import logging
import os
import re
import sys
from inspect import getdoc, signature
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimu.errors import InvalidOptionError, MissingExtraError, SkillError
from aimu.skills import Skill, SkillManager, skill_tools, skills_server
from aimu.skills import _frontmatter as frontmatter_module
from aimu.skills import _skill as skill_module

ON_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(root, name="pdf", header="description: Reads PDF files.", body="Do it.", folder=None):
    folder = root / (folder or name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\n{header}\n---\n{body}\n", encoding="utf8")
    return folder


def test_a_skill_is_what_its_file_says(tmp_path):
    folder = write(
        tmp_path,
        header=(
            "description: >\n  Reads PDF\n  files: all.\nlicense: MIT\ncompatibility: needs poppler\n"
            "metadata:\n  author: me\n  version: 1.0\n  on: no\nallowed-tools: Read Bash(git add:*) Bash(jq:*)"
        ),
        body="# PDF\n\n---\nDo it.\n",
    )
    skill = Skill.load(folder)
    assert (skill.name, skill.description, skill.body) == ("pdf", "Reads PDF files: all.", "# PDF\n\n---\nDo it.")
    assert (skill.folder, skill.license, skill.compatibility) == (folder, "MIT", "needs poppler")
    assert skill.metadata == {"author": "me", "version": "1.0", "on": "no"}
    assert skill.allowed_tools == ("Read", "Bash(git add:*)", "Bash(jq:*)")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    folder = write(tmp_path)
    (folder / "SKILL.md").write_bytes(b"\xef\xbb\xbf---\r\nname: pdf\r\ndescription: Reads.\r\n---\r\na\r\nb\r\n")
    assert (Skill.load(folder).description, Skill.load(folder).body) == ("Reads.", "a\nb")


NAMES = st.text("abz09-", max_size=70) | st.text("aä٣A_ .-", min_size=1, max_size=6)


@ON_ONE_FOLDER
@given(NAMES)
def test_a_name_is_lowercase_letters_and_digits_with_single_hyphens_between(tmp_path, name):
    # the rule, written differently from the code
    parts = name.split("-")
    good = len(name) <= 64 and all(part and set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789") for part in parts)
    folder = tmp_path / (name if name.strip(".") and len(name) < 200 else "other")
    folder.mkdir(exist_ok=True)
    (folder / "SKILL.md").write_text(f'---\nname: "{name}"\ndescription: d\n---\n', encoding="utf8")
    if good:
        assert Skill.load(folder).name == name
    else:
        with pytest.raises(SkillError, match="name"):
            Skill.load(folder)


@pytest.mark.parametrize(("key", "limit"), [("description", 1024), ("compatibility", 500)])
def test_texts_have_a_maximum_length(tmp_path, key, limit):
    other = "description: d\n" if key != "description" else ""
    assert getattr(Skill.load(write(tmp_path, header=f"{other}{key}: {'ü' * limit}")), key) == "ü" * limit
    with pytest.raises(SkillError, match=f"'{key}' of {limit + 1} characters; at most {limit}"):
        Skill.load(write(tmp_path, header=f"{other}{key}: {'ü' * (limit + 1)}"))


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ndescription: *c"


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("", "no 'description'"),
        ("description:", "empty 'description'"),
        ("description: '  '", "empty 'description'"),
        ("description: [a]", "'description' that is no text"),
        ("description: a\nlicence: MIT", "unknown key 'licence'"),
        ("description: a\ntags: [a, b]", "unknown key 'tags'"),
        ("description: a\ndescription: b", "key 'description' twice"),
        ("description: a\nmetadata: {x: 1, x: 2}", "key 'x' twice"),
        ("description: a\nmetadata: text", "'metadata'"),
        ("description: a\nmetadata: {x: [1]}", "'metadata'"),
        ("description: a\n[x]: y", "a key in its frontmatter that is no text"),
        ("description: a\nallowed-tools: [Read]", "'allowed-tools' that is no text"),
        (BOMB, "anchor or alias"),
        ("description: &x a", "anchor or alias"),
        ("<<: *x\ndescription: a", "anchor or alias"),
        ("description: !!python/object/apply:os.getcwd []", "tag"),
        ("description: " + "[" * 5_000, "deeper than"),
        ("description: a\nlicense: " + "x" * 20_000, "at most 16384"),
        ("description: 'a", "no YAML"),
        ("description: a\n...\nb: c", "no YAML"),
        ("- description", "no YAML"),
    ],
)
def test_breaking_a_rule_of_the_format_raises_an_error_that_names_file_and_rule(tmp_path, header, rule):
    folder = write(tmp_path, header=header)
    with pytest.raises(SkillError, match=re.escape(rule)) as caught:
        Skill.load(folder)
    assert str(caught.value).startswith(str(folder / "SKILL.md"))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must begin with"),
        (b"# Title\n---\nname: pdf\n---\n", "must begin with"),
        (b"---\nname: pdf\n", "no second line"),
        (b"---\n---\n", "key: value"),
        (b"---\n- a\n---\n", "key: value"),
        (b"---\nname: \xff\n---\n", "not UTF-8"),
        (b"---\nname: pdf\ndescription: x\x00\n---\n", "no YAML"),
        (b"---\nname: other\ndescription: x\n---\n", "its folder is 'pdf'"),
        (b" " * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_that_is_not_a_skill_raises_an_error_that_names_file_and_rule(tmp_path, content, rule):
    folder = write(tmp_path)
    (folder / "SKILL.md").write_bytes(content)
    with pytest.raises(SkillError, match=rule) as caught:
        Skill.load(folder)
    assert str(folder / "SKILL.md") in str(caught.value)


@ON_ONE_FOLDER
@given(st.text(max_size=300))
def test_any_frontmatter_gives_a_skill_or_a_skill_error(tmp_path, text):
    folder = write(tmp_path)
    (folder / "SKILL.md").write_text(f"---\nname: pdf\ndescription: d\n{text}\n---\n", encoding="utf8")
    try:
        Skill.load(folder)
    except SkillError:
        pass


def test_without_pyyaml_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    write(tmp_path)
    with pytest.raises(MissingExtraError, match=r"\[skills\]"):
        SkillManager(tmp_path).skills
    assert SkillManager(project=tmp_path / "nothing", user=tmp_path / "nothing").catalog() == ""


@pytest.fixture
def bundle(tmp_path):
    """A skill with files, beside a secret that several links lead to."""
    folder = write(tmp_path / "root")
    (tmp_path / "secret").write_text("SECRET")
    (tmp_path / "root" / "secret").write_text("SECRET")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "run.py").write_text("print()")
    (folder / "logo.png").write_bytes(b"\x89PNG\xff")
    (folder / ".hidden").write_text("x")
    (folder / "same").symlink_to("logo.png")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "scripts" / "out").symlink_to("../../secret")
    os.mkfifo(folder / "pipe")
    return Skill.load(folder)


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
    monkeypatch.setattr(skill_module, "MAX_FILES", 3)
    with pytest.raises(SkillError, match="more than 3 files"):
        bundle.files()


def test_a_skill_file_that_links_outside_is_refused(tmp_path):
    folder = tmp_path / "pdf"
    folder.mkdir()
    write(tmp_path / "elsewhere")
    (folder / "SKILL.md").symlink_to(tmp_path / "elsewhere" / "pdf" / "SKILL.md")
    with pytest.raises(SkillError, match="outside"):
        Skill.load(folder)


def test_the_usual_folders_are_searched_when_first_asked_and_the_project_beats_the_user(tmp_path, monkeypatch, caplog):
    project, home = tmp_path / "project", tmp_path / "home"
    skills = SkillManager()
    write(project / "skills", "above", body="")
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
    assert skills.problems == ()


def test_one_skill_linked_into_two_folders_does_not_clash(tmp_path, caplog):
    write(tmp_path / ".agents" / "skills")
    (tmp_path / ".claude" / "skills").mkdir(parents=True)
    (tmp_path / ".claude" / "skills" / "pdf").symlink_to(tmp_path / ".agents" / "skills" / "pdf")
    assert list(SkillManager(project=tmp_path, user=tmp_path).skills) == ["pdf"]
    assert not caplog.records


def test_a_malformed_skill_is_left_out_logged_and_listed_or_raised_when_strict(tmp_path, caplog):
    write(tmp_path, "good")
    bad = write(tmp_path, "bad", header="description:")
    lenient = SkillManager([tmp_path, tmp_path / "missing"])
    assert list(lenient.skills) == ["good"]
    missing, malformed = map(str, lenient.problems)
    assert "missing" in missing
    assert malformed == f"{bad / 'SKILL.md'}: has an empty 'description'"
    assert malformed in caplog.text
    with pytest.raises(SkillError, match="empty 'description'"):
        SkillManager(tmp_path, strict=True).skills


def test_a_folder_may_be_a_skill_itself_and_the_search_has_a_depth_and_an_end(tmp_path, monkeypatch):
    write(tmp_path / "a" / "b", "reached")
    write(tmp_path / "a" / "b" / "c", "unreached")
    write(tmp_path / "outer", "outer", folder=".")
    write(tmp_path / "outer", "inner")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    assert list(SkillManager(tmp_path).skills) == ["outer", "reached"]
    assert list(SkillManager(tmp_path / "a" / "b" / "reached").skills) == ["reached"]
    monkeypatch.setattr("aimu.skills._discovery.MAX_FOLDERS", 2)
    assert "more than 2 folders" in str(SkillManager(tmp_path).problems[0])


def test_the_catalog_has_one_line_for_each_skill_and_changes_only_on_refresh(tmp_path):
    write(tmp_path, "b", header="description: |\n  Two\n  lines.")
    skills = SkillManager(tmp_path)
    assert "not looked" in repr(skills)
    catalog = skills.catalog()
    assert "activate_skill" in catalog
    assert catalog.splitlines()[-1] == "- b: Two lines."
    write(tmp_path, "a")
    assert skills.catalog() == catalog
    skills.refresh()
    assert [line for line in skills.catalog().splitlines() if line.startswith("- ")] == [
        "- a: Reads PDF files.",
        "- b: Two lines.",
    ]
    assert repr(skills) == "<SkillManager: 2 skills>"


def test_an_unknown_skill_is_an_error_that_lists_the_known_ones(tmp_path):
    write(tmp_path, "a")
    write(tmp_path, "b")
    with pytest.raises(SkillError, match=r"no skill 'c'; available: a, b"):
        SkillManager(tmp_path).get("c")
    with pytest.raises(InvalidOptionError, match="not both"):
        SkillManager(tmp_path, project=tmp_path)


def test_the_tools_activate_list_and_read_and_say_what_they_do(bundle):
    skills = SkillManager(bundle.folder.parent)
    tools = {tool.__name__: tool for tool in skill_tools(skills)}
    assert tools["activate_skill"]("pdf") == "Do it."
    assert tools["list_skill_files"]("pdf") == bundle.files()
    assert tools["read_skill_file"]("pdf", "scripts/run.py") == "print()"
    assert "binary file of 5 bytes" in tools["read_skill_file"]("pdf", "logo.png")
    with pytest.raises(SkillError, match="outside"):
        tools["read_skill_file"]("pdf", "../secret")
    for tool in tools.values():
        assert all(f"{parameter}:" in getdoc(tool) for parameter in signature(tool).parameters)


async def test_an_mcp_server_offers_the_same_tools(bundle):
    server = skills_server(SkillManager(bundle.folder.parent))
    assert [tool.name for tool in await server.list_tools()] == [
        "activate_skill",
        "list_skill_files",
        "read_skill_file",
    ]
    result = await server.call_tool("activate_skill", {"name": "pdf"})
    assert result.content[0].text == "Do it."


def test_without_fastmcp_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastmcp", None)
    with pytest.raises(MissingExtraError, match=r"\[mcp\]"):
        skills_server(SkillManager(Path()))


def test_the_frontmatter_module_refuses_a_bomb_before_it_builds_anything(monkeypatch):
    import yaml

    monkeypatch.setattr(yaml, "compose", lambda *args, **kwargs: pytest.fail("composed"))
    with pytest.raises(SkillError, match="anchor"):
        frontmatter_module.split(f"---\n{BOMB}\n---\n")
