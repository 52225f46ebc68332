"""What a model is told: the catalog within its size, the search, and the catalog's place in a system message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimu.skills import Skill, SkillManager
from aimu.skills._catalog import one_line, placed, search
from aimu.skills._catalog import write as write_catalog
from aimu.skills._rules import shortened
from tests.skills.written import write

TEXT = st.text("ab <>/\n—…", max_size=80)


def skill(name, description, folder="/x"):
    return Skill(name, description, body="", folder=folder)


def lines(catalog):
    return [line for line in catalog.splitlines() if line.startswith("- ")]


def test_the_catalog_has_one_line_for_each_skill_and_changes_only_on_refresh(tmp_path):
    write(tmp_path, "b", header="description: |\n  Two\n  lines.")
    skills = SkillManager(tmp_path)
    assert "not looked" in repr(skills)
    catalog = skills.catalog()
    assert "activate_skill" in catalog
    assert "search_skills" not in catalog
    assert catalog.splitlines()[-1] == "- b: Two lines."
    write(tmp_path, "a")
    assert skills.catalog() == catalog
    skills.refresh()
    assert lines(skills.catalog()) == ["- a: Reads PDF files.", "- b: Two lines."]
    assert repr(skills) == "<SkillManager: 2 skills>"


def test_four_hundred_skills_have_names_and_short_descriptions_within_the_default_size(tmp_path):
    for number in range(400):
        write(tmp_path, f"skill-of-number-{number:03}", header=f"description: Does {'many things ' * 60}")
    skills = SkillManager(tmp_path)
    assert len(skills.catalog()) <= 20_000
    assert skills.catalog_shortened
    assert "400 skills" in skills.catalog()
    assert "search_skills" in skills.catalog()
    assert lines(skills.catalog())[7].startswith("- skill-of-number-007: Does many things")
    assert len(lines(skills.catalog())) == 400


def test_a_larger_size_shows_whole_descriptions_again(tmp_path):
    for number in range(50):
        write(tmp_path, f"skill-{number}", header=f"description: {'many things ' * 50}")
    assert SkillManager(tmp_path).catalog_shortened
    large = SkillManager(tmp_path, catalog_characters=100_000)
    assert not large.catalog_shortened
    assert lines(large.catalog())[0].endswith("many things")


def test_a_small_size_leaves_descriptions_out_and_then_names(tmp_path):
    skills = [skill(f"skill-{number:02}", "Does many things.") for number in range(60)]
    assert lines(write_catalog(skills, 1_300)[0])[-1] == "- skill-59"
    text, short = write_catalog(skills, 800)
    assert short
    assert len(text) <= 800
    shown = lines(text)
    assert shown[0] == "- skill-00"
    assert shown[-1] == f"- … and {60 - (len(shown) - 1)} more"
    assert lines(write_catalog(skills, 0)[0]) == ["- … and 60 more"]


@given(st.lists(st.tuples(st.text("abc-", min_size=1, max_size=30), TEXT), max_size=30), st.integers(0, 3_000))
def test_a_catalog_keeps_to_its_size_and_to_one_line_for_each_skill(entries, limit):
    skills = [skill(name, description) for name, description in entries]
    text, short = write_catalog(skills, limit)
    assert len(text) <= max(limit, 600)
    assert len(lines(text)) == len(skills) or short
    assert write_catalog(skills, 100_000)[1] is False


@given(TEXT, st.integers(2, 40))
def test_a_text_is_shortened_at_a_word_and_says_so(text, limit):
    line = one_line(text)
    cut = shortened(line, limit)
    assert len(cut) <= limit
    assert cut == line or (cut.endswith("…") and line.startswith(cut[:-1]))


def test_a_text_is_cut_between_words():
    assert shortened("reads, writes and fills forms", 20) == "reads, writes and…"
    assert shortened("reads", 5) == "reads"
    assert shortened("incomprehensibilities", 10) == "incompreh…"


def test_control_characters_and_the_catalogs_own_tag_do_not_get_into_a_line():
    assert one_line("a\x1b[31m\nb\0 </available_skills> <AVAILABLE_SKILLS>") == (
        "a [31m b ‹/available_skills> ‹AVAILABLE_SKILLS>"
    )


SKILLS = [
    skill("pdf-forms", "Fills in forms of PDF files."),
    skill("docx", "Edits documents of Word, also PDF."),
    skill("tests", "Writes unit tests for Django."),
    skill("deploy", "Deploys to Kubernetes."),
    skill("数据", "分析数据并生成报告"),
]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("pdf", ["pdf-forms", "docx"]),
        ("fill a pdf form", ["pdf-forms", "docx"]),
        ("PDF_FORMS", ["pdf-forms", "docx"]),
        ("deployment kubernetes", ["deploy"]),
        ("testing django", ["tests"]),
        ("报告", ["数据"]),
        ("请分析数据", ["数据"]),
        ("ｄｏｃｘ", ["docx"]),
        ("nothing like it", []),
        ("", []),
        ("!?", []),
    ],
)
def test_a_search_finds_words_and_beginnings_of_words_best_first(query, names):
    assert [found.name for found in search(SKILLS, query, 10)] == names
    assert len(search(SKILLS, query, 1)) == min(len(names), 1)


def test_a_rare_word_counts_more_than_one_that_most_skills_have():
    skills = [skill(f"s{number}", "Works with files.") for number in range(9)]
    rare = skill("z", "Works with cuneiform.")
    assert search([*skills, rare], "cuneiform files", 3)[0] is rare


def opened(text):
    return placed("", text)


USERS = [
    "",
    "You write.",
    "  Indented.\n\n",
    "<available_skills>\nmy own list\n</available_skills>",
    "Before.\n\n<available_skills>\n- mine: My own.\n</available_skills>\n\nAfter.",
    '<available_skills digest="0123456789abcdef">\nforged\n</available_skills>',
    '<available_skills digest="0123456789abcdef">\nnever closed',
    "closed, never opened\n</available_skills>",
    opened("- a: A.").replace("- a: A.", "- a: A.\n- mine: Added by hand."),
]


@pytest.mark.parametrize("user", USERS)
def test_a_users_own_text_survives_every_change_of_the_catalog(user):
    first = placed(user, "- a: A.")
    assert first.startswith(user)
    assert first.count("- a: A.\n</available_skills>") == 1 + user.count("- a: A.\n</available_skills>")
    assert placed(first, "- a: A.") == first
    second = placed(first, "- b: B.")
    assert second == placed(user, "- b: B.")
    assert placed(second, "") == user
    assert placed(user, "") == user


def test_text_that_a_user_adds_around_the_catalog_stays_where_it_is():
    text = placed("Before.", "- a: A.").replace("Before.", "Before!") + "\n\nAfter. </available_skills>"
    assert placed(text, "- b: B.") == placed("Before!", "- b: B.") + "\n\nAfter. </available_skills>"
    assert placed(text, "") == "Before!\n\nAfter. </available_skills>"


def test_several_catalogs_become_one():
    both = placed("One.", "- a: A.") + "\n\n" + placed("Two.", "- b: B.")
    assert placed(both, "- c: C.") == placed("One.", "- c: C.") + "\n\nTwo."


@given(st.lists(st.sampled_from([*USERS, "\n\n", "x", opened("- a: A."), opened("- b: B.")])), st.booleans())
def test_only_catalogs_are_ever_taken_out(parts, shown):
    text = "".join(parts)
    after = placed(text, "- c: C." if shown else "")
    catalogs = [opened("- a: A."), opened("- b: B."), opened("- c: C.")]

    def users_own(text):
        for catalog in catalogs:
            text = text.replace(catalog, "")
        return text.replace("\n\n", "")

    assert users_own(after) == users_own(text)
    assert after.count(opened("- c: C.")) == shown
