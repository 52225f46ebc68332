"""Questions of MCP servers: asked in the terminal while a turn waits, declined where nobody sits in front of it."""

from __future__ import annotations

import sys
from typing import Any, TextIO, final

import anyio
from anyio import CancelScope, Lock
from attrs import define, field
from prompt_toolkit import PromptSession
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, create_output

from aimu._cli.interrupts import Interrupts
from aimu._cli.safe import has_colour, is_terminal, tell
from aimu._cli.session import Session
from aimu.aio._mcp.terminal import dialogue
from aimu.types import Elicitation

LEAVING = 2.0  # s for a prompt to leave the screen


class _Stopped(Exception):
    """The user pressed Ctrl-C."""


@final
@define(eq=False)
class Questions:
    """Asks the user what MCP servers want to know, one question after the other.

    Args:
        session: Its turns wait for the answers; it declines what is still open when a turn ends.
        interrupts: Stops the turn at Ctrl-C.
    """

    session: Session
    interrupts: Interrupts
    _terminal: TextIO | None = field(init=False)
    _open: list[CancelScope] = field(factory=list[CancelScope], init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        files = [file for file in (sys.stdout, sys.stderr) if is_terminal(sys.stdin) and is_terminal(file)]
        self._terminal = files[0] if files else None
        self.session.ending = self.decline

    async def ask(self, question: Elicitation) -> dict[str, Any] | None:
        """Return the user's answers; None if the user declines, or cannot be asked."""
        if self._terminal is None or not self.session.in_turn:
            where = "in a terminal" if self._terminal is None else "during a turn"
            self.session.note(
                f"declined a question of the MCP server {question.server}, since it can be answered {where} only: "
                f"{question.message}"
            )
            return None
        with CancelScope() as scope:
            self._open.append(scope)
            try:
                async with self._lock:
                    with self.session.paused():
                        return await self._answers(question, self._terminal)
            finally:
                self._open.remove(scope)
        return None

    async def decline(self) -> None:
        """Decline the questions that are open, and wait until the terminal is free."""
        for scope in self._open:
            scope.cancel()
        with anyio.move_on_after(LEAVING, shield=True):  # Shielded, since the turn may be stopped; for `LEAVING`.
            await self._lock.acquire()
            self._lock.release()

    async def _answers(self, question: Elicitation, terminal: TextIO) -> dict[str, Any] | None:
        lines = PromptSession[str](
            input=create_input(sys.stdin),
            output=create_output(terminal),
            key_bindings=_keys(),
            color_depth=None if has_colour(terminal) else ColorDepth.DEPTH_1_BIT,
        )
        steps = dialogue(question)
        try:
            said, prompt = next(steps)
            while True:
                tell(said, terminal)
                # Ctrl-C is a key here; the signal is for who receives it for the whole program.
                said, prompt = steps.send(await lines.prompt_async(prompt, handle_sigint=False))
        except StopIteration as end:
            answers: dict[str, Any] | None = end.value
            return answers
        except EOFError:
            return None
        except _Stopped:
            self.interrupts.hit()
            return None


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c")
    def stop(event: KeyPressEvent) -> None:
        event.app.exit(exception=_Stopped())

    return keys
