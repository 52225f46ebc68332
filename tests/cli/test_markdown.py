"""Markdown that grows: the same as if it had come at once, every line once, all of it visible, nothing harmful."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aimu._cli.markdown import THEME, GrowingMarkdown
from aimu._cli.safe import shown

PARAGRAPHS = st.lists(
    st.sampled_from(
        [
            "# Heading",
            "Some **bold** and `code` words that are longer than a line of the screen is.",
            "- one\n- two\n  - nested",
            "1. first\n2. second",
            "```python\nx = 1\n\ny = 2\n```",
            "> quoted\n> lines",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "---",
            "<b>html</b> and [link](http://example.com) and [ref]\n\n[ref]: http://example.com",
            "Heading\n===",
        ]
    ),
    max_size=6,
)


def growing(columns=40):
    return GrowingMarkdown(Console(file=io.StringIO(), width=columns, force_terminal=True, theme=THEME))


@given(PARAGRAPHS, st.integers(1, 30))
def test_markdown_that_grows_ends_as_if_it_had_come_at_once(paragraphs, size):
    text = "\n\n".join(paragraphs)
    whole, pieces = growing(), growing()
    whole.feed(text)
    lines = []
    for start in range(0, len(text), size):
        pieces.feed(text[start : start + size])
        final, live = pieces.take(12)
        assert len(live) <= 12
        lines += final
    assert [*lines, *pieces.finish()] == whole.finish()


@given(st.lists(st.integers(0, 10**6), min_size=1), st.integers(2, 12))
def test_no_line_of_a_long_block_is_lost_or_repeated(numbers, room):
    for form in ("```\n{}\n```", "{}"):
        text = form.format("\n".join(f"- {number}" for number in numbers))
        markdown, lines = growing(), []
        for start in range(0, len(text), 7):
            markdown.feed(text[start : start + 7])
            final, live = markdown.take(room)
            assert len(live) <= room
            lines += final
        plain = [re.sub("\033\\[[0-9;]*m", "", line) for line in [*lines, *markdown.finish()]]
        assert [int(found) for line in plain for found in re.findall(r"\d+", line)] == numbers


def test_all_that_a_model_writes_is_visible():
    markdown = growing(80)
    markdown.feed("Use <div> and List<String>.\n\n[hidden]: http://example.com\n\n[click](http://evil.example)\n")
    text = "\n".join(markdown.finish())
    for part in ("<div>", "List<String>", "[hidden]", "http://example.com", "http://evil.example"):
        assert part in text
    assert "\033]8" not in text


def rendered(text, columns, size=10**6):
    markdown, lines = growing(columns), []
    for start in range(0, len(text), size):
        markdown.feed(shown(text[start : start + size]))
        lines += markdown.take(12)[0]
    return re.sub("\033\\[[0-9;]*m", "", "\n".join([*lines, *markdown.finish()]))


@pytest.mark.parametrize(
    "text",
    [
        "<http://example.com/%1b%5b2J%1b]52;c;eA==%07>",
        "<http://example.com/%e2%80%ae> [x](http://example.com/%C2%9B31m)",
        "a &#8238; b &#x2066; c &#8232; d &#27; e &#x9b; f &#13;",
        "| &#8238; |\n|---|\n| <http://a/%1b[2J> |",
        "> - `&#8238;` **<http://a/%07>**\n\n    code %1b\n",
        "```%1b&#8238;\n&#8238;\n```",
    ],
)
def test_no_spelling_of_a_control_character_reaches_the_terminal(text):
    for columns in (10, 80):
        found = rendered(text, columns)
        assert found == shown(found)


@pytest.mark.parametrize("columns", [1, 5, 12, 30, 80])
@pytest.mark.parametrize(
    "text",
    [
        "> " * 500 + "w0z",
        "- " * 40 + "w0z",
        "1. > - " * 20 + "w0z",
        "> " * 12 + "```\n" + "> " * 12 + "w0z",
        "\n".join("  " * depth + f"- w{depth}z" for depth in range(30)),
        "999999999. w0z",
        "|a|b|\n|-|-|\n|" + "x" * 200 + "w0z|w1z|",
        *(
            "\n".join("|" + "".join(f"{cell}{number}z|" for number in range(columns)) for cell in ("h", "---", "w"))
            for columns in (16, 200)
        ),
    ],
)
def test_what_has_no_room_as_markdown_is_shown_as_it_was_written(text, columns):
    text = re.sub(r"---\d+z", "-", text)
    for size in (7, 10**6):
        found = rendered(text, columns, size)  # where cells are folded, their words are in pieces
        assert [char for char in "hwxz0123456789" if found.count(char) < text.count(char)] == []
