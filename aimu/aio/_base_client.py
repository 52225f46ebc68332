"""The client: a handle on one conversation over a shared provider, as users hold it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from aimu._core.chunks import Include
from aimu._core.messages import Message
from aimu._core.reply import StopReason, Usage
from aimu.aio._conversation import Conversation
from aimu.aio._request import SharedProvider
from aimu.aio._responder import LoopResponder, Responder
from aimu.aio._run import Task
from aimu.aio._runner import start
from aimu.aio._stream import Stream
from aimu.models._spec import ModelSpec

H = TypeVar("H")


def duplicate(handle: H) -> H:
    """A shallow copy of a client or agent; not by its constructor, which may be the user's own."""
    copy = object.__new__(type(handle))
    state: Any = object.__getstate__(handle)
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in (part or {}).items():
            object.__setattr__(copy, name, value)
    return copy


class AsyncBaseModelClient:
    """A handle on one conversation over a shared provider.

    Only one async task at a time may use the conversation; others `fork()`. History, tools and settings belong to the
    conversation: other handles of it, such as its agent, show and set the same.

    Args:
        conversation: The conversation, which other handles may share.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._responder: Responder = LoopResponder(conversation)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec}, {len(self.messages)} messages>"

    @property
    def conversation(self) -> Conversation:
        """The conversation: provider, history, tools and settings, which other handles of it show and set too."""
        return self._responder.conversation

    @property
    def provider(self) -> SharedProvider:
        """The connection or the weights, which several conversations may share."""
        return self.conversation.provider

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        return self.provider.spec

    @property
    def messages(self) -> list[Message]:
        """The history, as dicts in OpenAI shape. Assign another one between turns; the next request checks it."""
        return self.conversation.history.messages

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        self.conversation.load(messages)

    @property
    def system_message(self) -> str | None:
        """The system message. Set it before the first turn; later that raises SystemMessageError, so call `reset`."""
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
        """Options for every model request of this conversation; those of a call override them."""
        return self.conversation.generate_kwargs

    @generate_kwargs.setter
    def generate_kwargs(self, generate_kwargs: Mapping[str, Any] | None) -> None:
        self.conversation.generate_kwargs = dict(generate_kwargs or {})

    @property
    def max_tool_rounds(self) -> int:
        """How many model requests of one `chat` may call tools, at least 1."""
        return self.conversation.max_tool_rounds

    @max_tool_rounds.setter
    def max_tool_rounds(self, number: int) -> None:
        self.conversation.max_tool_rounds = number

    @property
    def concurrent_tool_calls(self) -> bool | int:
        """Whether the calls of one model reply overlap; a number lets at most so many."""
        return self.conversation.concurrent_tool_calls

    @concurrent_tool_calls.setter
    def concurrent_tool_calls(self, number: bool | int) -> None:
        self.conversation.concurrent_tool_calls = number

    @property
    def usage(self) -> Usage | None:
        """The tokens of this conversation; None if the service does not say."""
        return self.conversation.history.usage

    @property
    def last_usage(self) -> Usage | None:
        """The tokens of the last turn; None if the service does not say."""
        return self.conversation.history.last_usage

    @property
    def last_thinking(self) -> str:
        """The reasoning of the last reply; empty if there was none."""
        return self.conversation.history.last_thinking

    @property
    def last_stop_reason(self) -> StopReason | None:
        """Why the last reply ended; None before the first one."""
        return self.conversation.history.last_stop_reason

    def reset(self, system_message: str | None = None) -> None:
        """Clear the history.

        Args:
            system_message: A new system message; None keeps the present one.

        Raises:
            BusyConversationError: A turn is running.
        """
        self.conversation.reset(system_message)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Open a new conversation on the same provider, with the same tools and settings.

        Args:
            system: The system message of the new conversation; None keeps this one's.
            keep_history: Whether the new conversation begins with a copy of this one's history.

        Returns:
            A client of the new conversation.
        """
        fork = self._fork(system, keep_history)
        self.provider.keep(fork)
        return fork

    def _fork(self, system: str | None, keep_history: bool) -> Self:
        """A fork that does not keep the provider open."""
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
        """Send a message and get the model's answer, after the tools that it calls.

        Args:
            user_message: The message.
            generate_kwargs: Options for the model requests of this turn; they override those of the client.
            use_tools: Whether the model may call tools.
            stream: Whether to return a `Stream` of chunks.
            images: Images that go with the message: paths, bytes, URLs or data URLs.
            include: The phases that a stream shows; None shows all.
            timeout: Seconds for the whole turn; None is no limit.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            BusyConversationError: Another turn of this conversation is running.
            InvalidHistoryError: A loaded history is not valid; the error names the message.
            InvalidImageError: An image cannot be read, or the model takes none.
            TruncatedError: `max_tokens` ended the reply before any text, or inside a tool call.
            RefusedError: The model declines to answer.
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            ProviderError: The model service fails.
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
        """Get the model's answer to a prompt alone: without history and without tools, under the system message.

        The history stays as it is; a turn may be running meanwhile.

        Args:
            prompt: The message.
            generate_kwargs: Options for this request; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            images: Images that go with the prompt: paths, bytes, URLs or data URLs.
            include: The phases that a stream shows; None shows all.
            timeout: Seconds for the request and its retries; None is no limit.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            InvalidImageError: An image cannot be read, or the model takes none.
            TruncatedError: `max_tokens` ended the reply before any text.
            RefusedError: The model declines to answer.
            TimeoutError: `timeout` expires.
            ProviderError: The model service fails.
        """
        task = Task(prompt, generate_kwargs, images)
        return start(lambda run: self._responder.generate(task, run), stream=stream, timeout=timeout, include=include)

    async def aclose(self) -> None:
        """Let go of the provider. The last conversation to do so closes its connections, or frees its weights."""
        await self.provider.let_go(self, repr(self))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
