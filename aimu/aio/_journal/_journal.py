"""The journal of one batch: answers a task from its record, else asks the runner and records the answer.

Owns what is asked again, and when a journal belongs to other runners. A result and its record are one step: nothing is
awaited in between, so that no cancellation separates them.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn, final

from anyio import from_thread

from aimu._core.answer import AnyAnswer
from aimu._core.threads import run_in_thread
from aimu._output._expected import Expected
from aimu.aio._agent import Agent
from aimu.aio._journal._file import JournalFile
from aimu.aio._journal._identity import Facts, differences, facts_of, facts_of_options
from aimu.aio._journal._record import Key, answer_of, digest, key, key_of, line_of
from aimu.aio._output_check import typed
from aimu.aio._run import plain_run
from aimu.aio._runner import AsyncRunner
from aimu.errors import InvalidOptionError, JournalError, JournalWriteError, OutputError

_ANOTHER = "give another path to ask all tasks again"


@final
class Journal:
    """The journal of an `amap`, and its way to answer a task.

    Args:
        path: The file.
        make: Makes the runner of a task.
        ask: Asks a runner a task.
        limit: Returns a block that limits the time of a task.
        generate_kwargs: The options of all tasks.
        expected: The type that answers must have, or None.

    Raises:
        InvalidOptionError: `path` is not a path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        make: Callable[[], AsyncRunner],
        ask: Callable[[str, AsyncRunner], Awaitable[AnyAnswer]],
        limit: Callable[[AsyncRunner], AbstractContextManager[object]],
        generate_kwargs: Mapping[str, Any] | None,
        expected: Expected | None,
    ) -> None:
        self._path = _checked(path)
        self._make = make
        self._alike = getattr(make, "__func__", None) is Agent.fork  # whether all runners are forks of one agent
        self._ask = ask
        self._limit = limit
        self._asked = facts_of_options(generate_kwargs, expected)
        self._expected = expected
        self._file = JournalFile(self._path)
        self._taken: dict[bytes, int] = {}  # digest of a task -> how many of them were taken
        self._facts: Facts | None = None  # of the first runner
        self._known: AsyncRunner | None = None  # the runner whose facts were compared last
        self._spare: list[AsyncRunner] = []  # made for tasks that needed none
        self.failures: list[JournalError] = []  # which end the batch, also where failures of tasks do not

    async def open(self) -> None:
        """Open the file, in a thread.

        Raises:
            JournalError: It cannot be used.
        """
        try:
            await run_in_thread(self._file.open, from_thread.check_cancelled)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    async def answer(self, task: str) -> AnyAnswer:
        """Return the answer of a task, recorded or new."""
        entry = self._claim(task)
        runner = self._spare.pop() if self._spare else self._make()
        self._check(runner)
        place = self._file.places.pop(entry, None)
        if place is not None:
            kept = await self._kept(entry, place, runner)
            if kept is not None:
                self._spare.append(runner)
                return kept
        answer = await self._ask(task, runner)
        self._record(entry, answer)
        return answer

    def _claim(self, task: str) -> Key:
        """Return the key of a task that has just been taken."""
        found = digest(task)
        number = self._taken.get(found, 0)
        self._taken[found] = number + 1
        return key(found, number)

    def _check(self, runner: AsyncRunner) -> None:
        """Raise JournalError if the journal, or this batch, has asked a runner that differs from this one."""
        if runner is self._known or (self._alike and self._facts is not None):
            return
        facts = {**facts_of(runner), **self._asked}
        if self._facts is None:
            self._bind(facts)
            self._facts = facts
        elif facts != self._facts:
            self._fail(
                f"the factory makes runners that differ in {differences(self._facts, facts)}",
                "a journal keeps the answers of one runner: run amap once for each, with a journal of its own",
            )
        self._known = runner

    def _bind(self, facts: Facts) -> None:
        if self._file.asked_of is None:
            try:
                self._file.begin(facts)
            except JournalError as exc:
                self.failures.append(exc)
                raise
        elif facts != self._file.asked_of:
            self._fail(
                f"its answers are of a runner that differs from this one in {differences(self._file.asked_of, facts)}",
                f"restore that to go on with it, or {_ANOTHER}",
            )

    async def _kept(self, entry: Key, place: int, runner: AsyncRunner) -> AnyAnswer | None:
        """Return the answer that the file has at this place; None if it no longer has the expected type."""
        line = b""
        try:
            line = self._file.read(place)
            answer = answer_of(line)
        except (OSError, ValueError) as exc:
            if line and key_of(line) == entry:  # and was so when the file was opened
                self._fail(
                    f"it is damaged: the record of task {entry[:16].hex()} has no answer that can be read ({exc})",
                    "delete its line, and the task is asked again; or give another path",
                )
            self._fail("it was changed while amap used it", "run the batch again; what is gone is asked again")
        if self._expected is None:
            return answer
        try:
            with self._limit(runner):
                return await typed(answer, self._expected, plain_run({}))
        except OutputError:
            return None

    def _record(self, entry: Key, answer: AnyAnswer) -> None:
        try:
            line = line_of(entry, answer, typed=self._expected is not None)
        except ValueError as exc:
            self._fail(
                f"an answer cannot be kept as JSON: {exc}",
                "pass output_type= to amap for a typed output, or run the batch without a journal",
            )
        try:
            self._file.append(line)
        except JournalWriteError as exc:
            exc.answer = answer
            self.failures.append(exc)
            raise

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        error = JournalError(self._path, problem, remedy)
        self.failures.append(error)
        raise error


def _checked(path: Any) -> str:
    given = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(given, str) or not given or "\0" in given:
        raise InvalidOptionError(f"journal= must be the path of a file, got {path!r}")
    return given
