"""The format to the letter: what a strict reading takes, and the rule that it names otherwise."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu.errors import MissingExtraError, SkillError
from aimu.skills import Skill, SkillManager
from aimu.skills._frontmatter import split
from tests.skills.written import BOMB, ON_ONE_FOLDER, put, write


def test_a_skill_is_what_its_file_says(tmp_path):
    folder = write(
        tmp_path,
        header=(
            "description: >\n  Reads PDF\n  files: all.\nlicense: MIT\ncompatibility: needs poppler\n"
            "metadata:\n  author: me\n  version: 1.0\n  on: no\nallowed-tools: Read Bash(git add:*) Bash(jq:*)"
        ),
        body="# PDF\n\n---\nDo it.\n",
    )
    skill = Skill.load(folder, strict=True)
    assert (skill.name, skill.description, skill.body) == ("pdf", "Reads PDF files: all.", "# PDF\n\n---\nDo it.")
    assert (skill.folder, skill.license, skill.compatibility) == (folder, "MIT", "needs poppler")
    assert skill.metadata == {"author": "me", "version": "1.0", "on": "no"}
    assert skill.allowed_tools == ("Read", "Bash(git add:*)", "Bash(jq:*)")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    folder = write(tmp_path)
    (folder / "SKILL.md").write_bytes(b"\xef\xbb\xbf---\r\nname: pdf\r\ndescription: Reads.\r\n---\r\na\r\nb\r\n")
    assert (Skill.load(folder, strict=True).description, Skill.load(folder, strict=True).body) == ("Reads.", "a\nb")


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
        assert Skill.load(folder, strict=True).name == name
    else:
        with pytest.raises(SkillError, match="name"):
            Skill.load(folder, strict=True)


@pytest.mark.parametrize(("key", "limit"), [("description", 1024), ("compatibility", 500)])
def test_texts_have_a_maximum_length(tmp_path, key, limit):
    other = "description: d\n" if key != "description" else ""
    assert getattr(Skill.load(write(tmp_path, header=f"{other}{key}: {'ü' * limit}"), strict=True), key) == "ü" * limit
    with pytest.raises(SkillError, match=f"'{key}' of {limit + 1} characters; at most {limit}"):
        Skill.load(write(tmp_path, header=f"{other}{key}: {'ü' * (limit + 1)}"), strict=True)


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("", "no 'description'"),
        ("description:", "empty 'description'"),
        ("description: '  '", "empty 'description'"),
        ("description: [a]", "'description' that is not text"),
        ("description: a\nlicence: MIT", "unknown key 'licence'"),
        ("description: a\ntags: [a, b]", "unknown key 'tags'"),
        ("description: a\ndescription: b", "key 'description' twice"),
        ("description: a\nmetadata: {x: 1, x: 2}", "key 'x' twice"),
        ("description: a\nmetadata: text", "'metadata'"),
        ("description: a\nmetadata: {x: [1]}", "'metadata'"),
        ("description: a\n[x]: y", "a key in its frontmatter that is not text"),
        ("description: a\nallowed-tools: [Read]", "'allowed-tools' that is not text"),
        (BOMB, "anchor or alias"),
        ("description: &x a", "anchor or alias"),
        ("<<: *x\ndescription: a", "anchor or alias"),
        ("description: !!python/object/apply:os.getcwd []", "tag"),
        ("description: " + "[" * 5_000, "deeper than"),
        ("description: a\nlicense: " + "x" * 20_000, "at most 16384"),
        ("description: 'a", "not YAML"),
        ("description: a\n...\nb: c", "the line '...'"),
        ("- description", "not YAML"),
        ("description: a\nmetadata: {a: {b: {c: {d: e}}}}", "deeper than 4 levels"),
    ],
)
def test_breaking_a_rule_of_the_format_raises_an_error_that_names_file_and_rule(tmp_path, header, rule):
    folder = write(tmp_path, header=header)
    with pytest.raises(SkillError, match=re.escape(rule)) as caught:
        Skill.load(folder, strict=True)
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
        (b"---\nname: pdf\ndescription: x\x00\n---\n", "not YAML"),
        (b"---\nname: other\ndescription: x\n---\n", "its folder is 'pdf'"),
        (b" " * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_that_is_not_a_skill_raises_an_error_that_names_file_and_rule(tmp_path, content, rule):
    folder = put(tmp_path, content)
    with pytest.raises(SkillError, match=rule) as caught:
        Skill.load(folder, strict=True)
    assert str(folder / "SKILL.md") in str(caught.value)


def test_the_file_has_exactly_the_name_of_the_format(tmp_path):
    folder = put(tmp_path, "---\nname: pdf\ndescription: d\n---\n", file_name="skill.md")
    with pytest.raises(SkillError, match=r"is named 'skill.md'; rename it to SKILL.md"):
        Skill.load(folder, strict=True)


def test_strict_takes_commas_between_tools_and_an_empty_body(tmp_path):
    skill = Skill.load(write(tmp_path, header="description: d\nallowed-tools: A, B(c, d)", body=""), strict=True)
    assert skill.allowed_tools == ("A", "B(c, d)")
    assert skill.body == ""
    assert [problem.problem for problem in skill.problems] == [
        "has no instructions below its frontmatter",
        "has an 'allowed-tools' with commas",
    ]


@ON_ONE_FOLDER
@given(st.text(max_size=300))
def test_any_frontmatter_gives_a_skill_or_a_skill_error(tmp_path, text):
    folder = put(tmp_path, f"---\nname: pdf\ndescription: d\n{text}\n---\n".encode(errors="replace"))
    try:
        Skill.load(folder, strict=True)
    except SkillError:
        pass


def test_without_pyyaml_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    write(tmp_path)
    with pytest.raises(MissingExtraError, match=r"\[skills\]"):
        SkillManager(tmp_path).skills
    assert SkillManager(project=tmp_path / "nothing", user=tmp_path / "nothing").catalog() == ""


def test_the_frontmatter_module_refuses_a_bomb_before_it_builds_anything(monkeypatch):
    import yaml

    monkeypatch.setattr(yaml, "compose", lambda *args, **kwargs: pytest.fail("composed"))
    with pytest.raises(SkillError, match="anchor"):
        split(f"---\n{BOMB}\n---\n", lambda problem, remedy, harmless=False: None)
