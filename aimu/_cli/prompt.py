"""Where messages come from: a line editor with history in a terminal, else the lines of stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, final

from anyio import to_thread
from attrs import define, field
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout

from aimu._cli.interrupts import Interrupts
from aimu._cli.safe import has_colour, is_terminal

LEAVING = "Ctrl-C again, or Ctrl-D, leaves"


class Messages(Protocol):
    """A source of the user's messages."""

    async def next(self) -> str | None:
        """Return the next message; None at the end."""
        ...


@final
class Lines:
    """The lines of stdin, each a message."""

    async def next(self) -> str | None:
        """Return the next line that is not blank; None at the end."""
        while True:
            line: str = await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            if not line:
                return None
            if line.strip():
                return line.strip()


@final
@define(eq=False)
class Editor:
    """A line editor: several lines, history over runs, completion of commands.

    Args:
        commands: The words to complete.
        notice: Says something to the user.
    """

    commands: Sequence[str]
    notice: Callable[[str], object]
    _session: PromptSession[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._session = PromptSession(
            "> ",
            multiline=True,
            prompt_continuation="  ",
            history=self._history(),
            key_bindings=self._keys(),
            completer=WordCompleter(list(self.commands), sentence=True),
            complete_while_typing=False,
            color_depth=None if has_colour(sys.stdout) else ColorDepth.DEPTH_1_BIT,
        )

        self._session.default_buffer.on_text_changed += lambda buffer: self._offer(None)

    def _offer(self, text: str | None) -> None:
        """Show a line below the prompt, or none."""
        self._session.bottom_toolbar = text

    async def next(self) -> str | None:
        """Return the next message that is not blank; None if the user leaves."""
        self._offer(None)
        while True:
            try:
                with patch_stdout(raw=True):
                    # Ctrl-C is a key here; the signal is for who receives it for the whole program.
                    text = await self._session.prompt_async(handle_sigint=False)
            except EOFError:
                return None
            if text.strip():
                return text.strip()

    def _history(self) -> History:
        path = state_folder() / "history"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.open("r+b").close()
        except OSError as exc:
            self.notice(f"what you write is not remembered: {path}: {exc.strerror}")
            return InMemoryHistory()
        return FileHistory(str(path))

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def send(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter")
        @keys.add("c-j")
        def new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c")
        def leave(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            elif self._session.bottom_toolbar:
                event.app.exit(exception=EOFError())
            else:
                self._offer(LEAVING)

        return keys


def state_folder() -> Path:
    """Return the folder for what is remembered between runs (https://specifications.freedesktop.org/basedir-spec)."""
    home = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(home) if home else Path.home() / ".local" / "state") / "aimu"


@contextmanager
def quiet_terminal(interrupts: Interrupts) -> Generator[None]:
    """Keep what is typed off the screen, for the next prompt; Ctrl-C still is a signal.

    Between two prompts, too: a terminal in its usual mode would turn Enter and Ctrl-D into something else.
    """
    if not is_terminal(sys.stdin) or find_spec("termios") is None:
        yield
        return
    import termios

    terminal = sys.stdin.fileno()
    before, quiet = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    quiet[0] &= ~termios.ICRNL  # Enter stays Enter
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    quiet[3] |= termios.NOFLSH  # otherwise Ctrl-C throws away what is being drawn, and what was typed ahead

    def restore() -> None:
        with suppress(termios.error):  # a terminal that is closed
            termios.tcsetattr(terminal, termios.TCSANOW, before)

    termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    interrupts.at_exit.append(restore)
    try:
        yield
    finally:
        interrupts.at_exit.remove(restore)
        restore()
