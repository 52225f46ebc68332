"""docs/examples/extract.py: what is read, what a second run reads again, and what is left after a kill."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import anyio
import pytest

from aimu import aio
from aimu.testing import ScriptedProvider, leak_check, reply
from tests.examples import programs

EXTRACT = programs.load("extract.py")
READABLE = ["bolts.txt", "coffee.txt", "ink.txt", "plants.txt"]
# The program with a model that never answers about plants.
HANGING = """
import sys
from pathlib import Path
import anyio
from aimu import aio
from aimu.testing import ScriptedProvider, reply
from tests.examples.test_extract import EXTRACT

def answer(request):
    return reply(delay=3600.0) if "fern" in str(request.messages) else EXTRACT.scripted(request)

anyio.run(EXTRACT.main, Path(sys.argv[1]), Path(sys.argv[2]), aio.client(ScriptedProvider(answer, repeat=True)))
"""


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(programs.FOLDER / "invoices", tmp_path / "invoices")


@pytest.fixture
def database(tmp_path):
    return tmp_path / "invoices.db"


def rows(database, query):
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


async def extract(folder, database, answer=EXTRACT.scripted):
    """Run the program, and return the words that the model was asked about, once for each request."""
    provider = ScriptedProvider(answer, repeat=True)
    async with leak_check():
        await EXTRACT.main(folder, database, aio.client(provider))
    return [request.messages[1]["content"].split()[4] for request in provider.requests]


async def test_each_readable_file_becomes_a_row_and_the_other_one_an_error(folder, database):
    await extract(folder, database)
    assert [file for (file,) in rows(database, "SELECT file FROM invoices ORDER BY file")] == READABLE
    assert ("2026-017", "Ink & Paper Ltd", "2026-12-01", "33.90") in rows(
        database, "SELECT number, seller, due, total FROM invoices"
    )
    ((file, error),) = rows(database, "SELECT file, error FROM files WHERE error IS NOT NULL")
    assert file == "smudged.txt"
    assert error.startswith("OutputError: 3 answers do not fit")


async def test_a_second_run_asks_only_for_what_is_new_changed_or_failed(folder, database):
    assert sorted(set(await extract(folder, database))) == ["2026-017", "5~1", "88120", "C-3301", "P-7"]
    assert set(await extract(folder, database)) == {"5~1"}
    ink = folder / "ink.txt"
    ink.write_text(ink.read_text().replace("2026-12-01", "2026-12-02"))
    (folder / "smudged.txt").write_text((folder / "plants.txt").read_text().replace("P-7", "P-8"))
    assert sorted(await extract(folder, database)) == ["2026-017", "P-8"]
    assert await extract(folder, database) == []
    assert rows(database, "SELECT due FROM invoices WHERE number = '2026-017'") == [("2026-12-02",)]
    assert len(rows(database, "SELECT * FROM invoices")) == 5
    assert rows(database, "SELECT * FROM files WHERE error IS NOT NULL") == []


async def test_an_answer_that_does_not_add_up_goes_back_to_the_model(folder, database):
    def careless(request):
        answer = EXTRACT.scripted(request)
        return answer if "add up" in request.messages[-1]["content"] else answer.replace("14.00", "41.00")

    asked = await extract(folder, database, careless)
    assert asked.count("P-7") == 2
    assert "14.00" in rows(database, "SELECT items FROM invoices WHERE number = 'P-7'")[0][0]


async def test_a_cancelled_run_keeps_what_was_read_and_leaves_nothing_open(folder, database):
    reached = anyio.Event()

    def answer(request):
        if "fern" in str(request.messages):
            reached.set()
            return reply(delay=3600.0)
        return EXTRACT.scripted(request)

    async def stop(scope):
        await reached.wait()
        scope.cancel()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(stop, scope)
            await extract(folder, database, answer)
    assert scope.cancelled_caught
    kept = {file for (file,) in rows(database, "SELECT file FROM invoices")}
    asked = await extract(folder, database)
    assert "P-7" in asked
    assert len(set(asked)) == 5 - len(kept)


def test_a_killed_run_loses_only_the_file_that_it_was_reading(folder, database):
    command = [sys.executable, "-c", HANGING, str(folder), str(database)]
    with subprocess.Popen(command, cwd=programs.FOLDER.parents[1], stdout=subprocess.PIPE, text=True) as program:
        try:
            said = {program.stdout.readline().split()[0] for _ in range(4)}
        finally:
            program.kill()
    assert said == {"bolts.txt", "coffee.txt", "ink.txt", "smudged.txt"}
    assert set(anyio.run(extract, folder, database)) == {"5~1", "P-7"}


def test_the_program_runs_as_the_index_says(tmp_path):
    for asked in (5, 1):
        said = programs.run("extract.py", cwd=tmp_path)
        assert said.endswith(f"invoices.db has 4 invoices; this run read or tried {asked} files\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-folder", "some.db"], "no-such-folder is not a folder"),
        (["file"], "file is not a folder"),
        (["empty", "some.db"], "empty has no files *.txt"),
        (["a", "b", "c"], "unrecognized arguments: c"),
        ([programs.FOLDER / "invoices", "file"], "file cannot be used as the database: file is not a database"),
        ([programs.FOLDER / "invoices", "no/some.db"], "no/some.db cannot be used as the database: unable to open"),
    ],
)
def test_arguments_that_the_program_cannot_use_are_refused_in_words(tmp_path, arguments, words):
    (tmp_path / "file").write_text("no database")
    (tmp_path / "empty").mkdir()
    assert words in programs.refused("extract.py", *arguments, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "empty"}


async def test_a_file_that_cannot_be_read_is_recorded_and_the_others_are_read(folder, database):
    (folder / "a_folder.txt").mkdir()
    await extract(folder, database)
    assert len(rows(database, "SELECT file FROM invoices")) == 4
    ((error,),) = rows(database, "SELECT error FROM files WHERE file = 'a_folder.txt'")
    assert error.startswith("IsADirectoryError: ")
