"""The client: one conversation over a shared provider, as users hold it."""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self, cast, overload, runtime_checkable

from aimu.aio.conversation import Conversation
from aimu.aio.loop import Policy, Question, turn_steps
from aimu.aio.request import SharedProvider
from aimu.aio.run import Run, Steps, Task
from aimu.aio.runner import start
from aimu.aio.stream import Stream
from aimu.core.chunks import Include
from aimu.core.images import image_part
from aimu.core.messages import Message, user_message
from aimu.core.reply import Delta, Reply, StopReason, Usage
from aimu.errors import InvalidImageError, InvalidOptionError
from aimu.models import options
from aimu.models.spec import ModelSpec
from aimu.providers.base import Request
from aimu.tools.definition import Tool
from aimu.tools.toolbox import Toolbox


@runtime_checkable
class ToolSource(Protocol):
    """Something among the tools of a client that has tools of its own (an MCP client)."""

    async def as_tools(self) -> Sequence[Tool]: ...


class ClientsAgent(Protocol):
    """The agent that answers in the place of its own client, see `Agent.as_model_client`."""

    def _steps(self, task: Task, run: Run, *, label: str | None = None) -> Steps: ...
    def fork(self, system: str | None = None, keep_history: bool = False) -> ClientsAgent: ...
    def as_model_client(self) -> AsyncBaseModelClient: ...


class AsyncBaseModelClient:
    """One conversation over a shared provider. Only one async task at a time may use it; others `fork()`.

    Args:
        provider: The connection or the weights, which several conversations may share.
        conversation: The history, the system message and the tools.
        generate_kwargs: Options for every model request of this client; `aimu.models.options` lists them.
        max_tool_rounds: How many model requests of one `chat` may call tools, at least 1.
        concurrent_tool_calls: Whether the calls of one model reply overlap; a number lets at most so many.

    Raises:
        InvalidOptionError: `max_tool_rounds` is less than 1.
    """

    _agent: ClientsAgent | None = None

    def __init__(
        self,
        provider: SharedProvider,
        conversation: Conversation,
        *,
        generate_kwargs: Mapping[str, Any] | None = None,
        max_tool_rounds: int = 10,
        concurrent_tool_calls: bool | int = False,
    ) -> None:
        if max_tool_rounds < 1:
            raise InvalidOptionError(f"max_tool_rounds is at least 1, not {max_tool_rounds!r}")
        self.provider = provider
        self.conversation = conversation
        self.generate_kwargs: dict[str, Any] = dict(generate_kwargs or {})
        self.max_tool_rounds = max_tool_rounds
        self.concurrent_tool_calls = concurrent_tool_calls
        self._toolbox: tuple[list[Any], Toolbox] = ([], Toolbox(()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec}, {len(self.messages)} messages>"

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        return self.provider.spec

    @property
    def messages(self) -> list[Message]:
        """The history, as dicts in OpenAI shape. Assign another one between turns; the next request checks it."""
        return self.conversation.messages

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        self.conversation.load(messages)

    @property
    def system_message(self) -> str | None:
        """The system message. Set it before the first turn; later that raises SystemMessageError, so call `reset`."""
        return self.conversation.system

    @system_message.setter
    def system_message(self, text: str | None) -> None:
        self.conversation.set_system(text)

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
    def usage(self) -> Usage | None:
        """The tokens of this conversation; None if the service does not say."""
        return self.conversation.usage

    @property
    def last_usage(self) -> Usage | None:
        """The tokens of the last turn; None if the service does not say."""
        return self.conversation.last_usage

    @property
    def last_thinking(self) -> str:
        """The reasoning of the last reply; empty if there was none."""
        return self.conversation.last_thinking

    @property
    def last_stop_reason(self) -> StopReason | None:
        """Why the last reply ended; None before the first one."""
        return self.conversation.last_stop_reason

    def reset(self, system_message: str | None = None) -> None:
        """Clear the history.

        Args:
            system_message: A new system message; None keeps the present one.

        Raises:
            BusyConversationError: A turn is running.
        """
        self.conversation.reset(self.system_message if system_message is None else system_message)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Open a new conversation on the same provider, with the same tools.

        Args:
            system: The system message of the new conversation; None keeps this one's.
            keep_history: Whether the new conversation begins with a copy of this one's history.

        Returns:
            A client of the new conversation.
        """
        twin = self._fork(system, keep_history)
        self.provider.keep(twin)
        return twin

    def _fork(self, system: str | None, keep_history: bool) -> Self:
        """A fork that does not keep the provider open."""
        if self._agent is not None:
            return cast(Self, self._agent.fork(system, keep_history).as_model_client())
        twin = copy.copy(self)
        twin.conversation = self.conversation.fork(keep_history=keep_history)
        twin.generate_kwargs = dict(self.generate_kwargs)
        if system is not None:
            twin.conversation.replace_system(system)
        return twin

    def _answering(self, agent: ClientsAgent) -> Self:
        """A second handle on this conversation, where `agent` answers."""
        twin = copy.copy(self)
        twin._agent = agent
        return twin

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
            lambda run: self._steps(task, run, use_tools=use_tools), stream=stream, timeout=timeout, include=include
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
        throwaway = self._fork(None, keep_history=False)
        return start(
            lambda run: throwaway._steps(task, run, use_tools=False, kind="generate"),
            stream=stream,
            timeout=timeout,
            include=include,
        )

    def _steps(
        self,
        task: Task,
        run: Run,
        *,
        use_tools: bool = True,
        kind: Literal["chat", "generate"] = "chat",
        policy: Policy | None = None,
        label: str | None = None,
    ) -> Steps:
        """The steps of a turn; an agent brings its own policy and label."""
        if self._agent is not None and use_tools and kind == "chat":
            return self._agent._steps(task, run, label=label)
        policy = policy or Policy(limit=self.max_tool_rounds, concurrent=self.concurrent_tool_calls)
        question = Question(
            message=user_message(task.text, self._image_parts(task.images or ())),
            options=options.merge(self.spec.generate_kwargs, self.generate_kwargs, task.generate_kwargs),
            use_tools=use_tools,
            kind=kind,
        )
        return turn_steps(self, question, run, policy, label)

    def _image_parts(self, images: Sequence[Any]) -> list[dict[str, Any]]:
        if isinstance(images, str | bytes | bytearray | os.PathLike | Mapping):
            raise InvalidImageError("images= is a list of images; put the one into a list")
        if images and self.spec.vision is False:
            raise InvalidImageError(f"{self.spec} has no vision; leave images= out or choose a model that has it")
        return [image_part(image) for image in images]

    async def toolbox(self) -> Toolbox:
        """What the model may call in the next turn."""
        mcp = self.conversation.mcp_client
        given = [*self.tools, *(mcp if isinstance(mcp, list | tuple) else [] if mcp is None else [mcp])]
        given = [getattr(tool, "__aio__", tool) for tool in given]
        sources = any(isinstance(tool, ToolSource) for tool in given)
        if sources:
            tools: list[Any] = []
            for tool in given:
                tools.extend(await tool.as_tools() if isinstance(tool, ToolSource) else [tool])
            return self._checked(Toolbox(tools))
        if given != self._toolbox[0]:
            self._toolbox = (given, self._checked(Toolbox(given)))
        return self._toolbox[1]

    def _checked(self, toolbox: Toolbox) -> Toolbox:
        if toolbox.schemas and self.spec.tools is False:
            raise InvalidOptionError(f"{self.spec} cannot call tools; pass use_tools=False or choose a model that can")
        return toolbox

    async def complete(self, request: Request) -> Reply:
        return await self.provider.complete(request)

    def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        return self.provider.stream(request)

    async def aclose(self) -> None:
        """Let go of the provider. The last conversation to do so closes its connections, or frees its weights."""
        await self.provider.let_go(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
