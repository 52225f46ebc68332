"""The base of all async clients: a handle on one conversation over a shared provider.

Opening a client is the work of `_factory`.
"""

# Long, because each overload of `chat` and `generate` repeats all parameters.

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from aimu._core.answer import Answer
from aimu._core.chunks import Include
from aimu._core.known import with_known_attributes
from aimu._core.messages import Message
from aimu._core.reply import StopReason, Usage
from aimu._doors import public
from aimu._output._expected import RETRIES, Expected, OutputMode, OutputValidator
from aimu.aio._conversation import Conversation
from aimu.aio._request import SharedProvider
from aimu.aio._responder import LoopResponder, Responder
from aimu.aio._run import Task
from aimu.aio._runner import start
from aimu.aio._stream import Stream
from aimu.models._spec import ModelSpec
from aimu.tools._like import ToolLike

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

H = TypeVar("H")


def duplicate(handle: H) -> H:
    """Return a shallow copy of a client or agent, without calling its constructor, which may be the user's own."""
    copy = object.__new__(type(handle))
    state: Any = object.__getstate__(handle)
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in (part or {}).items():
            object.__setattr__(copy, name, value)
    return copy


@public("aimu.aio")
@with_known_attributes
class AsyncBaseModelClient:
    """A handle on one conversation over a shared provider.

    Only one async task at a time may use the conversation; call `fork()` to give each further task a conversation of
    its own. History, tools and settings belong to the conversation, so its other handles, such as an agent, read and
    change the same ones.

    Args:
        conversation: The conversation; other handles may share it.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._responder: Responder = LoopResponder(conversation)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec}, {len(self.messages)} messages>"

    @property
    def conversation(self) -> Conversation:
        """The conversation: provider, history, tools and settings, shared with its other handles."""
        return self._responder.conversation

    @property
    def provider(self) -> SharedProvider:
        """The connection or the weights; several conversations may share them."""
        return self.conversation.provider

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        return self.provider.spec

    @property
    def messages(self) -> list[Message]:
        """The history, as dicts in OpenAI shape.

        Assign another history between turns; the next request checks it. If it begins with a system message, that one
        replaces the client's; otherwise the client keeps its own. All handles of the conversation show the new history,
        and agents made from any of them begin with it.

        Raises:
            InvalidOptionError: On assignment, the value is not a list.
            BusyConversationError: On assignment, a turn is running.
        """
        return self.conversation.history.messages

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        self.conversation.load(messages)

    @property
    def system_message(self) -> str | None:
        """The system message, or None.

        Set it before the first turn; call `reset` to change it later.

        Raises:
            InvalidOptionError: On assignment, the value is neither a str nor None.
            SystemMessageError: On assignment, the first turn has begun.
        """
        return self.conversation.history.system_message

    @system_message.setter
    def system_message(self, text: str | None) -> None:
        self.conversation.set_system_message(text)

    @property
    def tools(self) -> list[ToolLike]:
        """Functions (`@tool` or plain), `Tool` objects and MCP clients; change them between turns only."""
        return self.conversation.tools

    @tools.setter
    def tools(self, tools: Sequence[ToolLike]) -> None:
        given: Any = tools  # the conversation checks and copies it
        self.conversation.tools = given

    @property
    def mcp_client(self) -> Any:
        """An MCP client, or a list of them, whose tools the model may call in addition to `tools`."""
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
        given: Any = generate_kwargs  # the conversation checks and copies it
        self.conversation.generate_kwargs = given

    @property
    def max_tool_rounds(self) -> int:
        """The number of model requests of one `chat` that may call tools, at least 1.

        Raises:
            InvalidOptionError: On assignment, the value is not an integer of at least 1.
        """
        return self.conversation.max_tool_rounds

    @max_tool_rounds.setter
    def max_tool_rounds(self, number: int) -> None:
        self.conversation.max_tool_rounds = number

    @property
    def concurrent_tool_calls(self) -> bool | int:
        """Whether the calls of one reply may overlap; a number limits how many run at once."""
        return self.conversation.concurrent_tool_calls

    @concurrent_tool_calls.setter
    def concurrent_tool_calls(self, number: bool | int) -> None:
        self.conversation.concurrent_tool_calls = number

    @property
    def usage(self) -> Usage | None:
        """The tokens of this conversation; None if the service does not report them."""
        return self.conversation.history.usage

    @property
    def last_usage(self) -> Usage | None:
        """The tokens of the last turn; None if the service does not report them."""
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
            system_message: A new system message; None keeps the current one.

        Raises:
            BusyConversationError: A turn is running.
        """
        self.conversation.reset(system_message)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Open a new conversation on the same provider, with the same tools and settings.

        Args:
            system: The system message of the new conversation; None keeps this one's.
            keep_history: Whether the new conversation starts with a copy of this one's history.

        Returns:
            A client of the new conversation. It keeps the provider open until it is closed.
        """
        fork = self._fork(system, keep_history)
        self.provider.keep(fork)
        return fork

    def _fork(self, system: str | None, keep_history: bool) -> Self:
        """Fork without keeping the provider open."""
        return self._with(self._responder.fork(system, keep_history))

    def _with(self, responder: Responder) -> Self:
        """Return a copy of this handle whose calls go to `responder`."""
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
        context: Any = None,
        output_type: None = None,
    ) -> Coroutine[Any, Any, Answer]: ...
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
        context: Any = None,
        output_type: TypeForm[T],
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[T]]: ...
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream: ...
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream:
        """Send a message, run the tools that the model calls, and return its answer.

        Args:
            user_message: The message.
            generate_kwargs: Options for the model requests of this turn; they override those of the client.
            use_tools: Whether the model may call tools.
            stream: Whether to return a `Stream` of chunks.
            images: Images to send with the message: paths, bytes, URLs or data URLs.
            include: The phases that a stream yields; None yields all.
            timeout: Seconds for the whole turn; None is no limit.
            context: Any object for the tools of this run, which get it with `aimu.tools.current_call().context`.
            output_type: The type that the answer must have; its value is `output` of the answer. None takes any text.
            output_mode: How the model is held to the type: "schema" by the service's mode for JSON Schemas, "tool" by a
                tool that takes the answer, "prompt" by asking; "auto" takes the strongest that there is.
            output_retries: How often the model may give another answer after one that does not fit.
            output_validator: A function, sync or async, that gets the value and raises ValueError with what is wrong.
                A sync one runs where sync tools run, and a timeout or a cancellation waits for its end.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            BusyConversationError: Another turn of this conversation is running.
            InvalidHistoryError: A loaded history is not valid; the error names the first invalid message.
            InvalidOptionError: The text is not a str, or is blank and has no images; or an option is invalid.
            InvalidImageError: An image cannot be read, or the model has no vision.
            TruncatedError: `max_tokens` ended the reply before any text, or inside a tool call.
            RefusedError: The model declines to answer.
            TimeoutError: `timeout` expires. What was done so far stays in the history.
            ProviderError: The model service fails.
        """
        expected = Expected.asked(output_type, output_mode, output_retries, output_validator)
        task = Task.asked(user_message, generate_kwargs, images, "user_message", expected)
        return start(
            lambda run: self._responder.chat(task, run, use_tools=use_tools),
            name=f"{type(self).__name__}.chat",
            what=lambda: f"chat() with {self.spec}",
            stream=stream,
            timeout=timeout,
            include=include,
            context=context,
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
        context: Any = None,
        output_type: None = None,
    ) -> Coroutine[Any, Any, Answer]: ...
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
        context: Any = None,
        output_type: TypeForm[T],
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[T]]: ...
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
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
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream: ...
    def generate(
        self,
        prompt: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
        context: Any = None,
        output_type: TypeForm[Any] | None = None,
        output_mode: OutputMode = "auto",
        output_retries: int = RETRIES,
        output_validator: OutputValidator | None = None,
    ) -> Coroutine[Any, Any, Answer[Any]] | Stream:
        """Return the model's answer to a single prompt, with the system message but without history and tools.

        The history does not change, and a turn may be running at the same time.

        Args:
            prompt: The user's text.
            generate_kwargs: Options for this request; they override those of the client.
            stream: Whether to return a `Stream` of chunks.
            images: Images to send with the prompt: paths, bytes, URLs or data URLs.
            include: The phases that a stream yields; None yields all.
            timeout: Seconds for the request and its retries; None is no limit.
            context: As in `chat`, for code of your own that answers in place of the model.
            output_type: The type that the answer must have; its value is `output` of the answer. None takes any text.
            output_mode: How the model is held to the type: "schema" by the service's mode for JSON Schemas, "tool" by a
                tool that takes the answer, "prompt" by asking; "auto" takes the strongest that there is.
            output_retries: How often the model may give another answer after one that does not fit.
            output_validator: A function, sync or async, that gets the value and raises ValueError with what is wrong.
                A sync one runs where sync tools run, and a timeout or a cancellation waits for its end.

        Returns:
            The answer, or with `stream=True` a `Stream`.

        Raises:
            InvalidOptionError: The text is not a str, or is blank and has no images; or an option is invalid.
            InvalidImageError: An image cannot be read, or the model has no vision.
            TruncatedError: `max_tokens` ended the reply before any text.
            RefusedError: The model declines to answer.
            TimeoutError: `timeout` expires.
            ProviderError: The model service fails.
        """
        expected = Expected.asked(output_type, output_mode, output_retries, output_validator)
        task = Task.asked(prompt, generate_kwargs, images, "prompt", expected)
        return start(
            lambda run: self._responder.generate(task, run),
            name=f"{type(self).__name__}.generate",
            what=lambda: f"generate() with {self.spec}",
            stream=stream,
            timeout=timeout,
            include=include,
            context=context,
        )

    async def aclose(self) -> None:
        """Close the client. If no other client keeps the provider open, close its connections or free its weights."""
        await self.provider.let_go(self, repr(self))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
