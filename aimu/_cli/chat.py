"""`aimu chat`: a conversation in the terminal, or with the lines of stdin."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import AsyncExitStack, redirect_stdout
from typing import IO, Any, final

from attrs import define, field

from aimu import __version__
from aimu._cli import commands, exits, interrupts
from aimu._cli.opening import Opening
from aimu._cli.prompt import Editor, Lines, Messages, quiet_terminal
from aimu._cli.questions import Questions
from aimu._cli.safe import folded, is_terminal, line_of, styled
from aimu._cli.session import Log, Session
from aimu.types import Answer


def chat(options: Namespace) -> int:
    """Run the subcommand and return its exit code."""
    return interrupts.run(lambda received: _chat(options, received))


async def _chat(options: Namespace, received: interrupts.Interrupts) -> int:
    in_terminal = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    file = sys.stdout if in_terminal else sys.stderr
    session = Session(options, file, sys.stderr, answers=in_terminal, verbose=options.verbose)
    async with AsyncExitStack() as stack:
        if in_terminal:
            stack.enter_context(quiet_terminal(received))
        stack.enter_context(Log(session))
        questions = Questions(session, received)
        stdout = sys.stdout
        if not in_terminal:  # stdout is for answers, and nothing that a tool or a module prints
            stack.enter_context(redirect_stdout(sys.stderr))
        opening = Opening(options, session.note, stack, questions.ask)
        conversation = commands.Conversation(session, opening, await opening.agent())
        messages: Messages = Editor(list(commands.COMMANDS), session.note) if in_terminal else Lines()
        chat = Chat(received, conversation, in_terminal, stdout)
        if in_terminal:
            title = folded(f"aimu {__version__}, {line_of(opening.choice.name)}; /help for help", sys.stdout)
            print(styled(title, "dim", sys.stdout))
        while not conversation.left and (text := await messages.next()) is not None:
            await chat.take(text)
        return chat.code


@final
@define(eq=False)
class Chat:
    """Takes the user's messages and commands.

    Attributes:
        interrupts: Stops an answer or a command at Ctrl-C.
        conversation: Answers the messages; the commands change it.
        in_terminal: Whether the user sits in front of it.
        stdout: Where answers and the output of commands go.
        code: The exit code: that of the first message that failed, where nobody sits in front of it.
    """

    interrupts: interrupts.Interrupts
    conversation: commands.Conversation
    in_terminal: bool
    stdout: IO[str]
    code: int = field(default=exits.OK, init=False)

    async def take(self, text: str) -> None:
        """Answer a message, or run a command."""
        answer, session = None, self.conversation.session
        try:
            with self.interrupts.stops() as scope:
                if text.startswith("/") and not text.startswith("//"):
                    with redirect_stdout(self.stdout):
                        await commands.run(self.conversation, text)
                else:
                    text = text.removeprefix("/") if text.startswith("//") else text
                    waiting = self.conversation.opening.choice.name
                    answer = await session.turn(self.conversation.agent, text, waiting)
        except Exception as exc:  # noqa: BLE001 - the conversation goes on
            code = exits.report(exc, debug=session.options.debug)
            self.code = self.code or (exits.OK if self.in_terminal else code)
            return
        if scope.cancel_called:
            session.note("stopped")
        if answer is not None:
            self._conclude(answer)

    def _conclude(self, answer: Answer[Any]) -> None:
        """Print what was not shown while it came."""
        if not self.in_terminal:
            print(answer, file=self.stdout, flush=True)
        elif usage := answer.usage:
            print(styled(f"{usage.input} tokens in, {usage.output} out", "dim", sys.stdout))
