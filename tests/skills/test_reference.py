"""Never stricter than the format's reference library: what `skills-ref` takes, loads here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skills_ref.errors import SkillError as RefusedByReference
from skills_ref.parser import read_properties
from skills_ref.validator import validate

from aimu.errors import SkillError
from aimu.skills import Skill
from tests.skills.test_lenient import LOADS, REFUSED
from tests.skills.written import ON_ONE_FOLDER, put


def compare(folder):
    """Check our verdict against the reference's; true where the reference reads the skill."""
    try:
        valid = validate(folder) == []
        read_properties(folder)
    except (RefusedByReference, ValueError):  # also what strictyaml and UTF-8 raise
        return False
    assert Skill.load(folder)
    return valid


@pytest.mark.parametrize("content", [content for content, *_ in LOADS.values()], ids=LOADS)
def test_what_the_reference_reads_loads_here(tmp_path, content):
    compare(put(tmp_path, content))


@pytest.mark.parametrize("content", [content for content, _ in REFUSED.values()], ids=REFUSED)
def test_what_is_refused_here_the_reference_refuses_too_but_for_size(tmp_path, content):
    folder = put(tmp_path, content)
    with pytest.raises(SkillError):
        Skill.load(folder)
    try:
        read = read_properties(folder)
    except (RefusedByReference, ValueError):
        read = None
    assert (read is None) == (len(content) < 1_000_000)


def test_what_is_valid_for_the_reference_is_valid_here_with_the_same_facts(tmp_path):
    header = "name: größe\ndescription: >\n  Reads\n  it.\nlicense: MIT\nmetadata:\n  version: 1.0\n  on: no"
    text = f"---\n{header}\n---\nDo it."
    folder = put(tmp_path, text, folder="größe", file_name="skill.md")
    assert validate(folder) == []
    reference, skill = read_properties(folder), Skill.load(folder)
    assert (skill.name, skill.description, skill.license) == (
        reference.name,
        reference.description,
        reference.license,
    )
    assert skill.metadata == reference.metadata


LINES = st.sampled_from(
    [
        *("---", "--- ", "---x", " ---", "...", "", "# Title", "Prose.", "  indented: x", "\ttab: x", "- item"),
        *("name: pdf", "name: PDF", "name:", "name: ---", 'name: "pdf"', "name: 1.0", "name: größe", "name: pdf # why"),
        *("description: d", "description: a: b", "description: 'x", "description: |", "description: x --- y"),
        *("license: MIT", "license:", "compatibility: x", "allowed-tools: Read, Grep", "metadata:", "version: 1.0"),
        *("x: *a", "x: !t y", "x: {a: b}", "x: [a, b]", "? x", "key with spaces: y", "ключ: значение"),
    ]
)


@ON_ONE_FOLDER
@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_no_file_that_the_reference_reads_is_refused_here(tmp_path, lines, newline):
    for body in (lines, ["---", "name: pdf", *lines], ["---", "name: pdf", "description: d", *lines, "---", "x"]):
        compare(put(tmp_path, newline.join(body)))


def test_the_comparison_meets_files_that_are_valid_for_the_reference(tmp_path):
    valid = [compare(put(tmp_path / str(number), content)) for number, (content, *_) in enumerate(LOADS.values())]
    assert sum(valid) >= 5
