"""The client: a handle on one conversation over a shared provider, as users hold it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from aimu.aio.conversation import Conversation
from aimu.aio.request import SharedProvider
from aimu.aio.responder import LoopResponder, Responder
from aimu.aio.run import Task
from aimu.aio.runner import start
from aimu.aio.stream import Stream
from aimu.core.chunks import Include
from aimu.core.messages import Message
from aimu.core.reply import StopReason, Usage
from aimu.models.spec import ModelSpec

H = TypeVar("H")


def duplicate(handle: H) -> H:
    """A shallow copy of a client or agent; not by its constructor, which may be the user's own."""
    twin = object.__new__(type(handle))
    state: Any = object.__getstate__(handle)
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in (part or {}).items():
            object.__setattr__(twin, name, value)
    return twin


class AsyncBaseModelClient:
    """A handle on one conversation over a shared provider.

    `messages` is the history (see `aimu.core.messages`), `provider` what several conversations share. `generate_kwargs`
    are this conversation's defaults, `max_tool_rounds` bounds the iterations of one `chat`, `concurrent_tool_calls`
    overlaps the calls of one iteration (True, or how many at once). All of these belong to the conversation: other
    handles of it (its sync client, its agent) show and set the same. One task uses a conversation at a time; others
    `fork()`.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._responder: Responder = LoopResponder(conversation)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec}, {len(self.messages)} messages>"

    @property
    def conversation(self) -> Conversation:
        return self._responder.conversation

    @property
    def provider(self) -> SharedProvider:
        return self.conversation.provider

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        return self.provider.spec

    @property
    def messages(self) -> list[Message]:
        return self.conversation.history.messages

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        self.conversation.load(messages)

    @property
    def system_message(self) -> str | None:
        """Set it before the first turn; afterwards RuntimeError points to `reset`."""
        return self.conversation.history.system_message

    @system_message.setter
    def system_message(self, text: str | None) -> None:
        self.conversation.set_system_message(text)

    @property
    def tools(self) -> list[Any]:
        """Functions (`@tool` or plain), `Tool` objects, MCP clients; may be changed between turns."""
        return self.conversation.tools

    @tools.setter
    def tools(self, tools: Sequence[Any]) -> None:
        self.conversation.tools = list(tools)

    @property
    def mcp_client(self) -> Any:
        """An MCP client (or a list of them) whose tools are offered beside `tools`."""
        return self.conversation.mcp_client

    @mcp_client.setter
    def mcp_client(self, mcp_client: Any) -> None:
        self.conversation.mcp_client = mcp_client

    @property
    def generate_kwargs(self) -> dict[str, Any]:
        """Options of every request; those of a call come on top. Raises InvalidOptionError for an invalid one."""
        return self.conversation.generate_kwargs

    @generate_kwargs.setter
    def generate_kwargs(self, generate_kwargs: Mapping[str, Any] | None) -> None:
        self.conversation.generate_kwargs = dict(generate_kwargs or {})

    @property
    def max_tool_rounds(self) -> int:
        """How many iterations of one `chat` may call tools, at least 1."""
        return self.conversation.max_tool_rounds

    @max_tool_rounds.setter
    def max_tool_rounds(self, number: int) -> None:
        self.conversation.max_tool_rounds = number

    @property
    def concurrent_tool_calls(self) -> bool | int:
        """Whether the calls of one iteration overlap: True, False, or how many run at once."""
        return self.conversation.concurrent_tool_calls

    @concurrent_tool_calls.setter
    def concurrent_tool_calls(self, number: bool | int) -> None:
        self.conversation.concurrent_tool_calls = number

    @property
    def usage(self) -> Usage | None:
        """Tokens of this conversation; None where unknown."""
        return self.conversation.history.usage

    @property
    def last_usage(self) -> Usage | None:
        """Tokens of the last turn."""
        return self.conversation.history.last_usage

    @property
    def last_thinking(self) -> str:
        """The reasoning of the last reply, "" when there was none."""
        return self.conversation.history.last_thinking

    @property
    def last_stop_reason(self) -> StopReason | None:
        return self.conversation.history.last_stop_reason

    def reset(self, system_message: str | None = None) -> None:
        """Clear the history; the system message stays unless another is given."""
        self.conversation.reset(system_message)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """A new conversation on the same provider, with the same tools and settings.

        `system` replaces the system message. With `keep_history` the new conversation starts with a copy of what this
        one has published.
        """
        fork = self._fork(system, keep_history)
        self.provider.keep(fork)
        return fork

    def _fork(self, system: str | None, keep_history: bool) -> Self:
        """A fork that borrows the provider: it does not keep it open."""
        return self._with(self._responder.fork(system, keep_history))

    def _with(self, responder: Responder) -> Self:
        """The same handle, where `responder` answers."""
        handle = duplicate(self)
        handle._responder = responder
        return handle

    @overload
    def chat(
        self,
        user_message: str,
        generate_kwargs: dict[str, Any] | None = None,
        use_tools: bool = True,
        stream: Literal[False] = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def chat(
        self,
        user_message: str,
        generate_kwargs: dict[str, Any] | None = None,
        use_tools: bool = True,
        *,
        stream: Literal[True],
        images: list[Any] | None = None,
        include: Include = None,
        timeout: float | None = None,
    ) -> Stream: ...
    @overload
    def chat(
        self,
        user_message: str,
        generate_kwargs: dict[str, Any] | None = None,
        use_tools: bool = True,
        stream: bool = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, str] | Stream: ...
    def chat(
        self,
        user_message: str,
        generate_kwargs: dict[str, Any] | None = None,
        use_tools: bool = True,
        stream: bool = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, str] | Stream:
        """One turn: the model's answer to `user_message`, after the tools that it asks for.

        `use_tools=False` offers none. `images` are paths, bytes, URLs or data URLs. See `AsyncRunner.run` for the
        rest. Raises `TruncatedError` and `RefusedError` (with the partial text), `BusyConversationError`,
        `InvalidHistoryError`, and the provider's errors.
        """
        task = Task(user_message, generate_kwargs, images)
        return start(
            lambda run: self._responder.chat(task, run, use_tools=use_tools),
            stream=stream,
            timeout=timeout,
            include=include,
        )

    @overload
    def generate(
        self,
        prompt: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: Literal[False] = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def generate(
        self,
        prompt: str,
        generate_kwargs: dict[str, Any] | None = None,
        *,
        stream: Literal[True],
        images: list[Any] | None = None,
        include: Include = None,
        timeout: float | None = None,
    ) -> Stream: ...
    @overload
    def generate(
        self,
        prompt: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, str] | Stream: ...
    def generate(
        self,
        prompt: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, str] | Stream:
        """The model's answer to `prompt` alone: stateless, without tools; the system message holds, history does not.

        May be called while a turn runs.
        """
        task = Task(prompt, generate_kwargs, images)
        return start(lambda run: self._responder.generate(task, run), stream=stream, timeout=timeout, include=include)

    async def aclose(self) -> None:
        """Let go of the provider; the last conversation to do so closes its connections or frees its weights."""
        await self.provider.let_go(self, repr(self))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
