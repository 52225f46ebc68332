"""Shows a turn while it runs: in a terminal with live lines, elsewhere as plain lines.

Thinking is short and dim, a tool call is one line, the answer is Markdown that is rendered as it streams.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from typing import IO, Any, Protocol, final

import anyio
import anyio.lowlevel
from attrs import define, field
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from aimu._cli.markdown import BUDGET, THEME, GrowingMarkdown, ansi_lines
from aimu._cli.pieces import LONGEST
from aimu._cli.region import Region
from aimu._cli.safe import cut, has_colour, is_terminal, line_of, shown, styled, tell
from aimu.types import StreamChunk, StreamingContentType

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME = 0.08  # s between two frames
LIVE = 12  # lines of an answer that may still change
RESERVED = 4  # rows of a screen that are not for the answer
SHORTEST = 0.05  # s below which a duration is not worth showing


class Display(Protocol):
    """What a turn is shown on."""

    def show(self, chunk: StreamChunk) -> None:
        """Show a chunk."""
        ...

    def note(self, text: str) -> None:
        """Show a line of the program's own."""
        ...

    def finish(self) -> None:
        """Show what is left, and nothing more."""
        ...

    async def animate(self) -> None:
        """Keep what is shown up to date until cancelled."""
        ...

    def paused(self) -> AbstractContextManager[object]:
        """Leave the terminal to the block."""
        ...

    async def catch_up(self) -> None:
        """Show most of what has come, so that `finish` is quick."""
        ...


def call_text(call: Mapping[str, Any]) -> str:
    """Return a tool call as one line of Python: `add(a=17, b=25)`."""
    arguments = call.get("arguments")
    if isinstance(arguments, Mapping):
        inside = ", ".join(f"{key}={_value(value)}" for key, value in arguments.items())
    else:
        inside = str(arguments or "")
    return line_of(f"{call.get('name')}({inside})")


def result_text(response: Any) -> str:
    """Return the first line of what a tool returned."""
    text = response if isinstance(response, str) else _value(response)
    lines = text.strip().splitlines()
    return line_of(lines[0]) + (f" (+{len(lines) - 1} lines)" if len(lines) > 1 else "") if lines else "nothing"


def _tail(pieces: Sequence[str], length: int) -> str:
    """Return the last characters of a text that came in pieces."""
    last: deque[str] = deque()
    for piece in reversed(pieces):
        last.appendleft(piece)
        length -= len(piece)
        if length <= 0:
            break
    return "".join(last)


def _value(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)


def _seconds(duration: float) -> str:
    return "" if duration < SHORTEST else f" {duration:.1f} s"


@final
@define(eq=False)
class PlainDisplay:
    """Tool calls as plain lines, and nothing else; the answer is printed by whoever has it.

    Args:
        file: Where to.
        verbose: Whether to show thinking and results in full.
    """

    file: IO[str]
    verbose: bool = False
    _thinking: str = field(default="", init=False)

    def show(self, chunk: StreamChunk) -> None:
        """Show a chunk."""
        if chunk.phase is StreamingContentType.THINKING:
            self._thinking += chunk.content if self.verbose else ""
            return
        self.finish()
        if chunk.is_tool_call() and "response" in chunk.content:
            response = chunk.content["response"]
            self.note(f"{call_text(chunk.content)} -> {response if self.verbose else result_text(response)}")

    def note(self, text: str) -> None:
        """Show a line of the program's own."""
        tell(styled(shown(text), "dim", self.file), self.file)

    def finish(self) -> None:
        """Show what is left, and nothing more."""
        if self._thinking:
            self.note(self._thinking)
            self._thinking = ""

    async def animate(self) -> None:
        """Do nothing until cancelled: lines do not change."""
        await anyio.sleep_forever()

    def paused(self) -> AbstractContextManager[object]:
        """Do nothing: lines are whole."""
        return nullcontext()

    async def catch_up(self) -> None:
        """Do nothing: all is shown."""


@final
@define
class _Call:
    text: str
    began: float


@final
@define(eq=False)
class TerminalDisplay:
    """A turn in a terminal: what is finished is printed, what goes on is in live lines at the end.

    Args:
        file: The terminal.
        waiting: What the first line says until something comes.
        verbose: Whether to show thinking and results in full.
        answers: Whether to show the text of the answer.
    """

    file: IO[str]
    waiting: str
    verbose: bool = False
    answers: bool = True
    clock: Callable[[], float] = monotonic
    _console: Console = field(init=False)
    _region: Region = field(init=False)
    _answer: GrowingMarkdown = field(init=False)
    _thoughts: list[str] = field(factory=list[str], init=False)
    _calls: dict[str, _Call] = field(factory=dict[str, _Call], init=False)
    _printed: list[str] = field(factory=list[str], init=False)  # lines for good that are not yet on the screen
    _since: float = field(init=False)
    _notes: deque[str] = field(factory=deque[str], init=False)
    _texts: bool = field(default=False, init=False)  # whether the last piece was text of the answer
    _paused: bool = field(default=False, init=False)
    _frame: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        no_colour = not has_colour(self.file)
        self._console = Console(file=self.file, theme=THEME, force_terminal=True, no_color=no_colour)
        self._region = Region(self.file, lambda: self._console.width)
        self._answer = GrowingMarkdown(self._console)
        self._since = self.clock()

    def show(self, chunk: StreamChunk) -> None:
        """Take a chunk; `paint` shows it."""
        if chunk.phase is StreamingContentType.DONE:
            return
        if chunk.phase is StreamingContentType.THINKING:
            self._end_answer()
            if not self._thoughts:
                self._since = self.clock()
            self._thoughts.append(shown(chunk.content))
            return
        self._end_thinking()
        if chunk.is_tool_call():
            self._end_answer()
            self._show_call(chunk.content)
        elif self.answers:
            self._answer.feed(shown(chunk.content))
            self._texts = True
        self._since = self.clock()

    def note(self, text: str) -> None:
        """Show a line of the program's own; may be called from any thread."""
        self._notes.append(text)

    def finish(self) -> None:
        """Show what is left, remove the live lines, and show the cursor."""
        self._take_notes()
        self._end_thinking()
        for call in self._calls.values():
            self._print(f"■ {call.text}{_seconds(self.clock() - call.began)} stopped", "yellow")
        self._calls.clear()
        self._end_answer()
        self._region.update([], self._take_printed())
        self._region.close()

    async def animate(self) -> None:
        """Paint until cancelled; a slow painting makes the pauses longer."""
        while True:
            began = self.clock()
            self.paint()
            await anyio.sleep(max(FRAME, 4 * (self.clock() - began)))

    @contextmanager
    def paused(self) -> Generator[None]:
        """Remove the live lines, and paint nothing until the end of the block."""
        self.paint()
        self._region.close()
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    async def catch_up(self) -> None:
        """Paint until most of what has come is shown; others run in between."""
        while self._answer.behind and not self._paused:
            self.paint()
            await anyio.lowlevel.checkpoint()

    def paint(self) -> None:
        """Bring the screen up to date."""
        if self._paused:
            return
        self._frame += 1
        self._take_notes()
        width, height = self._console.size
        status = [cut(line, width) for line in self._status()][: max(1, height - 2)]
        final, growing = self._answer.take(max(0, min(LIVE, height - RESERVED - len(status))))
        self._region.update([*growing, *status], [*self._take_printed(), *final])

    def _status(self) -> list[str]:
        """Return the live lines below the answer: what the turn is waiting for."""
        now, wheel = self.clock(), SPINNER[self._frame % len(SPINNER)]
        if self._calls:
            calls = self._calls.values()
            return [f"{wheel} {call.text}{_seconds(now - call.began)}" for call in calls]
        if self._thoughts:
            head = f"{wheel} thinking{_seconds(now - self._since)}  "
            room = max(self._console.width - len(head) - 1, 1)
            return [head + line_of(_tail(self._thoughts, room))[-room:]]
        if self._texts and now - self._since < 1:
            return []
        return [f"{wheel} {self.waiting}{_seconds(now - self._since)}"]

    def _show_call(self, call: Mapping[str, Any]) -> None:
        started = self._calls.pop(call["id"], None) or _Call(call_text(call), self.clock())
        if "response" not in call:
            self._calls[call["id"]] = started
            return
        duration, response = _seconds(self.clock() - started.began), call["response"]
        failed = isinstance(response, str) and response.startswith("Error:")
        mark, colour = ("✗", "red") if failed else ("✓", "green")
        if self.verbose:
            self._print(f"{mark} {started.text}{duration}", colour)
            self._print_all(response if isinstance(response, str) else _value(response))
        else:
            room = self._console.width - 2
            head = f"{cut(started.text, max(room * 2 // 3, 10))}{duration}"
            line = cut(f"{head} → {result_text(response)}", room)
            self._printed.append(f"{styled(mark, colour, self.file)} {styled(line, 'dim', self.file)}")

    def _end_thinking(self) -> None:
        if self._thoughts:
            self._print(f"∴ thought for{_seconds(self.clock() - self._since) or ' a moment'}", "dim")
            if self.verbose:
                self._print_all("".join(self._thoughts).strip())
            self._thoughts.clear()

    def _end_answer(self) -> None:
        lines = self._answer.finish(BUDGET) if self._answer.behind else self._answer.finish()
        self._printed += lines
        if self._texts and lines:
            self._printed.append("")
        self._texts = False

    def _print(self, text: str, style: str) -> None:
        self._printed.append(styled(cut(line_of(text), self._console.width), style, self.file))

    def _print_all(self, text: str) -> None:
        if len(text) > LONGEST:  # the terminal breaks lines faster
            self._printed += ["  " + styled(line, "dim", self.file) for line in shown(text).split("\n")]
        else:
            self._printed += ansi_lines(self._console, Padding(Text(shown(text), "dim"), (0, 0, 0, 2)))

    def _take_notes(self) -> None:
        while self._notes:
            self._print(self._notes.popleft(), "yellow")

    def _take_printed(self) -> list[str]:
        taken, self._printed = self._printed, []
        return taken


def display_on(file: IO[str], waiting: str, *, verbose: bool = False, answers: bool = True) -> Display:
    """Return the display that fits a file."""
    if is_terminal(file):
        return TerminalDisplay(file, waiting, verbose=verbose, answers=answers)
    return PlainDisplay(file, verbose=verbose)
