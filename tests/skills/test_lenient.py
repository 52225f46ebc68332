"""Skills as people write them: each loads, with a remark that says what to mend, or is refused for a stated reason."""

import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu.errors import SkillError
from aimu.skills import Skill, SkillManager
from aimu.skills._frontmatter import MAX_CHARACTERS
from tests.skills.written import BOMB, ON_ONE_FOLDER, put

BODY = "# PDF\n\nDo it.\n"
GOOD = {"name": "pdf", "description": "Reads PDF files.", "body": "# PDF\n\nDo it."}


def text(*lines, body=BODY, name="name: pdf", description="description: Reads PDF files."):
    """A SKILL.md with further lines in its frontmatter."""
    return "\n".join(["---", *filter(None, [name, description]), *lines, "---", body])


# How the file is written, the words of its one remark (or several), and what differs from GOOD.
LOADS = {
    "as the format says": (text(), (), {}),
    "an unknown key": (text("version: 1.0"), ("unknown key 'version'",), {"extra": {"version": "1.0"}}),
    "several unknown keys, nested": (
        text("tags: [a, b]", "hooks:", "  before:", "    - run: x"),
        ("unknown keys 'hooks', 'tags'",),
        {"extra": {"tags": ["a", "b"], "hooks": {"before": [{"run": "x"}]}}},
    ),
    "the name of another folder": (text(name="name: other"), ("its folder is 'pdf'",), {"name": "other"}),
    "a title for a name": (
        text(name="name: PDF Tools"),
        ("lowercase letters and digits", "its folder is 'pdf'"),
        {"name": "PDF Tools"},
    ),
    "underscores and a namespace": (
        text(name="name: team:pdf_tools"),
        ("lowercase letters", "its folder"),
        {"name": "team:pdf_tools"},
    ),
    "a long name": (
        text(name=f"name: {'x' * 65}"),
        ("'name' of 65 characters", "its folder"),
        {"name": "x" * 65},
    ),
    "a name too long for anybody": (
        text(name=f"name: {'x' * 201}"),
        ("'name' of 201 characters", "the folder's is used"),
        {},
    ),
    "a lowercase name in another script": (
        text(name="name: größe-数据"),
        ("lowercase letters", "its folder"),
        {"name": "größe-数据"},
    ),
    "a name in wide letters": (text(name="name: ｐｄｆ"), (), {}),
    "a number for a name": (text(name="name: 2024"), ("its folder",), {"name": "2024"}),
    "a date for a name": (text(name="name: 2024-01-31"), ("its folder",), {"name": "2024-01-31"}),
    "a word that YAML takes for true": (text(name="name: yes"), ("its folder",), {"name": "yes"}),
    "no name": (text(name=None), ("no 'name'; the folder's is used",), {}),
    "an empty name": (text(name="name:"), ("empty 'name'", "the folder's is used"), {}),
    "a name of signs": (text(name="name: '***'"), ("the name '***'; the folder's is used",), {}),
    "keys with capitals": (
        text(name="Name: pdf", description="Description: Reads PDF files."),
        ("unknown key 'Name'", "unknown key 'Description'"),
        {},
    ),
    "a long description": (
        text(description=f"description: {'x' * 1025}"),
        ("'description' of 1025 characters",),
        {"description": "x" * 1025},
    ),
    "no description": (text(description=None), ("no 'description'",), {"description": "Do it."}),
    "an empty description": (text(description="description:"), ("empty 'description'",), {"description": "Do it."}),
    "a list for a description": (
        text(description="description: [reads, writes]"),
        ("'description' that is not text",),
        {"description": "reads, writes"},
    ),
    "a description that YAML takes for a mapping": (
        text(description="description:\n  Use when: the user has a PDF."),
        ("'description' that is not text",),
        {"description": "Use when: the user has a PDF."},
    ),
    "an unquoted colon": (
        text("license: MIT", description="description: Use when: the user has a PDF."),
        ("not YAML",),
        {"description": "Use when: the user has a PDF.", "license": "MIT"},
    ),
    "an unquoted colon beside nested metadata": (
        text("metadata:", "  author: me", "  note: see: the end", description="description: Use: often."),
        ("not YAML",),
        {"description": "Use: often.", "metadata": {"author": "me", "note": "see: the end"}},
    ),
    "an unquoted colon on the line below": (
        text(description="description: Reads PDF files.\n  Not for: images."),
        ("not YAML",),
        {"description": "Reads PDF files. Not for: images."},
    ),
    "a sign that YAML reserves": (
        text(description="description: @reviewers and `code`"),
        ("not YAML",),
        {"description": "@reviewers and `code`"},
    ),
    "a bold word first": (
        text(description="description: **Always** read PDF files"),
        ("not YAML",),
        {"description": "**Always** read PDF files"},
    ),
    "quotes within quotes": (
        text(description='description: "Reads "PDF" files."'),
        ("not YAML",),
        {"description": 'Reads "PDF" files.'},
    ),
    "an apostrophe within quotes": (
        text(description="description: 'Don't guess.'"),
        ("not YAML",),
        {"description": "Don't guess."},
    ),
    "a quote that never closes": (
        text("license: MIT", description='description: "Reads PDF files.'),
        ("not YAML",),
        {"license": "MIT"},
    ),
    "a quoted word first": (
        text(description='description: "PDF" files are read.'),
        ("not YAML",),
        {"description": '"PDF" files are read.'},
    ),
    "text that looks like an alias": (
        text("files: *all", "mark: !important"),
        ("YAML anchor or alias", "YAML tag", "unknown keys"),
        {"extra": {"files": "*all", "mark": "!important"}},
    ),
    "tabs for spaces": (
        text("metadata:", "\tauthor: me", name="name:\tpdf"),
        ("not YAML",),
        {"metadata": {"author": "me"}},
    ),
    "no space after a colon": (text(name="name:pdf"), ("not YAML",), {}),
    "wide colons": (
        text(name="name：pdf", description="description：Reads PDF files."),
        ("of the form 'key: value'",),
        {},
    ),
    "a key twice": (text("description: Again."), ("key 'description' twice",), {"description": "Again."}),
    "a key twice, once without a value": (text("description:"), ("key 'description' twice",), {}),
    "a key that is a list": (text("[x]: y"), ("key in its frontmatter that is not text",), {}),
    "tools as a list": (
        text("allowed-tools: [Read, 'Bash(git add:*)']"),
        ("'allowed-tools' that is not text",),
        {"allowed_tools": ("Read", "Bash(git add:*)")},
    ),
    "tools with commas": (
        text("allowed-tools: Read, Bash(a, b:*),Grep"),
        ("'allowed-tools' with commas",),
        {"allowed_tools": ("Read", "Bash(a, b:*)", "Grep")},
    ),
    "tools under a key with an underscore": (
        text("allowed_tools: Read Grep"),
        ("unknown key 'allowed_tools'",),
        {"allowed_tools": ("Read", "Grep")},
    ),
    "nested metadata": (
        text("metadata:", "  needs: {bins: [pdftk]}"),
        ("'metadata' that does not map text to text",),
        {"metadata": {"needs": {"bins": ["pdftk"]}}},
    ),
    "deeply nested metadata": (
        text("metadata: {a: {b: {c: [{d: e}]}}}"),
        ("deeper than 4 levels", "'metadata' that does not"),
        {"metadata": {"a": {"b": {"c": [{"d": "e"}]}}}},
    ),
    "metadata that is text": (
        text("metadata: mine"),
        ("'metadata' that does not",),
        {"metadata": {}, "extra": {"metadata": "mine"}},
    ),
    "empty optional keys": (
        text("license:", "compatibility: ''", "metadata:", "allowed-tools:"),
        ("empty 'license'", "empty 'compatibility'", "'metadata' that does not", "empty 'allowed-tools'"),
        {"license": None, "compatibility": None, "metadata": {}, "allowed_tools": ()},
    ),
    "a long compatibility": (
        text(f"compatibility: {'x' * 501}"),
        ("'compatibility' of 501 characters",),
        {"compatibility": "x" * 501},
    ),
    "a frontmatter of a book's length": (
        text("license: MIT", f"notes: {'x' * MAX_CHARACTERS}"),
        (f"at most {MAX_CHARACTERS} are read as YAML", "unknown key 'notes'"),
        {"license": "MIT"},
    ),
    "a byte order mark and Windows lines": (b"\xef\xbb\xbf" + text().replace("\n", "\r\n").encode(), (), {}),
    "the lines of an old Macintosh": (text().replace("\n", "\r"), (), {}),
    "UTF-16": (text().encode("utf-16"), ("not UTF-8",), {}),
    "a letter in Latin-1": (
        text("license: MIT", "compatibility: Größe").encode("latin-1"),
        ("not UTF-8",),
        {"license": "MIT", "compatibility": "Gr\ufffd\ufffde"},
    ),
    "blanks behind the dashes": (text().replace("---\n", "---  \n"), (), {}),
    "blank lines first": (f"\n\n{text()}", ("must begin with",), {}),
    "a comment first": (f"<!-- made by\na machine -->\n{text()}", ("must begin with",), {}),
    "a heading first": (f"# PDF\n\n{text()}", ("must begin with",), {}),
    "within a code fence": (f"```markdown\n{text()}```\n", ("must begin with",), {}),
    "a fence of YAML": (
        f"```yaml\nname: pdf\ndescription: Reads PDF files.\n```\n{BODY}",
        ("must begin with", "no second line '---'"),
        {},
    ),
    "no dashes before": (text().removeprefix("---\n"), ("must begin with",), {}),
    "no dashes behind": (
        f"---\nname: pdf\ndescription: Reads PDF files.\n\n{BODY}",
        ("no second line '---'",),
        {},
    ),
    "no dashes behind, but a rule further down": (
        f"---\nname: pdf\ndescription: Reads PDF files.\n\n{BODY}\n---\nMore.\n",
        ("not YAML", "no second line '---'"),
        {"body": f"{BODY}\n---\nMore."},
    ),
    "dots behind": (text().replace("files.\n---", "files.\n..."), ("no second line '---'",), {}),
    "too many dashes behind": (text().replace("files.\n---", "files.\n-----"), ("no second line '---'",), {}),
    "text behind the dashes": (text().replace("files.\n---\n", "files.\n--- "), ("no second line '---'",), {}),
    "indented dashes": (text().replace("---", " ---"), ("must begin with", "no second line '---'"), {}),
    "no frontmatter": (
        f"# PDF\n\nReads PDF files.\n\n{BODY}",
        ("must begin with", "no 'name'", "no 'description'"),
        {"body": f"# PDF\n\nReads PDF files.\n\n{BODY}".strip()},
    ),
    "a list for a frontmatter": (
        f"---\n- pdf\n---\n{BODY}",
        ("of the form 'key: value'", "no 'name'", "no 'description'"),
        {"description": "Do it."},
    ),
    "only a heading below": (
        text(description=None, body="# Reads PDF files.\n"),
        ("no 'description'",),
        {"body": "# Reads PDF files."},
    ),
    "only code below": (
        text(description=None, body="```\npdftk x.pdf\n```\n"),
        ("no 'description'",),
        {"description": "``` pdftk x.pdf ```", "body": "```\npdftk x.pdf\n```"},
    ),
    "no body": (text(body=""), ("no instructions",), {"body": ""}),
}


@pytest.mark.parametrize(("content", "remarks", "differing"), LOADS.values(), ids=LOADS)
def test_a_skill_loads_with_a_remark_for_each_deviation(tmp_path, content, remarks, differing):
    folder = put(tmp_path, content)
    skill = Skill.load(folder)
    assert {key: getattr(skill, key) for key in GOOD | differing} == GOOD | differing
    assert len(skill.problems) == len(remarks), skill.problems
    for problem, words in zip(skill.problems, remarks, strict=True):
        assert words in problem.problem
        assert problem.remedy
        assert problem.loaded
        assert str(problem) == f"{folder / 'SKILL.md'}: {problem.problem}; {problem.remedy}"


REFUSED = {
    "an empty file": ("", "neither a description nor instructions"),
    "nothing but a name": ("---\nname: pdf\n---\n", "neither a description nor instructions"),
    "a binary file": (b"\x89PNG\0\0\xff", "is not a text"),
    "more than a megabyte": (text(body="x" * 1_000_000), "more than 1000000 bytes"),
    "a YAML bomb": (f"---\nname: pdf\n{BOMB}\n---\nx", "aliases of anchors"),
    "a bomb behind an unquoted colon": ("---\nname: pdf\nlicense: a: b\na: &a [*a, *a]\n---\nx", "aliases of anchors"),
    "a tag that makes objects": (text("x: !!python/object/apply:os.getcwd []"), "YAML's own tags"),
    "a tag of YAML's own": (text("x: !!binary aGk="), "YAML's own tags"),
    "nesting without an end": (text("x: " + "[" * 5_000), "deeper than 32 levels"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_unusable_or_unsafe_is_refused_for_a_reason(tmp_path, content, reason):
    folder = put(tmp_path, content)
    with pytest.raises(SkillError) as caught:
        Skill.load(folder)
    assert reason in caught.value.problem
    assert caught.value.path == folder / "SKILL.md"
    assert not caught.value.loaded


def test_a_skill_without_a_usable_name_is_refused(tmp_path):
    folder = put(tmp_path, text(name="name: '---'"), folder="___")
    with pytest.raises(SkillError, match="no usable name, nor has its folder; write a name"):
        Skill.load(folder)


@pytest.mark.parametrize("name", ["skill.md", "Skill.md", "SKILL.MD"])
def test_the_file_name_may_be_cased_in_any_way(tmp_path, name):
    folder = put(tmp_path, text(), file_name=name)
    skill = Skill.load(folder)
    assert skill.body == GOOD["body"]
    assert skill.file_name == name
    assert [problem.problem for problem in skill.problems] == [f"is named {name!r}"]
    assert skill.files() == []
    assert list(SkillManager(tmp_path).skills) == ["pdf"]
    assert Skill.load(folder / name) == skill


def test_of_two_file_names_the_formats_own_wins(tmp_path):
    put(tmp_path, text(body="small"), file_name="skill.md")
    folder = put(tmp_path, text(body="large"))
    assert Skill.load(folder).body == "large"
    assert Skill.load(folder).files() == ["skill.md"]


def test_the_first_paragraph_is_prose_without_markup_of_at_most_a_description_s_length(tmp_path):
    body = f"<!-- x -->\n\n# Title\n\n```\ncode\n\nmore\n```\n\n![logo](x.png)\n\n{'word ' * 400}\n\nMore.\n"
    description = Skill.load(put(tmp_path, text(description=None, body=body))).description
    assert description.startswith("word word")
    assert description.endswith("word…")
    assert 1000 < len(description) <= 1024


@ON_ONE_FOLDER
@given(st.binary(max_size=300) | st.text("-:#'\"&*![]{}|>%@`\t\n \r\0aname", max_size=200).map(str.encode))
def test_any_file_gives_a_skill_or_a_skill_error(tmp_path, content):
    for whole in (content, b"---\nname: pdf\n" + content, b"---\n" + content + b"\n---\ntext"):
        try:
            skill = Skill.load(put(tmp_path, whole))
        except SkillError:
            continue
        assert skill.name.isprintable()
        assert skill.description.strip()


HEADER = "---\nname: pdf\ndescription: d\n"


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "allowed-tools: " + "(" * 900_000 + "\n---\n",
        "---\nname: pdf\n---\n" + "<!--\n" * 190_000,
        HEADER + "".join(f"k{number}: a: b\nk{number}: c: d\n" for number in range(30_000)) + "---\n",
        "# x\n" * 100 + " ---\n" * 190_000,
        HEADER + "x: " + "[]," * 5_000 + "\n---\n",
        HEADER + "".join(f"k{number}: *a\n" for number in range(1_500)) + "---\n",
    ],
    ids=["brackets", "comments", "keys", "dashes", "lists", "aliases"],
)
def test_a_file_made_to_be_slow_is_read_in_a_moment_and_has_few_remarks(tmp_path, content):
    folder = put(tmp_path, content)
    began = time.process_time()
    skill = Skill.load(folder)
    assert time.process_time() - began < 20  # a quadratic reader takes minutes, this one less than a second
    assert len(skill.problems) <= 20


def test_a_problem_can_be_pickled():
    problem = SkillError("is wrong", path=Path("x"), remedy="mend it", loaded=True)
    copy = pickle.loads(pickle.dumps(problem))
    assert (str(copy), copy.path, copy.remedy, copy.loaded) == (str(problem), Path("x"), "mend it", True)
