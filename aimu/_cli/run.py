"""`aimu run`: one task; its answer on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import AsyncExitStack, redirect_stdout
from io import StringIO
from math import isfinite
from typing import IO, Any

import attrs
from anyio import to_thread

from aimu._cli import exits, interrupts
from aimu._cli.markdown import THEME, GrowingMarkdown
from aimu._cli.opening import Opening, load
from aimu._cli.prompt import quiet_terminal
from aimu._cli.questions import Questions
from aimu._cli.safe import is_terminal, shown
from aimu._cli.session import Log, Session
from aimu.errors import InvalidOptionError
from aimu.types import Answer, StopReason

_COMPLETE = (None, StopReason.END, StopReason.STOP_SEQUENCE)


def run(options: Namespace) -> int:
    """Run the subcommand and return its exit code."""
    return interrupts.run(lambda received: _run(options, received))


async def _run(options: Namespace, received: interrupts.Interrupts) -> int:
    # In a terminal the answer is rendered while it streams; elsewhere it is printed when it is whole.
    streams = is_terminal(sys.stdout) and is_terminal(sys.stderr) and not (options.json or options.output_type)
    file = sys.stdout if streams else sys.stderr
    nowhere = StringIO() if options.quiet else None
    session = Session(options, nowhere or file, nowhere or sys.stderr, answers=streams)
    async with AsyncExitStack() as stack:
        if is_terminal(file) and options.task != "-":
            stack.enter_context(quiet_terminal(received))
        stack.enter_context(Log(session))
        questions = Questions(session, received)
        stdout = sys.stdout
        if not streams:  # stdout is for the answer, and nothing that a tool or a module prints
            stack.enter_context(redirect_stdout(nowhere or sys.stderr))
        output = load(options.output_type, "--output-type") if options.output_type else None
        if options.output_type and output is None:
            raise InvalidOptionError(f"--output-type {options.output_type}: it is None, not a type")
        opening = Opening(options, session.note, stack, questions.ask)
        agent = await opening.agent()
        task = await _task(options.task)
        answer = await session.turn(
            agent, task, opening.choice.name, images=options.image or None, timeout=options.timeout, output_type=output
        )
        if options.json:
            print(json.dumps(facts(answer), indent=2), file=stdout)
        elif output is not None:
            print(json.dumps(plain(answer.output), indent=2), file=stdout)
        elif not streams or options.quiet:
            _print(answer, stdout)
        if answer.stop_reason not in _COMPLETE:
            exits.complain(f"the answer is not complete: {answer.stop_reason}")
            return exits.NO_ANSWER
    return exits.OK


async def _task(text: str) -> str:
    if text == "-":
        text = await to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    if not text.strip():
        raise InvalidOptionError("the task is empty; write it as an argument, or pipe it to `aimu run -`")
    return text


def _print(answer: str, file: IO[str]) -> None:
    if not is_terminal(file):
        print(answer, file=file)
        return
    from rich.console import Console

    whole = GrowingMarkdown(Console(file=file, theme=THEME))
    whole.feed(shown(answer))
    print("\n".join(whole.finish()[1:]), file=file)


def facts(answer: Answer[Any]) -> dict[str, Any]:
    """Return an answer as JSON data."""
    return {
        "text": str(answer),
        "output": plain(answer.output),
        "model": answer.model,
        "stop_reason": answer.stop_reason,
        "usage": None if answer.usage is None else plain(attrs.asdict(answer.usage)),
        "cost": plain(answer.cost),
        "iterations": answer.iterations,
        "requests": answer.requests,
        "messages": plain(list(answer.new_messages)),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON data."""
    from pydantic_core import to_jsonable_python

    def other(one: Any) -> Any:
        return attrs.asdict(one) if attrs.has(type(one)) else str(one)

    return _finite(to_jsonable_python(value, fallback=other))


def _finite(value: Any) -> Any:
    """Return JSON data in which null stands for the numbers that JSON has not: NaN and the infinities."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or isfinite(value) else None
