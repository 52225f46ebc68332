"""The file of amap(journal=path): what is in it after a kill, a cancellation or an error, and who may use it."""

import errno
import fcntl
import gc
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aimu import aio
from aimu.aio._journal._file import JournalFile
from aimu.errors import InvalidOptionError, JournalBusyError, JournalError, JournalWriteError
from aimu.testing import ScriptedProvider, cancel_everywhere, leak_check
from tests.workflows.journals import mapped, plain, recorded, tasks_of
from tests.workflows.models import agent, model

WAYS = [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")]
TASKS = ["a", "b", "c", "a"]
ANSWERS = {0: "w(a)", 1: "w(b)", 2: "w(c)", 3: "w(a)"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch.jsonl"


# --- torn, damaged and foreign files


async def test_a_file_that_was_cut_anywhere_loses_only_the_record_that_was_cut(path):
    await mapped(agent(model(), "w"), TASKS, path, max_concurrency=1)
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        provider = model()
        assert await mapped(agent(provider, "w"), TASKS, path, max_concurrency=1) == ANSWERS
        kept = sum(end <= cut + 1 for end in ends)  # a record is whole without its line break
        assert len(provider.requests) == min(len(TASKS) + 1 - kept, len(TASKS))
        assert path.read_bytes().rstrip(b"\n").count(b"\n") == len(TASKS)
        assert await mapped(agent(ScriptedProvider(), "w"), TASKS, path) == ANSWERS


@pytest.mark.parametrize("rest", [b"\0" * 5000, b'{"task":"', b"\xff\xfe", b"[" * 100_000, b"{}"])
async def test_what_is_no_record_behind_the_last_line_break_is_written_over(path, rest):
    await mapped(agent(model(), "w"), ["a"], path)
    path.write_bytes(path.read_bytes() + rest)
    provider = model()
    assert await mapped(agent(provider, "w"), ["a", "b"], path) == {0: "w(a)", 1: "w(b)"}
    assert tasks_of(provider) == ["b"]
    assert recorded(path) == ["a", "b"]


@pytest.mark.parametrize("line", [b"{}", b'{"task":"ab","number":0', b"\0\0", b"null", b'{"task":"00","answer":1}'])
async def test_a_damaged_line_in_the_middle_is_an_error_that_names_it_and_changes_nothing(path, line):
    await mapped(agent(model(), "w"), TASKS, path)
    lines = path.read_bytes().splitlines()
    damaged = b"\n".join([*lines[:2], line, *lines[3:]]) + b"\n"
    path.write_bytes(damaged)
    with pytest.raises(JournalError, match=r"batch\.jsonl, line 3: it is damaged.*delete the line, and its") as caught:
        await mapped(agent(model(), "w"), TASKS, path)
    assert (caught.value.path, caught.value.line) == (str(path), 3)
    assert path.read_bytes() == damaged
    path.write_bytes(damaged.replace(line + b"\n", b""))
    provider = model()
    assert await mapped(agent(provider, "w"), TASKS, path) == ANSWERS
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"hello\n",
        b'{"text": 1}\n',
        b"\0" * 100,
        b'{"aimu_journal"\n',
        b"\n",
        b'{"aimu_journal":x}\nab',
        b"{}",
    ],
)
async def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(path, content):
    path.write_bytes(content)
    provider = model()
    with pytest.raises(JournalError, match=r"batch\.jsonl, line 1: it is .*; .*give another path"):
        await mapped(agent(provider, "w"), TASKS, path)
    assert path.read_bytes() == content
    assert not provider.requests


async def test_a_journal_of_a_newer_version_is_refused(path):
    path.write_text('{"aimu_journal":2,"more":[]}\nwhat\n', "utf8")
    with pytest.raises(JournalError, match="line 1: a newer version of aimu wrote it; update aimu, or give another"):
        await mapped(agent(model(), "w"), TASKS, path)


async def test_an_empty_file_and_one_that_an_editor_has_saved_are_journals(path):
    path.touch()
    await mapped(agent(model(), "w"), ["a", "b"], path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n\n").rstrip())
    provider = model()
    assert await mapped(agent(provider, "w"), TASKS, path, max_concurrency=1) == ANSWERS
    assert tasks_of(provider) == ["c", "a"]
    assert len(path.read_bytes().split()) == 5


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")])
async def test_what_is_no_file_is_refused(path, make):
    make(path)
    with pytest.raises(JournalError, match="it is not a regular file|it cannot be opened: Is a directory"):
        await mapped(agent(model(), "w"), TASKS, path)


@pytest.mark.parametrize(
    ("name", "why"), [("none/batch.jsonl", "No such file or directory"), ("a" * 300, "File name too long")]
)
async def test_a_journal_that_cannot_be_opened_is_an_error_that_says_why(tmp_path, name, why):
    with pytest.raises(JournalWriteError, match=f"it cannot be opened: {why}; correct that") as caught:
        await mapped(agent(model(), "w"), TASKS, tmp_path / name)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("given", ["", b"batch", 3, True, "a\0b"])
def test_what_is_no_path_is_refused_at_the_call(given):
    with pytest.raises(InvalidOptionError, match="journal= must be the path of a file, got"):
        aio.amap(agent(model(), "w"), [], journal=given)


async def test_others_cannot_read_a_journal(path):
    await mapped(agent(model(), "w"), TASKS, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- who may use it


async def test_two_maps_of_one_process_cannot_share_a_journal(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    async with aio.amap(agent(model(), "w"), TASKS, journal=path) as results:
        for same in (path, link):
            with pytest.raises(JournalBusyError, match="another run of amap uses it; wait until that run has ended"):
                await mapped(agent(model(), "w"), TASKS, same)
        assert dict([pair async for pair in results]) == ANSWERS
    assert await mapped(agent(ScriptedProvider(), "w"), TASKS, link) == ANSWERS


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
async def test_without_locks_a_warning_says_so_and_one_process_still_runs_one_map(path, code, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    async with aio.amap(agent(model(), "w"), TASKS, journal=path) as results:
        with pytest.raises(JournalBusyError):
            await mapped(agent(model(), "w"), TASKS, path)
        assert dict([pair async for pair in results]) == ANSWERS
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"without locks ({os.strerror(code)}); make sure that no other program uses it" in caplog.text


# --- what cannot be written


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (Path.unlink, "it was deleted or replaced while amap used it; run the batch again"),
        (lambda path: path.write_bytes(b""), "it was cut while amap used it"),
    ],
)
async def test_a_journal_that_is_taken_away_while_it_is_used_is_an_error(path, harm, text):
    with pytest.raises(JournalWriteError, match=text) as caught:
        async with aio.amap(agent(model(), "w"), iter(TASKS), journal=path, max_concurrency=1) as results:
            await anext(results)
            harm(path)
            async for _ in results:
                pass
    assert caught.value.answer in ANSWERS.values()


# --- stopped anywhere


class Break(Exception):
    pass


@pytest.mark.parametrize("leave", ["break", "raise", "cancel"])
@pytest.mark.parametrize("after", [0, 1, 7])
async def test_a_batch_that_is_left_anywhere_goes_on(path, leave, after):
    async def body():
        async with aio.amap(agent(model(), "w"), map(str, range(20)), journal=path, max_concurrency=5) as results:
            for _ in range(after):
                index, _ = await anext(results)
                seen.add(str(index))
            if leave == "raise":
                raise Break
            if leave == "cancel":
                scope.cancel()
                await checkpoint()

    seen = set()
    async with leak_check():
        with anyio.CancelScope() as scope:
            try:
                await body()
            except Break:
                assert leave == "raise"
    done = recorded(path)
    assert seen <= set(done)
    provider = model()
    assert await mapped(agent(provider, "w"), map(str, range(20)), path) == {n: f"w({n})" for n in range(20)}
    assert sorted([*done, *tasks_of(provider)]) == sorted(map(str, range(20)))


class Stopped:
    """A batch that is stopped at some point, and one that goes on with its journal."""

    number = 0

    def __init__(self, folder, tasks=("a", "b", "c", "a")):
        Stopped.number += 1
        self.path = folder / f"batch {Stopped.number}.jsonl"
        self.tasks, self.got = tasks, {}

    async def run(self):
        async with aio.amap(agent(model(), "w"), iter(self.tasks), journal=self.path, max_concurrency=2) as results:
            async for index, answer in results:
                self.got[index] = answer

    async def check(self, *, completed):
        done = recorded(self.path) if self.path.exists() else []
        assert len(done) >= len(self.got)
        assert {self.tasks[index] for index in self.got} <= set(done)
        provider = model()
        assert await mapped(agent(provider, "w"), self.tasks, self.path) == ANSWERS
        assert sorted([*done, *tasks_of(provider)]) == sorted(self.tasks)
        assert sorted(recorded(self.path)) == sorted(self.tasks)


@pytest.mark.parametrize(("backend", "how"), WAYS)
def test_a_batch_that_is_cancelled_at_any_step_leaves_a_true_journal(tmp_path, backend, how):
    cancel_everywhere(lambda: Stopped(tmp_path), backend=backend, how=how, minimum=20)


@pytest.mark.parametrize(("backend", "how"), WAYS)
def test_a_batch_that_goes_on_can_be_cancelled_at_any_step_too(tmp_path, backend, how):
    def half_done():
        stopped = Stopped(tmp_path)
        anyio.run(mapped, agent(model(), "w"), ["a", "c"], stopped.path)
        return stopped

    made = [half_done() for _ in range(60)]
    cancel_everywhere(lambda: made.pop(), backend=backend, how=how, minimum=10)


# --- large ones


async def test_a_large_journal_is_read_in_a_thread_and_takes_little_memory(path):
    async def entered(results):
        nonlocal busy
        async with results:
            busy = False

    long = "x" * 100_000
    await mapped(agent(ScriptedProvider(long, repeat=True), "w"), map(str, range(60)), path)
    steps, busy = 0, True
    results = aio.amap(agent(ScriptedProvider(), "w"), iter(()), journal=path)
    async with anyio.create_task_group() as group:
        group.start_soon(entered, results)
        while busy:
            await checkpoint()
            steps += 1
    assert steps > 3
    file = JournalFile(str(path))
    gc.collect()
    before = sys.getallocatedblocks()
    file.open()
    try:
        assert len(file.places) == 60
        assert sys.getallocatedblocks() - before < 60 * 5
        assert [len(json.loads(file.read(place))["answer"]["text"]) for place in file.places.values()] == [100_000] * 60
    finally:
        file.close()


def test_the_opening_of_a_large_journal_can_be_stopped(path):
    def stop():
        raise Break

    anyio.run(mapped, agent(ScriptedProvider("x" * 100_000, repeat=True), "w"), [*map(str, range(60))], path)
    file = JournalFile(str(path))
    with pytest.raises(Break):
        file.open(stop)
    assert 0 < len(file.places) < 60
    file.close()
    JournalFile(str(path)).open()


def test_a_map_without_a_journal_loads_nothing_of_it():
    program = """
import sys, anyio
from aimu import aio
from aimu.testing import scripted_client

async def main():
    async with aio.amap(aio.Agent(scripted_client("yes")), ["a"]) as results:
        assert [answer async for _, answer in results] == ["yes"]

anyio.run(main)
assert not [name for name in sys.modules if "journal" in name]
assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (b'"number":0', b'"number":99999999999999999999999', "this line is not a record"),
        (b'"requests":1', b'"requests":1,"unknown":1', "no answer that can be read.*delete its line"),
        (b'"requests":1', b'"parts":7', "no answer that can be read.*delete its line"),
    ],
)
async def test_a_record_that_was_edited_is_damage_and_not_called_a_change_meanwhile(path, before, after, text):
    await mapped(plain(ScriptedProvider("one")), ["a"], path)
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))
    with pytest.raises(JournalError, match=text):
        await mapped(plain(ScriptedProvider("two")), ["a"], path)
    assert path.read_bytes() == content.replace(before, after)
