"""docs/examples/batch.py: what a run writes, and what the next one asks after Ctrl-C, a kill or a failure."""

import csv
import signal
import subprocess

import pytest

from aimu import aio
from aimu.errors import JournalError
from aimu.testing import ScriptedProvider, leak_check
from tests.examples import programs
from tests.holding import wait_in_thread

BATCH = programs.load("batch.py")


def rows(table):
    with table.open(encoding="utf8", newline="") as file:
        return list(csv.reader(file))


async def batch(reviews, table, answer=BATCH.scripted):
    """Run the program, and return its exit status and the reviews that were asked."""
    provider = ScriptedProvider(answer, repeat=True)
    async with leak_check():
        status = await BATCH.main(reviews, table, aio.client(provider))
    return status, {request.messages[1]["content"] for request in provider.requests}


@pytest.mark.virtual_time
async def test_each_review_becomes_a_row_and_a_second_run_asks_only_new_ones(tmp_path):
    table, reviews = tmp_path / "table.csv", BATCH.made_up(50)
    assert await batch(reviews, table) == (0, set(reviews))
    read = rows(table)
    assert [review for review, _, _ in read] == reviews
    assert {(stars, about) for review, stars, about in read if "delivery was great" in review} == {("5", "delivery")}
    assert await batch([*reviews, "The price is odd."], table) == (0, {"The price is odd."})
    assert rows(table) == [*read, ["The price is odd.", "5", "price"]]


@pytest.mark.virtual_time
async def test_reviews_that_fail_are_named_and_asked_again(tmp_path, capsys):
    def weak(request):
        return "I cannot say." if "awful" in request.messages[1]["content"] else BATCH.scripted(request)

    table, reviews = tmp_path / "table.csv", BATCH.made_up(50)
    awful = {review for review in reviews if "awful" in review}
    status, _ = await batch(reviews, table, weak)
    assert status == 1
    said = capsys.readouterr().out
    assert f"{50 - len(awful)} of 50 reviews" in said
    assert "failed: OutputError: 3 answers do not fit" in said
    assert f"ask the {len(awful)} that failed once more" in said
    assert await batch(reviews, table) == (0, awful)
    assert len(rows(table)) == 50


@pytest.mark.virtual_time
async def test_a_changed_prompt_is_not_answered_by_old_answers(tmp_path, monkeypatch):
    table = tmp_path / "table.csv"
    await batch(["The price is fair."], table)
    monkeypatch.setattr(BATCH, "PROMPT", "You read letters.")
    with pytest.raises(JournalError, match="differs from this one in system_message"):
        await batch(["The price is fair."], table)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_the_program_goes_on_after_it_was_stopped(tmp_path, stop):
    journal = tmp_path / "reviews.csv.journal"
    with subprocess.Popen(programs.command("batch.py"), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as program:
        try:
            wait_in_thread(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 100)
            program.send_signal(stop)
            said = program.communicate(timeout=programs.PATIENCE)[1]
        finally:
            program.kill()
    assert program.returncode == (130 if stop is signal.SIGINT else -stop)
    assert not programs.warnings_of(said)
    assert said.endswith("Stopped. Start the program again to go on.\n" if stop is signal.SIGINT else "")
    before = journal.read_bytes()
    assert before.count(b"\n") < 1001
    assert programs.run("batch.py", cwd=tmp_path) == "reviews.csv: 1000 of 1000 reviews\n"
    assert [review for review, _, _ in rows(tmp_path / "reviews.csv")] == BATCH.made_up(1000)
    whole = before[: before.rindex(b"\n") + 1]
    assert journal.read_bytes().startswith(whole)  # nothing was asked twice
    assert journal.read_bytes().count(b"\n") == 1001


def test_the_program_reads_a_file_and_says_if_the_journal_cannot_be_used(tmp_path):
    (tmp_path / "in.txt").write_text("The price is fair.\n\nThe quality is great.\n", "utf8")
    assert programs.run("batch.py", "in.txt", "out.csv", cwd=tmp_path) == "out.csv: 2 of 2 reviews\n"
    assert rows(tmp_path / "out.csv") == [
        ["The price is fair.", "3", "price"],
        ["The quality is great.", "5", "quality"],
    ]
    (tmp_path / "out.csv.journal").write_text("other\n", "utf8")
    done = subprocess.run(
        programs.command("batch.py", "in.txt", "out.csv"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 2
    assert ": error: the journal out.csv.journal, line 1: it is not a journal of amap; " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.txt"], "No such file or directory: 'none.txt'"),
        (["folder", "out.csv"], "Is a directory: 'folder'"),
        (["blank.txt", "out.csv"], "blank.txt has no reviews; write one on each line"),
        (["latin.txt", "out.csv"], "latin.txt is not text in UTF-8"),
        (["in.txt", "folder"], "folder cannot be written; name a file"),
        (["in.txt", "no/out.csv"], "no/out.csv cannot be written; name a file"),
        (["in.txt", "out.csv", "x"], "unrecognized arguments: x"),
    ],
)
def test_arguments_that_the_program_cannot_use_are_refused_in_words(tmp_path, arguments, words):
    (tmp_path / "folder").mkdir()
    for name, content in (("in", b"The price is fair."), ("blank", b" \n\n"), ("latin", b"\xff\xe4")):
        (tmp_path / f"{name}.txt").write_bytes(content)
    assert words in programs.refused("batch.py", *arguments, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "in.txt", "blank.txt", "latin.txt"}
