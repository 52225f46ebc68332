"""The keyword arguments of clients, as type checkers see them."""

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
    """What `client` takes beside the model and the system message."""

    tools: Sequence[ToolLike]
    mcp_client: ToolServer | Sequence[ToolServer] | None
    generate_kwargs: Mapping[str, Any] | None
    max_tool_rounds: int
    concurrent_tool_calls: bool | int
    max_retries: int
    max_concurrency: int | None
    limits: Limits | None
    # of providers over HTTP
    base_url: str | None
    api_key: str | None
    timeout: float | None
    http_client: httpx2.AsyncClient | None
    api: Literal["chat", "responses"] | None
    keep_alive: str | float | None
    # of models in this process; only the sync clients load them
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
        mcp_client: An MCP client, or a list of them, beside `tools`.
        generate_kwargs: Options of every request.
        max_tool_rounds: How many model requests of one `chat` may call tools, at least 1.
        concurrent_tool_calls: Whether the calls of one reply overlap; a number lets at most so many.
        max_retries: Attempts after the first that fails for a reason that may pass.
        max_concurrency: How many requests of this provider may be in flight, at least 1; None for no bound.
        limits: A cap that several clients share.
        base_url: The URL of the API.
        api_key: The API key; by default that of the provider's environment variable.
        timeout: Seconds without a byte after which a request fails, above 0.
        http_client: The HTTP client to use for all requests; the caller closes it.
        api: Which of OpenAI's APIs to use.
        keep_alive: How long Ollama keeps the model loaded.
        lazy: Whether weights are loaded at the first request instead of now.
        model_path: The GGUF file.
        device: Where the weights go, in torch's words.
        dtype: The type of the weights, in torch's words.
        threads: Threads of the engine.
        n_ctx: Tokens of context, prompt and answer together.
        n_gpu_layers: Layers that llama.cpp puts on the GPU.
        prefix_cache_bytes: Bytes kept of past prompts; 0 keeps nothing.
        tool_format: The format of tool calls, where the template does not tell.
        batch: How many requests share forward passes.
        model_kwargs: Further arguments of the library that loads the weights.
    """

    system: str | None
