"""A conversation: provider, history, tools and settings, and its one user at a time.

Clients and agents are handles of a conversation and store nothing of it. It owns who may begin a turn, in which task
and thread; what happens in a turn is the business of `aimu.aio._turn`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any, Literal, Protocol, final, runtime_checkable

from attrs import define, field

from aimu._core.messages import Message, check_history
from aimu.aio._checks import at_least_one, calls_at_once
from aimu.aio._history import History
from aimu.aio._request import SharedProvider
from aimu.aio._run import Run, RunState, Steps
from aimu.aio._turn import Terms, Turn
from aimu.errors import BusyConversationError, InvalidOptionError, SystemMessageError
from aimu.models import _options as options
from aimu.tools._definition import Tool
from aimu.tools._toolbox import Toolbox


@runtime_checkable
class ToolSource(Protocol):
    """Something among the tools of a conversation that has tools of its own (an MCP client)."""

    async def as_tools(self) -> Sequence[Tool]: ...


def _checked_options(generate_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    options.check(generate_kwargs or {})
    return dict(generate_kwargs or {})


@final
@define(eq=False, kw_only=True)
class Conversation:
    """One conversation over a shared provider.

    Several handles may share it, in several threads; it has one user at a time. `generate_kwargs` are the defaults of
    every request, `max_tool_rounds` bounds the iterations of one `chat`, `concurrent_tool_calls` overlaps the calls of
    one iteration (True, or how many at once). Raises InvalidOptionError where one of them is set to an invalid value.
    """

    provider: SharedProvider
    history: History = field(factory=History)
    tools: list[Any] = field(factory=list[Any], converter=list)
    mcp_client: Any = None
    generate_kwargs: dict[str, Any] = field(default=None, converter=_checked_options)
    max_tool_rounds: int = field(default=10, validator=at_least_one)
    concurrent_tool_calls: bool | int = field(default=False, validator=calls_at_once)
    _user: RunState | None = field(default=None, init=False)  # the run whose turn it is
    _stale: RunState | None = field(default=None, init=False)  # of a settled turn, until the next one closes its steps
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _toolbox: tuple[list[Any], Toolbox] = field(default=([], Toolbox()), repr=False, alias="toolbox")

    @property
    def busy(self) -> bool:
        return self._user is not None

    def set_system_message(self, text: str | None) -> None:
        """Set the system message; only before the first turn."""
        if self.busy or self.history.begun:
            raise SystemMessageError
        self.history.replace_system_message(text)

    def replace_system_message(self, text: str) -> None:
        """Put another system message before the same history, for those whose instructions grow (skills)."""
        with self._lock:
            self._claimable()
            self.history.replace_system_message(text)

    def load(self, messages: Sequence[Any]) -> None:
        """Take another history; it is checked at the next request."""
        with self._lock:
            self._claimable()
            self.history.load(messages)

    def reset(self, system_message: str | None) -> None:
        """Clear the history; the system message stays unless another is given."""
        with self._lock:
            self._claimable()
            self.history.clear(self.history.system_message if system_message is None else system_message)

    def fork(self, system_message: str | None, keep_history: bool) -> Conversation:
        """A conversation with its own settings, and its own copy of what is published (or of the system message)."""
        history = self.history.copy(whole=keep_history)
        if system_message is not None:
            history.replace_system_message(system_message)
        return Conversation(
            provider=self.provider,
            history=history,
            tools=self.tools,
            mcp_client=self.mcp_client,
            generate_kwargs=self.generate_kwargs,
            max_tool_rounds=self.max_tool_rounds,
            concurrent_tool_calls=self.concurrent_tool_calls,
            toolbox=self._toolbox,
        )

    def begin(
        self, message: Message, run: Run, terms: Terms, options: Mapping[str, Any], kind: Literal["chat", "generate"]
    ) -> tuple[Turn, Steps | None]:
        """Claim the conversation for a turn; the second value is a superseded generator, still to be closed."""
        with self._lock:
            self._claimable()
            if terms.reset:
                self.history.clear(self.history.system_message)
            check_history(self.history.messages)
            stale, self._stale = self._stale, None
            self._user = run.state
            turn = Turn(
                history=self.history,
                staged=[message],
                options=options,
                kind=kind,
                terms=terms,
                on_settled=partial(self._free, run.state),
            )
        run.state.turns.add(turn)
        return turn, None if stale is None else stale.generator()

    def _free(self, user: RunState, turn: Turn) -> None:
        self._user = None
        user.turns.discard(turn)

    def _claimable(self) -> None:
        """Raise BusyConversationError while a turn runs; a turn that its own task has left paused is settled."""
        user = self._user
        if user is not None:
            if not user.abandoned():
                raise BusyConversationError
            user.settle()
            user.superseded = True
            self._stale = user

    async def toolbox(self) -> Toolbox:
        """What the model may call in the next turn."""
        mcp = self.mcp_client
        given = [*self.tools, *(mcp if isinstance(mcp, list | tuple) else [] if mcp is None else [mcp])]
        given = [getattr(tool, "__aio__", tool) for tool in given]
        if any(isinstance(tool, ToolSource) for tool in given):
            tools: list[Any] = []
            for tool in given:
                tools.extend(await tool.as_tools() if isinstance(tool, ToolSource) else [tool])
            return self._callable(Toolbox(tools))
        if given != self._toolbox[0]:
            self._toolbox = (given, self._callable(Toolbox(given)))
        return self._toolbox[1]

    def _callable(self, toolbox: Toolbox) -> Toolbox:
        spec = self.provider.spec
        if toolbox.schemas and spec.tools is False:
            raise InvalidOptionError(f"{spec} cannot call tools; pass use_tools=False or choose a model that can")
        return toolbox
