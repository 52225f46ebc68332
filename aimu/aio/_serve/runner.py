"""A runner as a tool: a call runs it on a task, and reports each tool call and each line of text as progress."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from threading import Lock
from typing import Any, final

from aimu._core.chunks import StreamChunk, StreamingContentType
from aimu.aio._run import Task
from aimu.aio._runner import AsyncRunner, labels, steps_of
from aimu.aio._stream import Stream
from aimu.tools._current import Level, Listener, current_call
from aimu.tools._definition import Tool

_LONG = 120  # characters; a longer line is reported in pieces


def run_tool(runner: Any) -> Tool:
    """Return the tool `run(task)` of a runner, sync or async."""
    adapted = getattr(runner, "_as_aio", None)  # a sync runner would block the server
    own: AsyncRunner = runner if adapted is None else adapted()

    async def run(task: str) -> str:
        call = current_call()
        narration = Narration(call._listener)
        call._listener = narration  # of the calls in the run, too
        given = Task.asked(task, None, None, "task", None)
        async with Stream(lambda run: steps_of(own, given, run), labels=lambda: labels(own)) as stream:
            async for chunk in stream:
                narration.see(chunk)
        return str(stream.result)

    who = getattr(runner, "name", None) or type(runner).__name__
    return Tool(name="run", function=run, description=f"Give a task to {who}; returns its answer.")


@final
class Narration:
    """Numbers what happens in a run, for a listener who expects progress to grow.

    Args:
        listener: Who hears it; None if nobody does.
    """

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._numbers = count(1)
        self._lock = Lock()  # tools in the run may report from threads
        self._rest: dict[str | None, str] = {}  # by agent, the line that is not whole yet

    def see(self, chunk: StreamChunk) -> None:
        """Report a chunk: a tool call when it starts, text when a line is whole or its agent does something else."""
        if chunk.is_text():
            *lines, self._rest[chunk.agent] = _lines(self._rest.get(chunk.agent, "") + chunk.content)
            self._tell(chunk.agent, lines)
            return
        for agent in list(self._rest) if chunk.phase is StreamingContentType.DONE else [chunk.agent]:
            self._tell(agent, [self._rest.pop(agent, "")])
        if chunk.is_tool_call() and "response" not in chunk.content:
            self._tell(chunk.agent, [f"calls {chunk.content['name']}"])

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Report the progress of a tool in the run."""
        far = f"{done:g}" if total is None else f"{done:g} of {total:g}"
        self._say(far if message is None else f"{far}: {message}")

    def log(self, level: Level, text: str) -> None:
        """Pass a log record on."""
        if self._listener is not None:
            self._listener.log(level, text)

    def _tell(self, agent: str | None, lines: Iterable[str]) -> None:
        for line in filter(None, map(str.strip, lines)):
            self._say(line if agent is None else f"{agent}: {line}")

    def _say(self, text: str) -> None:
        if self._listener is not None:
            with self._lock:
                self._listener.progress(next(self._numbers), None, text)


def _lines(text: str) -> list[str]:
    """Return the lines of a text, the last as far as it goes; long lines in pieces that end with a space."""
    found: list[str] = []
    for line in text.split("\n"):
        while len(line) > _LONG and (end := line.rfind(" ", 1, _LONG)) > 0:
            found.append(line[:end])
            line = line[end + 1 :]
        found.append(line)
    return found
