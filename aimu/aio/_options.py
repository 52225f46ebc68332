"""The types of the keyword arguments of clients, for type checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from aimu._doors import public

if TYPE_CHECKING:
    import os

    import httpx2

    from aimu.aio._request import Limits
    from aimu.tools._like import ToolLike, ToolServer


class OptionsBesideSystem(TypedDict, total=False):
    """The options of `client` other than the model and the system message."""

    tools: Sequence[ToolLike]
    mcp_client: ToolServer | Sequence[ToolServer] | None
    generate_kwargs: Mapping[str, Any] | None
    max_tool_rounds: int
    concurrent_tool_calls: bool | int
    max_retries: int
    max_concurrency: int | None
    limits: Limits | None
    # For providers over HTTP.
    base_url: str | None
    api_key: str | None
    timeout: float | None
    http_client: httpx2.AsyncClient | None
    api: Literal["chat", "responses"] | None
    keep_alive: str | float | None
    # For models in this process, which only sync clients load.
    lazy: bool
    model_path: str | os.PathLike[str] | None
    device: str
    dtype: str
    threads: int | None
    n_ctx: int | None
    n_gpu_layers: int
    prefix_cache_bytes: int
    tool_format: str | None
    batch: int
    model_kwargs: Mapping[str, Any] | None


@public("aimu.types")
class ClientOptions(OptionsBesideSystem, total=False):
    """The keyword arguments of a client.

    Attributes:
        system: The system message.
        tools: Functions, `Tool` objects and MCP clients that the model may call.
        mcp_client: An MCP client, or a list of them, in addition to `tools`.
        generate_kwargs: Options for every model request.
        max_tool_rounds: The number of model requests of one `chat` that may call tools, at least 1.
        concurrent_tool_calls: Whether the calls of one reply may overlap; a number limits how many run
            at once.
        max_retries: The number of further attempts after a failure that may be temporary.
        max_concurrency: The number of requests that the provider may have in flight, at least 1; None is no limit.
        limits: A cap on requests in flight that several clients share.
        base_url: The URL of the API.
        api_key: The API key; None uses the provider's environment variable.
        timeout: Seconds without a byte from the service after which a request fails, more than 0.
        http_client: The HTTP client to use for all requests; the caller closes it.
        api: The API of OpenAI to use.
        keep_alive: How long Ollama keeps the model loaded.
        lazy: Whether to load the weights at the first request instead of immediately.
        model_path: The path of the GGUF file.
        device: The device for the weights, as torch names it.
        dtype: The type of the weights, as torch names it.
        threads: The number of threads of the engine.
        n_ctx: The length of the context in tokens, for prompt and answer together.
        n_gpu_layers: The number of layers that llama.cpp puts on the GPU.
        prefix_cache_bytes: The size of the cache of past prompts in bytes; 0 disables it.
        tool_format: The format of tool calls, if the chat template does not show it.
        batch: The number of requests that share forward passes.
        model_kwargs: Further arguments of the library that loads the weights.
    """

    system: str | None
