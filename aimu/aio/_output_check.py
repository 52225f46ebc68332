"""Whether an answer has the type that the run asks for: what the driver of a turn does, and what foreign texts get."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isawaitable
from typing import Any

from aimu._core.answer import AnyAnswer, changed
from aimu._core.groups import single_failure
from aimu._output._expected import Expected
from aimu.aio._outcome import Outcome
from aimu.aio._run import Run, aside
from aimu.aio._turn import Turn
from aimu.errors import AimuError, OutputError


async def check(turn: Turn, expected: Expected, text: str, run: Run) -> Outcome:
    """Check the answer of a turn, and tell the turn."""
    value, reasons = await _verdict(expected, text, run)
    return turn.reject(reasons) if reasons else turn.accept(value)


async def typed(answer: AnyAnswer, expected: Expected, run: Run) -> AnyAnswer:
    """Return the answer of a user's own runner or client with its value.

    Raises:
        OutputError: The text does not have the type; it is not asked for again.
    """
    value, reasons = await _verdict(expected, str(answer), run)
    if reasons:
        raise OutputError(str(answer), reasons)
    return changed(answer, output=value)


async def _verdict(expected: Expected, text: str, run: Run) -> tuple[Any, Sequence[str]]:
    """Return the value of a text, and what is wrong with it.

    The user's validator runs where sync tools run.
    """
    try:
        value = expected.type.parse(text)
    except ValueError as exc:
        return None, _reasons(exc)
    validator = expected.validator
    if validator is None:
        return value, ()
    try:
        with aside(run):
            # In a list, because trio rejects a thread's result that is a coroutine.
            [verdict] = await run.in_thread(lambda: [validator(value)])
            if isawaitable(verdict):
                with single_failure():
                    await verdict
    except AimuError:  # some are ValueErrors: the validator itself failed
        raise
    except ValueError as exc:
        return None, _reasons(exc)
    return value, ()


def _reasons(exc: ValueError) -> Sequence[str]:
    # An error with a text of its own, such as UnicodeDecodeError, has data in `args`.
    args = exc.args if type(exc).__str__ is BaseException.__str__ else [exc]
    return [text for arg in args if (text := str(arg)).strip()] or [type(exc).__name__]
