"""The sync clients: twins of `aimu.aio`'s, one conversation over a shared provider."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, final, overload

from attrs import frozen

from aimu._sync import bridge
from aimu._sync.runner import own_steps
from aimu._sync.stream import Stream, perform
from aimu._sync.twin import Facade, Mirror, twin_of
from aimu.aio.base_client import AsyncBaseModelClient
from aimu.aio.conversation import Conversation
from aimu.aio.factory import AsyncModelClient, OwningClient, one_shot
from aimu.aio.request import SharedProvider
from aimu.aio.responder import Responder
from aimu.aio.run import Run, Steps, Task
from aimu.aio.turn import Terms
from aimu.core.chunks import Include
from aimu.core.messages import Message
from aimu.core.reply import StopReason, Usage
from aimu.models.spec import Model, ModelSpec


@twin_of(AsyncBaseModelClient)
class BaseModelClient(Facade):
    """One conversation over a shared provider.

    `messages` is the history (see `aimu.core.messages`), `provider` what several conversations share. `generate_kwargs`
    are this client's defaults, `max_tool_rounds` bounds the iterations of one `chat`, `concurrent_tool_calls` overlaps
    the calls of one iteration (True, or how many at once). One thread uses a client at a time; others `fork()`.
    """

    __aio__: AsyncBaseModelClient

    spec: Mirror[ModelSpec] = Mirror()
    provider: Mirror[SharedProvider] = Mirror()
    conversation: Mirror[Conversation] = Mirror()
    generate_kwargs: Mirror[dict[str, Any]] = Mirror()
    max_tool_rounds: Mirror[int] = Mirror()
    concurrent_tool_calls: Mirror[bool | int] = Mirror()
    system_message: Mirror[str | None] = Mirror()
    tools: Mirror[list[Any]] = Mirror()
    mcp_client: Mirror[Any] = Mirror()
    usage: Mirror[Usage | None] = Mirror()
    last_usage: Mirror[Usage | None] = Mirror()
    last_thinking: Mirror[str] = Mirror()
    last_stop_reason: Mirror[StopReason | None] = Mirror()

    def __init__(self, conversation: Conversation) -> None:
        self._hold(AsyncBaseModelClient(conversation))

    @property
    def messages(self) -> list[Message]:
        return self.__aio__.messages

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        bridge.run(self._load(messages))

    async def _load(self, messages: Sequence[Message]) -> None:
        self.__aio__.messages = list(messages)  # on the loop, which knows whether a turn was abandoned

    def reset(self, system_message: str | None = None) -> None:
        """Clear the history; the system message stays unless another is given."""
        bridge.run(self._reset(system_message))

    async def _reset(self, system_message: str | None) -> None:
        self.__aio__.reset(system_message)

    def fork(self, system: str | None = None, keep_history: bool = False) -> Self:
        """A new conversation on the same provider, with the same tools.

        `system` replaces the system message. With `keep_history` the new conversation starts with a copy of what this
        one has published.
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
    ) -> str: ...
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
    ) -> str | Stream: ...
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
    ) -> str | Stream:
        """One turn: the model's answer to `user_message`, after the tools that it asks for.

        `use_tools=False` offers none. `images` are paths, bytes, URLs or data URLs. See `Runner.run` for the rest.
        Raises `TruncatedError` and `RefusedError` (with the partial text), `BusyConversationError`,
        `InvalidHistoryError`, and the provider's errors.
        """
        return perform(
            self.__aio__.chat(user_message, generate_kwargs, use_tools, stream, images, include, timeout=timeout)
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
    ) -> str: ...
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
    ) -> str | Stream: ...
    def generate(
        self,
        prompt: str,
        generate_kwargs: dict[str, Any] | None = None,
        stream: bool = False,
        images: list[Any] | None = None,
        include: Include = None,
        *,
        timeout: float | None = None,
    ) -> str | Stream:
        """The model's answer to `prompt` alone: stateless, without tools; the system message holds, history does not.

        May be called while a turn runs.
        """
        return perform(self.__aio__.generate(prompt, generate_kwargs, stream, images, include, timeout=timeout))

    def _as_aio(self) -> AsyncBaseModelClient:
        own = type(self).chat is not BaseModelClient.chat or type(self).generate is not BaseModelClient.generate
        return self.__aio__._with(_OwnChat(self)) if own else self.__aio__

    def close(self) -> None:
        """Let go of the provider; the last conversation to do so closes its connections or frees its weights."""
        bridge.run(self.provider.let_go(self.__aio__, repr(self)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@final
@frozen(eq=False)
class _OwnChat(Responder):
    """A sync client whose `chat` or `generate` the user wrote, among async ones."""

    __sync__: BaseModelClient

    @property
    def conversation(self) -> Conversation:
        return self.__sync__.conversation

    @property
    def beneath(self) -> Responder:
        return self.__sync__.__aio__._responder

    def chat(
        self, task: Task, run: Run, *, use_tools: bool = True, terms: Terms | None = None, label: str | None = None
    ) -> Steps:
        kwargs, images = task.copies()
        return own_steps(partial(self.__sync__.chat, task.text, kwargs, use_tools, run.streaming, images), run)

    def generate(self, task: Task, run: Run) -> Steps:
        kwargs, images = task.copies()
        return own_steps(partial(self.__sync__.generate, task.text, kwargs, run.streaming, images), run)

    def fork(self, system_message: str | None, keep_history: bool) -> _OwnChat:
        return _OwnChat(self.__sync__._like(self.__sync__.__aio__._fork(system_message, keep_history)))


@twin_of(AsyncModelClient)
class ModelClient(BaseModelClient):
    """A client for a model string, a catalog entry, a provider of your own, or an existing sync client.

    Keyword arguments: `system`, `tools`, `mcp_client`, `generate_kwargs`, `max_tool_rounds`, `concurrent_tool_calls`;
    `max_retries`, `max_concurrency`, `limits`; and what the provider takes (`base_url`, `api_key`, `timeout`,
    `http_client`, `api`). In-process models (`hf`, `llamacpp`) load their weights here, once; `aio.client(this)` is
    an async handle on the same conversation and weights.
    """

    def __init__(self, model: Model | ModelSpec | str | Any, **kwargs: Any) -> None:
        self._hold(OwningClient(model, **kwargs))


def client(model: str | Model | Any, *, system: str | None = None, **kwargs: Any) -> ModelClient:
    """A client for a model string, enum or provider, or a second handle on an existing sync client.

    `system` is the system message; other keyword arguments are those of `ModelClient`. Raises `UnknownProviderError`
    (ValueError), `MissingExtraError` (ImportError), `MissingKeyError` (ValueError).
    """
    if system is not None:
        kwargs["system"] = system
    return ModelClient(model, **kwargs)


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
) -> str: ...
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
) -> str | Stream: ...
def chat(
    user_message: str,
    *,
    model: str | Model,
    system: str | None = None,
    generate_kwargs: dict[str, Any] | None = None,
    stream: bool = False,
    images: list[Any] | None = None,
    include: Include = None,
) -> str | Stream:
    """One message to a fresh client, one answer; the client is closed when the answer is there.

    A stream's connection is closed when it ends or is left.
    """
    once = client(model, system=system).__aio__
    return perform(one_shot(once, Task(user_message, generate_kwargs, images), stream, include))
