"""amap(journal=path) in processes that are killed, that fork, or whose disk is full."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from aimu.aio._journal._file import JournalFile
from aimu.errors import JournalBusyError, JournalError
from tests.workflows.journals import mapped, recorded
from tests.workflows.models import Shout

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch.jsonl"


class Program:
    """A process that runs a batch with a journal; it writes what it asks and gives out, and waits at `hold`."""

    SOURCE = """
import os, resource, signal, sys
import anyio
from aimu import aio
from aimu.aio import AsyncRunner

path, count, hold, backend, how = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]

def say(text, width=0):
    os.write(1, text.ljust(width).encode() + b"\\n")

class Upper(AsyncRunner):
    messages = {}

    async def run(self, task, generate_kwargs=None, stream=False, images=None):
        say(f"asked {task}", 1000 if how == "wide" else 0)
        if task == hold:
            say("forked" if how == "fork" and os.fork() == 0 else "held")
            sys.stdin.read()
            os._exit(0)
        await anyio.lowlevel.checkpoint()
        return aio.Answer(task.upper(), new_messages=[{"role": "user", "content": task}])

async def main():
    if how.startswith("alarm"):
        signal.setitimer(signal.ITIMER_REAL, float(how.removeprefix("alarm")))  # its signal kills at once
    if how.isdigit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(how), resource.RLIM_INFINITY))
    tasks = (f"task {n}" for n in range(count))
    on_error = "collect" if how.isdigit() else "raise"
    async with aio.amap(Upper, tasks, journal=path, max_concurrency=4, on_error=on_error) as results:
        async for index, answer in results:
            say(f"got {index} {answer}")

try:
    anyio.run(main, backend=backend)
except Exception as exc:
    say(f"{type(exc).__name__} {exc} with {getattr(exc, 'answer', None)}")
else:
    say("done")
"""

    def __init__(self, path, count=4, *, hold="", backend="asyncio", how=""):
        command = [sys.executable, "-c", self.SOURCE, path, str(count), hold, backend, how]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.read()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def read(self, until=None):
        """Read what the process writes, up to this line or to the end."""
        while (line := self.read_line()) and line != until:
            pass
        assert line == until or until is None, self.lines

    def read_line(self):
        line = self.process.stdout.readline().rstrip()
        self.lines += [line] if line else []
        return line

    def said(self, word):
        return [line.split(" ", 1)[1] for line in self.lines if line.split()[0] == word]


async def test_another_process_cannot_use_a_journal_until_its_own_is_dead(path):
    with Program(path, hold="task 3") as other:
        await anyio.to_thread.run_sync(other.read, "held")
        with pytest.raises(JournalBusyError, match=r"batch\.jsonl"):
            await mapped(Shout, ["task 0"], path)
        other.process.kill()
        other.process.wait()
        with pytest.raises(JournalError, match="differs from this one in class"):
            await mapped(Shout, ["task 0"], path)


async def test_a_forked_child_that_outlives_its_parent_does_not_hold_the_journal(path):
    with Program(path, hold="task 3", how="fork") as parent:
        await anyio.to_thread.run_sync(parent.read, "forked")
        with pytest.raises(JournalBusyError):  # the child has closed its copy, and the parent keeps the lock
            await mapped(Shout, ["task 0"], path)
        os.kill(parent.process.pid, signal.SIGKILL)
        parent.process.wait()
        file = JournalFile(str(path))
        file.open()
        file.close()
        parent.process.stdin.close()  # ends the child
        parent.read()


class Killed:
    """A batch that is killed and run again until it is done; checks the journal after each time."""

    def __init__(self, path, count):
        self.path, self.count, self.known, self.asked, self.runs = path, count, set(), set(), 0

    def ended(self, program):
        """Check what a process, which has ended, did; return whether it was done."""
        self.runs += 1
        asked = set(program.said("asked"))
        assert not self.known & asked  # what was recorded before is not asked again
        self.asked |= asked
        records = [json.loads(line) for line in self.path.read_bytes().split(b"\n")[1:-1]] if self.path.exists() else []
        self.known = {record["answer"]["new_messages"][0]["content"] for record in records}
        assert len(self.known) == len(records)
        for index, answer in (got.split(" ", 1) for got in program.said("got")):
            assert answer == f"TASK {index}"
            assert f"task {index}" in self.known  # what was given out is recorded
        if "done" not in program.lines:
            return False
        assert {got.split()[0] for got in program.said("got")} == {*map(str, range(self.count))}
        assert {f"task {n}" for n in range(self.count)} == self.known == self.asked
        return True


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_batch_that_is_killed_again_and_again_asks_nothing_twice_that_is_recorded(path, backend):
    dice, killed, done = random.Random(8), Killed(path, 200), False
    while not done:
        # Lines about new tasks are wide, so that the program cannot get far ahead of its reader.
        with Program(path, killed.count, backend=backend, how="wide") as program:
            left = dice.randint(1, 40)
            while left and (line := program.read_line()):
                left -= line.startswith("asked")
            program.process.kill()
            program.read()
        done = killed.ended(program)
    assert killed.runs >= 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_batch_that_is_killed_at_any_instant_asks_nothing_twice_that_is_recorded(path, backend):
    dice, killed, done = random.Random(9), Killed(path, 2000), False
    delays = [dice.uniform(0.0005, 0.03) for _ in range(5)]
    while not done:
        with Program(path, killed.count, backend=backend, how=f"alarm{delays.pop():f}" if delays else "") as program:
            program.read()
        done = killed.ended(program)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_full_disk_ends_the_batch_with_an_error_that_has_the_answer(path, backend):
    with Program(path, backend=backend) as first:
        first.read()
    room = path.stat().st_size + 40  # for a part of a record
    with Program(path, 40, backend=backend, how=str(room)) as program:
        program.read()
    [last] = [line for line in program.lines if "Error" in line]
    assert last.startswith(f"JournalWriteError the journal {path}: it cannot be written: File too large; correct that")
    assert last.endswith("is recorded is not asked again with TASK 4")
    assert path.read_bytes().endswith(b"}\n")
    assert sorted(recorded(path)) == [f"task {n}" for n in range(4)]
    with Program(path, 40, backend=backend) as again:
        again.read()
    assert again.lines[-1] == "done"
    assert sorted(again.said("asked")) == sorted(f"task {n}" for n in range(4, 40))
