"""What ends the command: exit codes, and errors as one line with their remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from aimu import errors
from aimu._cli.safe import folded, line_of, styled, tell
from aimu._core.escaping import traceback_text

OK, FAILED, USAGE, NO_ANSWER, TRY_AGAIN, TIMED_OUT = 0, 1, 2, 3, 4, 124
SIGNALLED, INTERRUPTED, BROKEN_PIPE = 128, 130, 141

EXIT_CODES = f"""\
exit codes:
  {OK}    done
  {FAILED}    failed: the service refused, the weights cannot be loaded, a tool or a server broke
  {USAGE}    wrong use: an unknown model or option, a missing key or extra
  {NO_ANSWER}    the model gave no answer, refused, was cut off, or did not give the type asked for
  {TRY_AGAIN}    the service is overloaded or cannot be reached: try again later
  {TIMED_OUT}  --timeout expired
  {INTERRUPTED}  stopped with Ctrl-C; 143 by SIGTERM, 129 as its terminal was closed
"""

_NO_ANSWER = (errors.RefusedError, errors.TruncatedError, errors.RunnerError)
_TRY_AGAIN = (
    errors.OverloadedError,
    errors.RateLimitError,
    errors.ProviderConnectionError,
    errors.ProviderTimeoutError,
    errors.TruncatedStreamError,
)

_REMEDIES = {
    errors.AuthenticationError: "check the key; `aimu doctor` names the variables",
    errors.RateLimitError: "try again later",
    errors.OverloadedError: "try again later",
    errors.ProviderConnectionError: "`aimu doctor` shows which servers answer",
    errors.ModelNotFoundError: "`aimu models` lists models",
    errors.ContextLengthError: "send less; in a chat, /clear begins a new conversation",
    errors.TruncatedError: "allow a longer answer with -o max_tokens=NUMBER",
    errors.IterationLimitError: "allow more requests with --max-iterations",
}


def code_of(error: BaseException) -> int:
    """Return the exit code of an error; of a group, that of its first."""
    error = next(_leaves(error))
    for kinds, code in ((errors.UsageError, USAGE), (_NO_ANSWER, NO_ANSWER), (_TRY_AGAIN, TRY_AGAIN)):
        if isinstance(error, kinds):
            return code
    return TIMED_OUT if isinstance(error, TimeoutError) else FAILED


def words_of(error: BaseException) -> str:
    """Return an error as one line."""
    return "; ".join(_words(leaf) for leaf in _leaves(error))


def complain(text: str) -> None:
    """Print an error line to stderr."""
    lines = folded(f"aimu: {line_of(text)}", sys.stderr)
    tell(styled("aimu:", "red", sys.stderr) + lines.removeprefix("aimu:"), sys.stderr)


def report(error: BaseException, *, debug: bool) -> int:
    """Print an error to stderr, with its traceback if asked for, and return its exit code."""
    if debug:
        tell(traceback_text(error), sys.stderr)
    complain(words_of(error))
    return code_of(error)


def is_debugging(flag: bool) -> bool:
    """Return whether tracebacks are wanted: by `--debug` or by the variable AIMU_DEBUG."""
    return flag or os.environ.get("AIMU_DEBUG", "") not in ("", "0")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _words(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, errors.AimuError) and text:
        remedy = next((words for kind, words in _REMEDIES.items() if isinstance(error, kind)), None)
        new = [part for part in (remedy or "").split("; ") if part not in text]
        return "; ".join([text, *new])
    return f"{type(error).__name__}: {text or 'no text'} (AIMU_DEBUG=1 shows the traceback)"
