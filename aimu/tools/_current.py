"""What a running tool can ask about its call. Whoever calls tools sets `CALL`; tools ask with `current_call()`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import Any, Literal, Protocol, TypeAlias, final, get_args

import anyio
from anyio import from_thread
from attrs import define, field

from aimu._core.escaping import escaping
from aimu._core.messages import Message, copy_history
from aimu._doors import public
from aimu.errors import InvalidOptionError, NoCurrentCallError

log = escaping(logging.getLogger("aimu.tools"))

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]


class Listener(Protocol):
    """Hears what a running tool reports; called from any thread, and does not wait."""

    def progress(self, done: float, total: float | None, message: str | None) -> object:
        """Hear how far the tool is."""
        ...

    def log(self, level: Level, text: str) -> object:
        """Hear a record of the tool."""
        ...


@public("aimu.tools")
@final
@define(eq=False)
class CurrentCall:
    """The call that a tool is running for.

    Attributes:
        id: The id of the call, as in the history. A call over MCP from another process has a new one, and of the facts
            below only the name and the context that `serve_mcp` was given.
        name: The name of the tool.
        agent: The key in `messages` of the agent whose model asks for the call; None outside agents.
        iteration: The agent's iteration, counted from 0.
        context: What the user passed to the run as `context=`, the very object; None if nothing. A run that a tool
            starts has the context of the run around it, unless it is given its own.
    """

    id: str
    name: str
    agent: str | None = None
    iteration: int = 0
    context: Any = None
    _seen: Callable[[], list[Message]] = field(default=list[Message], repr=False)
    _listener: Listener | None = field(default=None, repr=False)
    _deadline: float | None = field(default=None, init=False, repr=False)

    @property
    def history(self) -> list[Message]:
        """A copy of the messages that the model saw when it asked for the call."""
        return copy_history(self._seen())

    @property
    def deadline(self) -> float:
        """When the tool will be stopped, on the clock of `time.monotonic()`; inf if it has no deadline.

        It is the earliest of all deadlines around the call: those of the tool, of the run, and of the code that began
        the run. Read it where the tool runs, not in threads or tasks that the tool starts.
        """
        if self._deadline is not None:
            return self._deadline
        try:
            left = _left()
        except anyio.NoEventLoopError:  # in a worker thread, whose async task knows
            left = from_thread.run(_left_there)
        return time.monotonic() + left

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far the tool is to the program that called it over MCP; nobody hears it in other calls.

        It does not wait, and works in sync and async tools and in threads that they start.

        Args:
            done: How much is done; more than in the report before.
            total: How much there is to do; None if unknown.
            message: What the tool is doing, for a person to read.
        """
        if self._listener is not None:
            self._listener.progress(done, total, message)

    def log(self, text: str, level: Level = "info") -> None:
        """Log a text: to the program that called the tool over MCP, else to the logger `aimu.tools`.

        Args:
            text: The text.
            level: "debug", "info", "warning", "error" or "critical".

        Raises:
            InvalidOptionError: There is no such level.
        """
        if level not in get_args(Level):
            raise InvalidOptionError(f"level must be one of {', '.join(map(repr, get_args(Level)))}, got {level!r}")
        if self._listener is not None:
            self._listener.log(level, text)
        else:
            log.log(getattr(logging, level.upper()), "tool %r: %s", self.name, text)

    def keep_deadline(self) -> None:
        """Look the deadline up now, in the async task of the call, for a tool on a thread that cannot do so."""
        left = _left()
        self._deadline = left if left == inf else time.monotonic() + left


def _left() -> float:
    return anyio.current_effective_deadline() - anyio.current_time()


async def _left_there() -> float:
    return _left()


CALL: ContextVar[CurrentCall | None] = ContextVar("aimu_current_call", default=None)


def current_listener() -> Listener | None:
    """Return who hears what the tool that is running here reports; the tools in a run that it starts inherit it."""
    call = CALL.get()
    return None if call is None else call._listener


@public("aimu.tools")
def current_call() -> CurrentCall:
    """Return the call that the current tool is running for.

    It works in sync and async tools, on whatever thread the library runs them, and in tools that `serve_mcp` serves.

    Returns:
        The call.

    Raises:
        NoCurrentCallError: No tool is running here.

    Example:
        @tool
        def balance() -> float:
            \"\"\"Look up the balance of the current user's account.\"\"\"
            return accounts[current_call().context.user_id]

        agent.run("How much have I got?", context=session)
    """
    call = CALL.get()
    if call is None:
        raise NoCurrentCallError
    return call
