"""What a running tool can ask about its call. Whoever calls tools sets `CALL`; tools ask with `current_call()`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import Any, final

import anyio
from anyio import from_thread
from attrs import define, field

from aimu._core.messages import Message, copy_history
from aimu._doors import public
from aimu.errors import NoCurrentCallError


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

    def keep_deadline(self) -> None:
        """Look the deadline up now, in the async task of the call, for a tool on a thread that cannot do so."""
        left = _left()
        self._deadline = left if left == inf else time.monotonic() + left


def _left() -> float:
    return anyio.current_effective_deadline() - anyio.current_time()


async def _left_there() -> float:
    return _left()


CALL: ContextVar[CurrentCall | None] = ContextVar("aimu_current_call", default=None)


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
