"""Markdown that grows: the same as if it had come at once, every line once, all of it visible, nothing harmful."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aimu._cli import markdown
from aimu._cli.markdown import BUDGET, THEME, GrowingMarkdown
from aimu._cli.pieces import LONGEST
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
        found, lines = growing(), []
        for start in range(0, len(text), 7):
            found.feed(text[start : start + 7])
            final, live = found.take(room)
            assert len(live) <= room
            lines += final
        plain = [re.sub("\033\\[[0-9;]*m", "", line) for line in [*lines, *found.finish()]]
        assert [int(number) for line in plain for number in re.findall(r"\d+", line)] == numbers


BLOCKS = {
    "words": lambda count: " ".join(f"w{n}z" if n % 7 else f"**w{n}z** and" for n in range(count)),
    "lines of words": lambda count: "\n".join(f"w{n}z" for n in range(count)),
    "code": lambda count: "```python\n" + "\n".join(f"w{n}z = {n}\n" for n in range(count)) + "\n```",
    "a line of code": lambda count: "```\n" + " ".join(f"w{n}z" for n in range(count)),
    "indented code": lambda count: "\n".join(f"    w{n}z" for n in range(count)),
    "a list": lambda count: "\n".join(f"- w{n}z" for n in range(count)),
    "a numbered list": lambda count: "\n\n".join(f"{n}. w{n}z" for n in range(count)),
    "one item": lambda count: "- one\n" + "\n".join(f"  1. w{n}z" for n in range(count)),
    "code in an item": lambda count: "1. one\n\n   ```\n" + "\n".join(f"   w{n}z" for n in range(count)) + "\n   ```",
    "a quote": lambda count: "\n".join(f"> w{n}z" for n in range(count)),
    "code in a quote": lambda count: "> ```\n" + "\n".join(f"> w{n}z" for n in range(count)),
    "a table": lambda count: "| a | b |\n|---|---|\n" + "\n".join(f"| w{n}z | {n} |" for n in range(count)),
    "a heading": lambda count: "# " + " ".join(f"w{n}z" for n in range(count)),
    "blocks": lambda count: "\n\n".join(f"w{n}z" for n in range(count)),
    "no words": lambda count: "w1z " + "x" * 10 * count + " w2z",
    "spaces": lambda count: "w1z" + " " * 10 * count + "w2z",
    "line breaks": lambda count: "w1z" + "\n" * 10 * count + "w2z",
    "quotes": lambda count: ">" * 4000 + "x" * 10 * count + "w1z",
    "marks": lambda count: "w1z" + "*[`" * 4 * count + "w2z",
}


def words_in(lines):
    text = re.sub(r"\s+", " ", re.sub("\033\\[[0-9;]*m", "", "\n".join(lines)))
    return re.findall(r"w\d+z", text)


@pytest.fixture
def work(monkeypatch):
    """The characters that are parsed and the lines that are rendered, since the list was cleared."""
    done = []
    render = markdown.ansi_lines

    def rendered(*args):
        lines = render(*args)
        done.append(40 * len(lines))
        return lines

    for parser in (markdown.PARSER, markdown.BLOCK_PARSER):
        counts(monkeypatch, parser, done)
    monkeypatch.setattr(markdown, "ansi_lines", rendered)
    return done


def counts(monkeypatch, parser, done):
    """Let a parser note the lengths of its texts."""
    parse = parser.parse
    monkeypatch.setattr(parser, "parse", lambda text: done.append(len(text)) or parse(text))


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("burst", [1000, 10**6])
def test_a_frame_costs_the_same_however_long_a_block_is(kind, burst, work):
    text = BLOCKS[kind](5000)
    found, lines, most = growing(80), [], 0
    for start in range(0, len(text), burst):
        found.feed(text[start : start + burst])
        while True:
            work.clear()
            final, live = found.take(12)
            most = max(most, sum(work))
            lines += final
            assert len(live) <= 12
            if not found.behind:
                break
    work.clear()
    lines += found.finish()
    assert words_in(lines) == words_in([text])
    assert max(most, sum(work)) < 40_000
    work.clear()
    found.feed(text)
    assert found.behind
    assert words_in(found.finish(BUDGET)) == words_in([text])
    assert sum(work) < 40_000


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("count", [50, 250, 500, 1000])
def test_no_word_is_lost_or_repeated_where_the_rest_is_shown_as_it_was_written(kind, count):
    text, found = BLOCKS[kind](count), growing(80)
    found.feed(text)
    assert words_in(found.finish(BUDGET)) == words_in([text])
    assert found.finish() == []


@pytest.mark.parametrize("text", ["[" * 20_000, "a_b*c[" * 4_000])
def test_a_frame_looks_once_for_what_is_in_a_line(text, monkeypatch):
    found, parsed, frames = growing(80), [], []
    counts(monkeypatch, markdown.PARSER, parsed)  # in quadratic time, here
    found.feed(text)
    while not frames or found.behind:
        parsed.clear()
        found.take(12)
        frames.append(sum(parsed))
    assert LONGEST / 2 < max(frames) <= LONGEST


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("columns", [12, 80])
def test_a_long_block_ends_as_if_it_had_come_at_once(kind, columns):
    text = f"Before\n\n{BLOCKS[kind](400)}\n\nAfter"
    whole, pieces, lines = growing(columns), growing(columns), []
    whole.feed(text)
    for start in range(0, len(text), 97):
        pieces.feed(text[start : start + 97])
        lines += pieces.take(8)[0]
    # The width of the numbers of a list depends on the largest one that is known.
    assert [line.split() for line in [*lines, *pieces.finish()]] == [line.split() for line in whole.finish()]


def test_pieces_of_a_block_fit_together():
    code = rendered("```python\n" + "".join(f"a{n} = 1\n\n" for n in range(1000)) + "```", 80).splitlines()
    assert code[:2] + code[-1:] == ["", "```python", "```"]
    assert [*code[2:-1], ""] == [line for n in range(1000) for line in (f"a{n} = 1", "")]
    words = rendered("word " * 5000 + "end", 80).splitlines()
    assert words == ["", *["word " * 15 + "word"] * 312, "word word word word word word word word end"]
    items = rendered("\n".join(f"1. item {n}" for n in range(1000)), 80).splitlines()
    assert [line.split()[1:] for line in items[1:]] == [["item", str(n)] for n in range(1000)]
    assert "" not in rendered("\n".join(f"> item {n}" for n in range(1000)), 80).splitlines()[1:]


def test_all_that_a_model_writes_is_visible():
    found = growing(80)
    found.feed("Use <div> and List<String>.\n\n[hidden]: http://example.com\n\n[click](http://evil.example)\n")
    text = "\n".join(found.finish())
    for part in ("<div>", "List<String>", "[hidden]", "http://example.com", "http://evil.example"):
        assert part in text
    assert "\033]8" not in text


def rendered(text, columns, size=10**6):
    found, lines = growing(columns), []
    for start in range(0, len(text), size):
        found.feed(shown(text[start : start + size]))
        lines += found.take(12)[0]
    return re.sub("\033\\[[0-9;]*m", "", "\n".join([*lines, *found.finish()]))


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
