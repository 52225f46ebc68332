"""Runs turns and shows them; owns the display, the notes and the log."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import IO, Any, final

import anyio
from attrs import define, field

from aimu import aio
from aimu._cli.display import Display, display_on
from aimu._cli.safe import folded, line_of, styled, tell
from aimu._core.escaping import traceback_text
from aimu._core.groups import single_failure
from aimu.types import Answer


@final
@define(eq=False)
class Session:
    """Runs turns and shows them.

    Args:
        options: The options of the command line.
        file: Where turns are shown.
        notes: Where notes go between turns.
        answers: Whether turns are shown with their answers.
        verbose: Whether they are shown with all thinking and results.
        ending: Called when a turn ends, before the rest of it is shown.
    """

    options: Namespace
    file: IO[str]
    notes: IO[str]
    answers: bool
    verbose: bool = False
    ending: Callable[[], Awaitable[object]] | None = None
    _display: Display | None = field(default=None, init=False)

    def note(self, text: str) -> None:
        """Show a line of the program's own; may be called from any thread."""
        if (display := self._display) is not None:
            display.note(text)
        else:
            tell(styled(folded(line_of(text), self.notes), "dim", self.notes), self.notes)

    @property
    def in_turn(self) -> bool:
        """Whether a turn runs."""
        return self._display is not None

    @contextmanager
    def paused(self) -> Generator[None]:
        """Leave the terminal to the block while a turn goes on."""
        with self._display.paused() if self._display is not None else nullcontext():
            yield

    async def turn(self, agent: aio.Agent, text: str, waiting: str, **options: Any) -> Answer[Any]:
        """Run a turn and show it; what its tools print goes where the turn is shown.

        Raises:
            AimuError: The turn fails.
        """
        display = self._display = display_on(self.file, waiting, verbose=self.verbose, answers=self.answers)
        answer: Answer[Any] = Answer()
        try:
            with single_failure(levels=1):
                async with anyio.create_task_group() as group:
                    group.start_soon(display.animate)
                    answer = await self._follow(display, agent.run(text, stream=True, **options))
                    group.cancel_scope.cancel()
        finally:
            self._display = None
            if self.ending is not None:
                await self.ending()
            display.finish()
        return answer

    async def _follow(self, display: Display, stream: aio.Stream) -> Answer[Any]:
        """Show a stream and return its result."""
        with redirect_stdout(self.file):
            async with stream:
                async for chunk in stream:
                    display.show(chunk)
                    await display.catch_up()
        return stream.result


@final
class Log(logging.Handler):
    """Shows the library's log as notes: warnings, and with `--debug` everything with tracebacks."""

    def __init__(self, session: Session) -> None:
        super().__init__(logging.INFO if session.options.debug else logging.WARNING)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        debug = self._session.options.debug
        if record.name == "aimu.tools" and not debug:  # a failed call is shown as such
            return
        text = record.getMessage()
        if debug and record.exc_info and record.exc_info[1] is not None:
            text += "\n" + traceback_text(record.exc_info[1])
        self._session.note(text)

    def __enter__(self) -> Log:
        logger = logging.getLogger("aimu")
        self._before = logger.level, logger.propagate
        logger.addHandler(self)
        logger.propagate = False
        if self._session.options.debug:
            logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        logger = logging.getLogger("aimu")
        logger.removeHandler(self)
        level, logger.propagate = self._before
        logger.setLevel(level)
