"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of AsyncBaseModelClient, AsyncModelClient, client, chat. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from aimu._core.answer import Answer
from aimu._core.chunks import Include
from aimu._core.messages import Message
from aimu._core.reply import StopReason, Usage
from aimu._doors import public
from aimu._output._expected import RETRIES, Expected, OutputMode, OutputValidator
from aimu._sync import bridge
from aimu._sync.own import AdaptedClient
from aimu._sync.reader import perform
from aimu._sync.stream import Stream
from aimu._sync.twin import aio_of, twin_of
from aimu.aio._base_client import AsyncBaseModelClient, T
from aimu.aio._conversation import Conversation
from aimu.aio._factory import AsyncModelClient, OwningClient, one_shot
from aimu.aio._options import ClientOptions, OptionsBesideSystem
from aimu.aio._request import SharedProvider
from aimu.aio._run import Task
from aimu.models._spec import Model, ModelSpec
from aimu.tools._like import ToolLike

if TYPE_CHECKING:
    from typing_extensions import TypeForm


@public("aimu")
@twin_of(AsyncBaseModelClient)
class BaseModelClient(AdaptedClient):
    """A handle on one conversation over a shared provider.

    Only one thread at a time may use the conversation; call `fork()` to give each further task a conversation of its
    own. History, tools and settings belong to the conversation, so its other handles, such as an agent, read and change
    the same ones.

    Args:
        conversation: The conversation; other handles may share it.
    """

    __aio__: AsyncBaseModelClient

    def __init__(self, conversation: Conversation) -> None:
        self._hold(AsyncBaseModelClient(conversation))

    @property
    def conversation(self) -> Conversation:
        """The conversation: provider, history, tools and settings, shared with its other handles."""
        return self.__aio__.conversation

    @property
    def provider(self) -> SharedProvider:
        """The connection or the weights; several conversations may share them."""
        return self.__aio__.provider

    @property
    def spec(self) -> ModelSpec:
        """The model that answers."""
        return self.__aio__.spec

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
        return self.__aio__.messages

    @messages.setter
    def messages(self, value: Sequence[Message]) -> None:
        bridge.call(setattr, self.__aio__, "messages", value)

    @property
    def system_message(self) -> str | None:
        """The system message, or None.

        Set it before the first turn; call `reset` to change it later.

        Raises:
            InvalidOptionError: On assignment, the value is neither a str nor None.
            SystemMessageError: On assignment, the first turn has begun.
        """
        return self.__aio__.system_message

    @system_message.setter
    def system_message(self, value: str | None) -> None:
        bridge.call(setattr, self.__aio__, "system_message", value)

    @property
    def tools(self) -> list[ToolLike]:
        """Functions (`@tool` or plain), `Tool` objects and MCP clients; change them between turns only."""
        return self.__aio__.tools

    @tools.setter
    def tools(self, value: Sequence[ToolLike]) -> None:
        bridge.call(setattr, self.__aio__, "tools", value)

    @property
    def mcp_client(self) -> Any:
        """An MCP client, or a list of them, whose tools the model may call in addition to `tools`."""
        return self.__aio__.mcp_client

    @mcp_client.setter
    def mcp_client(self, value: Any) -> None:
        bridge.call(setattr, self.__aio__, "mcp_client", value)

    @property
    def generate_kwargs(self) -> dict[str, Any]:
        """Options for every model request of this conversation; those of a call override them."""
        return self.__aio__.generate_kwargs

    @generate_kwargs.setter
    def generate_kwargs(self, value: Mapping[str, Any] | None) -> None:
        bridge.call(setattr, self.__aio__, "generate_kwargs", value)

    @property
    def max_tool_rounds(self) -> int:
        """The number of model requests of one `chat` that may call tools, at least 1.

        Raises:
            InvalidOptionError: On assignment, the value is not an integer of at least 1.
        """
        return self.__aio__.max_tool_rounds

    @max_tool_rounds.setter
    def max_tool_rounds(self, value: int) -> None:
        bridge.call(setattr, self.__aio__, "max_tool_rounds", value)

    @property
    def concurrent_tool_calls(self) -> bool | int:
        """Whether the calls of one reply may overlap; a number limits how many run at once. If they may, sync tools run
        in worker threads, otherwise on the caller's thread.
        """
        return self.__aio__.concurrent_tool_calls

    @concurrent_tool_calls.setter
    def concurrent_tool_calls(self, value: bool | int) -> None:
        bridge.call(setattr, self.__aio__, "concurrent_tool_calls", value)

    @property
    def usage(self) -> Usage | None:
        """The tokens of this conversation; None if the service does not report them."""
        return self.__aio__.usage

    @property
    def last_usage(self) -> Usage | None:
        """The tokens of the last turn; None if the service does not report them."""
        return self.__aio__.last_usage

    @property
    def last_thinking(self) -> str:
        """The reasoning of the last reply; empty if there was none."""
        return self.__aio__.last_thinking

    @property
    def last_stop_reason(self) -> StopReason | None:
        """Why the last reply ended; None before the first one."""
        return self.__aio__.last_stop_reason

    def reset(self, system_message: str | None = None) -> None:
        """Clear the history.

        Args:
            system_message: A new system message; None keeps the current one.

        Raises:
            BusyConversationError: A turn is running.
        """
        bridge.call(self.__aio__.reset, system_message)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """Open a new conversation on the same provider, with the same tools and settings.

        Args:
            system: The system message of the new conversation; None keeps this one's.
            keep_history: Whether the new conversation starts with a copy of this one's history.

        Returns:
            A client of the new conversation. It keeps the provider open until it is closed.
        """
        return self._like(self.__aio__.fork(system, keep_history))

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
    ) -> Answer: ...
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
    ) -> Answer[T]: ...
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
    ) -> Answer[Any] | Stream: ...
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
    ) -> Answer[Any] | Stream:
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
        return perform(
            self.__aio__.chat(
                user_message,
                generate_kwargs,
                use_tools,
                stream,
                images,
                include,
                timeout=timeout,
                context=context,
                output_type=output_type,
                output_mode=output_mode,
                output_retries=output_retries,
                output_validator=output_validator,
            )
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
    ) -> Answer: ...
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
    ) -> Answer[T]: ...
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
    ) -> Answer[Any] | Stream: ...
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
    ) -> Answer[Any] | Stream:
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
        return perform(
            self.__aio__.generate(
                prompt,
                generate_kwargs,
                stream,
                images,
                include,
                timeout=timeout,
                context=context,
                output_type=output_type,
                output_mode=output_mode,
                output_retries=output_retries,
                output_validator=output_validator,
            )
        )

    def close(self) -> None:
        """Close the client. If no other client keeps the provider open, close its connections or free its weights."""
        bridge.run(self.provider.let_go(self.__aio__, repr(self)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@public("aimu")
@twin_of(AsyncModelClient)
class ModelClient(BaseModelClient):
    """A client for a model string, a catalog entry, a provider of your own, or an existing sync client.

    Args:
        model: `"provider:model_id"`, a member of a model enum such as `OllamaModel`, a `ModelSpec`, or an object with
            the methods of `aimu.providers.Provider`. Models that run in this process (`hf`, `llamacpp`) load their
            weights here, once. Or another sync client: both are then handles of one conversation, as is
            `aimu.aio.client(client)`.
        **kwargs: `system`, `tools`, `mcp_client`, `generate_kwargs`, `max_tool_rounds`, `concurrent_tool_calls`;
            `max_retries`, `max_concurrency`, `limits`; and the options of the provider: `base_url`, `api_key`,
            `timeout`, `http_client`, `api`.

    Raises:
        UnknownProviderError: The model string names no known provider.
        MissingExtraError: A dependency of the provider is not installed.
        MissingKeyError: The provider needs an API key, and neither `api_key` nor the environment has one.
        InvalidOptionError: An option is unknown or has an invalid value.

    Example:
        with aimu.ModelClient("anthropic:claude-sonnet-4-6", system="Be brief.") as client:
            print(client.chat("What are tides?"))
    """

    __aio__: AsyncModelClient  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, model: Model | ModelSpec | str | Any, **kwargs: Unpack[ClientOptions]) -> None:
        self._hold(OwningClient(model, **kwargs))


@public("aimu")
def client(
    model: str | Model | Any, *, system: str | None = None, **kwargs: Unpack[OptionsBesideSystem]
) -> ModelClient:
    """Open a client for a model string, a catalog entry, a provider of your own, or an existing sync client.

    Args:
        model: The model, in any form that `ModelClient` accepts.
        system: The system message.
        **kwargs: The options of `ModelClient`.

    Returns:
        The client.

    Raises:
        UnknownProviderError: The model string names no known provider.
        MissingExtraError: A dependency of the provider is not installed.
        MissingKeyError: The provider needs an API key, and neither `api_key` nor the environment has one.
        InvalidOptionError: An option is unknown or has an invalid value.

    Example:
        client = aimu.client("ollama:qwen3.5:9b", system="Be brief.")
        print(client.chat("What are tides?"))
    """
    return ModelClient(model, **kwargs) if system is None else ModelClient(model, system=system, **kwargs)


@overload
def chat(
    user_message: str,
    *,
    model: str | Model,
    system: str | None = None,
    generate_kwargs: dict[str, Any] | None = None,
    stream: Literal[False] = False,
    images: list[Any] | None = None,
    include: Include = None,
    context: Any = None,
    output_type: None = None,
) -> Answer: ...
@overload
def chat(
    user_message: str,
    *,
    model: str | Model,
    system: str | None = None,
    generate_kwargs: dict[str, Any] | None = None,
    stream: Literal[False] = False,
    images: list[Any] | None = None,
    include: Include = None,
    context: Any = None,
    output_type: TypeForm[T],
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Answer[T]: ...
@overload
def chat(
    user_message: str,
    *,
    model: str | Model,
    system: str | None = None,
    generate_kwargs: dict[str, Any] | None = None,
    stream: Literal[True],
    images: list[Any] | None = None,
    include: Include = None,
    context: Any = None,
    output_type: TypeForm[Any] | None = None,
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Stream: ...
@overload
def chat(
    user_message: str,
    *,
    model: str | Model,
    system: str | None = None,
    generate_kwargs: dict[str, Any] | None = None,
    stream: bool = False,
    images: list[Any] | None = None,
    include: Include = None,
    context: Any = None,
    output_type: TypeForm[Any] | None = None,
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Answer[Any] | Stream: ...
@public("aimu")
def chat(
    user_message: str,
    *,
    model: str | Model,
    system: str | None = None,
    generate_kwargs: dict[str, Any] | None = None,
    stream: bool = False,
    images: list[Any] | None = None,
    include: Include = None,
    context: Any = None,
    output_type: TypeForm[Any] | None = None,
    output_mode: OutputMode = "auto",
    output_retries: int = RETRIES,
    output_validator: OutputValidator | None = None,
) -> Answer[Any] | Stream:
    """Open a client, send one message, return the answer, and close the client.

    Args:
        user_message: The message.
        model: The model, in any form that `ModelClient` accepts.
        system: The system message.
        generate_kwargs: Options for the request.
        stream: Whether to return a `Stream` of chunks. The client is closed when the stream ends or is closed.
        images: Images to send with the message: paths, bytes, URLs or data URLs.
        include: The phases that a stream yields; None yields all.
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
        UnknownProviderError: The model string names no known provider.
        TruncatedError: `max_tokens` ended the reply before any text.
        RefusedError: The model declines to answer.
        ProviderError: The model service fails.

    Example:
        print(aimu.chat("What are tides?", model="anthropic:claude-sonnet-4-6"))
    """
    expected = Expected.asked(output_type, output_mode, output_retries, output_validator)
    task = Task.asked(user_message, generate_kwargs, images, "user_message", expected)
    return perform(one_shot(task, aio_of(client(model, system=system)), stream, include, context))
