"""Opening clients: from model strings, catalog entries, users' own providers, and existing sync clients."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, final, overload

from anyio import move_on_after

from aimu._core.answer import Answer
from aimu._core.chunks import Include, StreamingContentType
from aimu._core.loop_end import Nested
from aimu._core.nearest import did_you_mean, nearest
from aimu._doors import public
from aimu._output._expected import RETRIES, Expected, OutputMode, OutputValidator
from aimu.aio._base_client import AsyncBaseModelClient
from aimu.aio._checks import checked_system, tool_list
from aimu.aio._conversation import Conversation
from aimu.aio._deadline import CLOSING
from aimu.aio._options import ClientOptions, OptionsBesideSystem
from aimu.aio._request import Limits, SharedProvider
from aimu.aio._run import Run, Steps, Task
from aimu.aio._runner import start
from aimu.aio._stream import Stream
from aimu.errors import InvalidOptionError, WeightsLoadedTwiceError
from aimu.models._options import VOCABULARY
from aimu.models._resolve import IN_PROCESS, resolve
from aimu.models._spec import Model, ModelSpec
from aimu.providers._base import Provider
from aimu.tools._like import ToolLike

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


@public("aimu.aio")
class AsyncModelClient(AsyncBaseModelClient):
    """A client for a model string, a catalog entry, a provider of your own, or an existing sync client.

    Args:
        model: `"provider:model_id"`, a member of a model enum such as `OllamaModel`, a `ModelSpec`, or an object with
            the methods of `aimu.providers.Provider`. Or a sync client: both are then handles of one conversation. For
            models that run in this process (`hf`, `llamacpp`), pass a sync client, because only it loads weights.
        **kwargs: `system`, `tools`, `mcp_client`, `generate_kwargs`, `max_tool_rounds`, `concurrent_tool_calls`;
            `max_retries`, `max_concurrency`, `limits`; and the options of the provider: `base_url`, `api_key`,
            `timeout`, `http_client`, `api`.

    Raises:
        UnknownProviderError: The model string names no known provider.
        MissingExtraError: A dependency of the provider is not installed.
        MissingKeyError: The provider needs an API key, and neither `api_key` nor the environment has one.
        WeightsLoadedTwiceError: The model runs in this process and is not given as a sync client.
        InvalidOptionError: An option is unknown or has an invalid value.

    Example:
        async with aio.AsyncModelClient("anthropic:claude-sonnet-4-6", system="Be brief.") as client:
            print(await client.chat("What are tides?"))
    """

    def __init__(self, model: Model | ModelSpec | str | Any, **kwargs: Unpack[ClientOptions]) -> None:
        owner = getattr(model, "__aio__", None)
        if isinstance(owner, AsyncBaseModelClient):
            if kwargs:
                raise InvalidOptionError(
                    f"a client that wraps a sync client shares its settings; set {', '.join(kwargs)} on the sync client"
                )
            as_aio = getattr(
                model, "_as_aio", lambda: owner
            )  # where the user wrote the sync client's `chat`, not `owner`
            self._responder = as_aio()._responder
            return
        if (own := _own_provider(model)) is not None:
            self._open(lambda **rest: _as_given(own, rest), **kwargs)
            return
        spec = resolve(model)
        if spec.provider in IN_PROCESS:
            raise WeightsLoadedTwiceError(
                f"{type(model).__name__}.{model.name}" if isinstance(model, Model) else repr(str(spec))
            )
        self._open(lambda **rest: _http_provider(spec, rest), **kwargs)

    def _open(
        self,
        make_provider: Callable[..., Provider],
        *,
        system: str | None = None,
        tools: Sequence[ToolLike] = (),
        mcp_client: Any = None,
        generate_kwargs: Mapping[str, Any] | None = None,
        max_tool_rounds: int = 10,
        concurrent_tool_calls: bool | int = False,
        max_retries: int = 2,
        max_concurrency: int | None = None,
        limits: Limits | None = None,
        **provider_kwargs: Any,
    ) -> None:
        _refuse_unknown(provider_kwargs, tuple(ClientOptions.__annotations__), "a client")
        system, tools = checked_system(system), tool_list(tools)  # before weights are loaded
        provider = SharedProvider(
            make_provider(**provider_kwargs), max_retries=max_retries, max_concurrency=max_concurrency, limits=limits
        )
        conversation = Conversation(
            provider=provider,
            tools=tools,
            mcp_client=mcp_client,
            generate_kwargs=generate_kwargs,
            max_tool_rounds=max_tool_rounds,
            concurrent_tool_calls=concurrent_tool_calls,
        )
        conversation.set_system_message(system)
        super().__init__(conversation)
        provider.keep(self)


@final
class OwningClient(AsyncModelClient):
    """The async client under a sync client: the only one that may load weights."""

    def __init__(self, model: Model | ModelSpec | str | Any, **kwargs: Any) -> None:
        if isinstance(model, Model | ModelSpec | str) and (spec := resolve(model)).provider in IN_PROCESS:
            self._open(lambda **rest: _engine(spec, rest), **kwargs)
        else:
            super().__init__(model, **kwargs)


_NEEDS = ("spec", "complete", "stream", "aclose")


def _own_provider(model: Any) -> Provider | None:
    """Return `model` if it is a provider of the user's own; None if it may name a model.

    Raises:
        InvalidOptionError: It is a class, has only some of the methods, or has no ModelSpec.
    """
    if isinstance(model, str | Model | ModelSpec):
        return None
    if isinstance(model, type):
        remedy = "choose one of its members" if issubclass(model, Model) else "pass an instance"
        raise InvalidOptionError(f"a model must not be a class, got {model.__name__}; {remedy}")
    missing = [name for name in _NEEDS if not hasattr(model, name)]
    if missing and len(missing) < len(_NEEDS):
        raise InvalidOptionError(
            f"{type(model).__name__} is not a provider, because it has no {', '.join(map(repr, missing))}; "
            f"a provider of your own needs {', '.join(_NEEDS)}, see aimu.providers.Provider"
        )
    if missing:
        return None
    spec = getattr(model, "spec", None)
    if not isinstance(spec, ModelSpec):
        raise InvalidOptionError(
            f"the spec of provider {type(model).__name__} must be a ModelSpec, such as "
            f"aimu.models.ModelSpec('my-model', 'my-service'), got {type(spec).__name__}"
        )
    provider: Provider = model
    return provider


def _refuse_unknown(given: Mapping[str, Any], known: Sequence[str], who: str) -> None:
    for name in given:
        if name not in known:
            meant = did_you_mean(name, known) or _for_requests(name)
            raise InvalidOptionError(f"{who} has no option {name!r}{meant}; the options are: {', '.join(known)}")


def _for_requests(name: str) -> str:
    """Return the part of an error text that says where an option of requests goes; empty if it is none."""
    found = nearest(name, VOCABULARY)
    return f"; for all its requests, pass generate_kwargs={{{found[0]!r}: ...}}" if found else ""


def _as_given(provider: Provider, kwargs: Mapping[str, Any]) -> Provider:
    if kwargs:
        raise InvalidOptionError(
            f"{', '.join(kwargs)} cannot be set for a provider of your own; pass it to the provider's constructor"
        )
    return provider


def _http_provider(spec: ModelSpec, kwargs: Mapping[str, Any]) -> Provider:
    from aimu.providers import make_provider

    _refuse_unknown(kwargs, list(signature(make_provider).parameters)[1:], str(spec))
    return make_provider(spec, **kwargs)


def _engine(spec: ModelSpec, kwargs: Mapping[str, Any]) -> Provider:
    from aimu.engines import open_engine

    return open_engine(spec, **kwargs)


@public("aimu.aio")
def client(
    model: str | Model | Any, *, system: str | None = None, **kwargs: Unpack[OptionsBesideSystem]
) -> AsyncModelClient:
    """Open a client for a model string, a catalog entry, a provider of your own, or an existing sync client.

    Args:
        model: The model, in any form that `AsyncModelClient` accepts.
        system: The system message.
        **kwargs: The options of `AsyncModelClient`.

    Returns:
        The client.

    Raises:
        UnknownProviderError: The model string names no known provider.
        MissingExtraError: A dependency of the provider is not installed.
        MissingKeyError: The provider needs an API key, and neither `api_key` nor the environment has one.
        WeightsLoadedTwiceError: The model runs in this process and is not given as a sync client.
        InvalidOptionError: An option is unknown or has an invalid value.

    Example:
        client = aio.client("ollama:qwen3.5:9b", system="Be brief.")
        print(await client.chat("What are tides?"))
    """
    return AsyncModelClient(model, **kwargs) if system is None else AsyncModelClient(model, system=system, **kwargs)


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
) -> Coroutine[Any, Any, Answer]: ...
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
) -> Coroutine[Any, Any, Answer[T]]: ...
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
) -> Coroutine[Any, Any, Answer[Any]] | Stream: ...
@public("aimu.aio")
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
) -> Coroutine[Any, Any, Answer[Any]] | Stream:
    """Open a client, send one message, return the answer, and close the client.

    Args:
        user_message: The message.
        model: The model, in any form that `AsyncModelClient` accepts.
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
        print(await aio.chat("What are tides?", model="anthropic:claude-sonnet-4-6"))
    """
    expected = Expected.asked(output_type, output_mode, output_retries, output_validator)
    task = Task.asked(user_message, generate_kwargs, images, "user_message", expected)
    return one_shot(task, client(model, system=system), stream, include, context)


def one_shot(
    task: Task, once: AsyncBaseModelClient, stream: bool, include: Include, context: Any
) -> Coroutine[Any, Any, Answer] | Stream:
    """Run one turn of a client and close the client afterwards."""
    return start(
        lambda run: _once(once, task, run),
        name="chat",
        what=lambda: f"chat() with {once.spec}",
        stream=stream,
        timeout=None,
        include=include,
        context=context,
    )


async def _once(once: AsyncBaseModelClient, task: Task, run: Run) -> Steps:
    done = None
    try:
        async with Nested(once._responder.chat(task, run)) as steps:
            async for chunk in steps:
                if chunk.phase is StreamingContentType.DONE:
                    done = chunk
                else:
                    yield chunk
    finally:
        # Shielded so that a cancelled call closes its connections too; a user's provider may take `CLOSING`.
        with move_on_after(CLOSING, shield=True):
            await once.aclose()
    if done is not None:
        yield done
