"""A conversation: provider, history, tools and settings, used by one run at a time.

Clients and agents are handles of a conversation and store nothing of it. The conversation decides who may begin a turn,
in which async task and thread; `aimu.aio._turn` decides what happens in the turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

from attrs import define, field
from attrs.setters import NO_OP

from aimu._core.forks import FreshLock
from aimu._core.messages import Message, check_history
from aimu._core.processes import stays_in_its_process
from aimu.aio._checks import at_least_one, calls_at_once, tool_list
from aimu.aio._history import History
from aimu.aio._outcome import Terms
from aimu.aio._request import SharedProvider
from aimu.aio._run import Run, RunState
from aimu.aio._turn import Turn
from aimu.errors import BusyConversationError, InvalidOptionError, SystemMessageError
from aimu.models import _options as options
from aimu.tools._definition import Tool
from aimu.tools._like import ToolLike
from aimu.tools._toolbox import Toolbox

if TYPE_CHECKING:
    from typing_extensions import TypeIs


class ToolSource(Protocol):
    """An item of `tools` that provides several tools, such as an MCP client."""

    async def as_tools(self) -> Sequence[Tool]: ...


def _is_source(item: Any) -> TypeIs[ToolSource]:
    # Not `isinstance`, which takes longer with a protocol than all else that a turn does with its tools.
    return getattr(item, "as_tools", None) is not None


def _checked_options(generate_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    if generate_kwargs is None:
        return {}
    options.check(generate_kwargs)
    return dict(generate_kwargs)


@final
@stays_in_its_process(
    "a client, and an agent or workflow over one,",
    "make a client in each process, and send its `messages`, which are plain data",
)
@define(eq=False, kw_only=True)
class Conversation:
    """One conversation over a shared provider.

    Several handles may share it, in several threads, but only one run at a time may use it. `generate_kwargs` are the
    default options of every request, `max_tool_rounds` limits the iterations of one `chat` that may call tools, and
    `concurrent_tool_calls` lets the calls of one iteration overlap (True, or the number that may run at once).

    Raises:
        InvalidOptionError: One of these settings is given an invalid value.
    """

    provider: SharedProvider
    history: History = field(factory=History)
    tools: list[ToolLike] = field(factory=list[ToolLike], converter=tool_list)
    mcp_client: Any = None
    generate_kwargs: dict[str, Any] = field(default=None, converter=_checked_options)
    max_tool_rounds: int = field(default=10, validator=at_least_one)
    concurrent_tool_calls: bool | int = field(default=False, validator=calls_at_once)
    # What each turn sets has NO_OP, so that attrs does not look for validators and converters.
    # The run whose turn is open:
    _user: RunState | None = field(default=None, init=False, on_setattr=NO_OP)
    _agent: str | None = field(default=None, init=False, on_setattr=NO_OP)  # whose turn it is
    # A superseded run, until the next turn closes its steps:
    _stale: RunState | None = field(default=None, init=False, on_setattr=NO_OP)
    _lock: FreshLock = field(factory=FreshLock, init=False, repr=False)
    # Of the lists of tools of its servers:
    _revisions: list[int] = field(factory=list[int], init=False, repr=False, on_setattr=NO_OP)
    _toolbox: tuple[list[Any], Toolbox] = field(default=([], Toolbox()), repr=False, alias="toolbox", on_setattr=NO_OP)

    @property
    def busy(self) -> bool:
        return self._user is not None

    def set_system_message(self, text: str | None) -> None:
        """Set the system message before the first turn.

        Raises:
            InvalidOptionError: `text` is neither a str nor None.
            SystemMessageError: The first turn has begun.
        """
        if self.busy or self.history.begun:
            raise SystemMessageError
        self.history.replace_system_message(text)

    def replace_system_message(self, text: str | None) -> None:
        """Replace the system message and keep the rest of the history, as an agent does when its skills change.

        Raises:
            BusyConversationError: A turn is running.
        """
        with self._lock.lock:
            self._ensure_free()
            self.history.replace_system_message(text)

    def ensure_free(self) -> None:
        """Raise BusyConversationError while a turn is running; settle a turn whose reader abandoned it."""
        with self._lock.lock:
            self._ensure_free()

    def load(self, messages: Sequence[Any]) -> None:
        """Replace the history; the next request checks it. The system message is kept if the new history has none.

        Raises:
            InvalidOptionError: `messages` is not a list.
            BusyConversationError: A turn is running.
        """
        with self._lock.lock:
            self._ensure_free()
            self.history.load(messages)

    def reset(self, system_message: str | None) -> None:
        """Clear the history; with None, keep the system message.

        Raises:
            BusyConversationError: A turn is running.
        """
        with self._lock.lock:
            self._ensure_free()
            self.history.clear(system_message)

    def fork(self, system_message: str | None, keep_history: bool) -> Conversation:
        """Return a new conversation with a copy of the settings and of the history.

        Args:
            system_message: The system message of the new conversation; None keeps this one's.
            keep_history: Whether to copy the published history; otherwise only the system message is copied.
        """
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
        self,
        message: Message | None,
        run: Run,
        terms: Terms,
        options: Mapping[str, Any],
        kind: Literal["chat", "generate"],
        agent: str | None = None,
    ) -> tuple[Turn, RunState | None]:
        """Claim the conversation for a turn that answers `message`; with None, the turn continues the history.

        `agent` is the name of the agent whose turn it is.

        Returns:
            The turn, and the superseded run that the caller must close, or None.

        Raises:
            BusyConversationError: A turn is running.
            InvalidHistoryError: The history is not valid.
            NothingToResumeError: There is no message, and the history has nothing to continue.
        """
        with self._lock.lock:
            self._ensure_free()
            if terms.reset and message is not None:
                self.history.clear()
            check_history(self.history.messages)
            staged = self.history.continuation(terms.continuation_prompt) if message is None else [message]
            stale, self._stale = self._stale, None
            self._user, self._agent = run.state, agent
            turn = Turn(
                history=self.history,
                staged=staged,
                options=options,
                kind=kind,
                terms=terms,
                on_settled=partial(self._free, run.state),
            )
        run.state.turns.add(turn)
        return turn, stale

    def _free(self, user: RunState, turn: Turn) -> None:
        self._user = None
        user.turns.discard(turn)

    def _ensure_free(self) -> None:
        """Raise BusyConversationError while a turn is running; settle a turn whose reader abandoned it."""
        user = self._user
        if user is not None:
            if not user.abandoned():
                if self._agent is None:
                    raise BusyConversationError
                raise BusyConversationError(f"the conversation of agent {self._agent!r}")
            user.settle()
            user.superseded = True
            self._stale = user

    async def toolbox(self, known: Toolbox | None = None) -> Toolbox:
        """Return the tools that the model may call in the next request.

        `known` are those of the last request of the same turn, which are returned if no server has said that its tools
        have changed.
        """
        if known is not None and not self._revisions:
            return known
        mcp = self.mcp_client
        given: list[Any] = [*self.tools, *(mcp if isinstance(mcp, list | tuple) else [] if mcp is None else [mcp])]
        given = [getattr(tool, "__aio__", tool) for tool in given]
        revisions = [getattr(tool, "_revision", 0) for tool in given if _is_source(tool)]
        if known is not None and revisions == self._revisions:
            return known
        self._revisions = revisions
        if revisions:
            tools: list[Any] = []
            for tool in given:
                tools.extend(await tool.as_tools() if _is_source(tool) else [tool])
            return self._checked_toolbox(Toolbox(tools))
        if given != self._toolbox[0]:
            self._toolbox = (given, self._checked_toolbox(Toolbox(given)))
        return self._toolbox[1]

    def _checked_toolbox(self, toolbox: Toolbox) -> Toolbox:
        spec = self.provider.spec
        if toolbox.names and spec.tools is False:
            raise InvalidOptionError(
                f"{spec} cannot call tools; pass use_tools=False or choose a model that can call them"
            )
        return toolbox
