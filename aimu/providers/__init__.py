"""One file per wire format, a pure codec each; one thin transport; `make_provider` puts them together.

Nothing is imported here before a provider is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models.spec import ModelSpec

if TYPE_CHECKING:
    from aimu.providers.base import Provider

HTTP_PROVIDERS = (
    "anthropic",
    "openai",
    "gemini",
    "ollama",
    "ollama-openai",
    "lmstudio",
    "vllm",
    "sglang",
    "llamaserver",
    "hf-openai",
)


def make_provider(
    spec: ModelSpec,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout: float | None = None,
    http_client: Any = None,
    api: Literal["chat", "responses"] | None = None,
    keep_alive: str | float | None = None,
) -> Provider:
    """The provider of a model that is served over HTTP.

    `timeout` is seconds without a byte; `http_client` an `httpx2.AsyncClient` that stays the caller's to close; `api`
    forces one of OpenAI's two (by default its reasoning models get "responses", all others "chat"); `keep_alive` is
    Ollama's. Raises MissingExtraError, MissingKeyError, InvalidOptionError; UnknownProviderError for models that run
    in this process.
    """
    name = spec.provider
    if name not in HTTP_PROVIDERS:
        raise UnknownProviderError(name, HTTP_PROVIDERS)
    if api is not None and (name != "openai" or api not in ("chat", "responses")):
        raise InvalidOptionError("api= is 'chat' or 'responses', and for the provider 'openai' only")
    if keep_alive is not None and name != "ollama":
        raise InvalidOptionError("keep_alive= is for the provider 'ollama' only")

    from aimu.providers import vendors
    from aimu.providers.transport import HttpProvider
    from aimu.providers.wire import Codec

    codec: Codec
    client = vendors.checked_client(http_client)
    timeout = vendors.checked_timeout(timeout)
    if name == "ollama":
        from aimu.providers.ollama import OllamaCodec, OllamaProvider

        connect = vendors.ollama(base_url=base_url, api_key=api_key)
        codec = OllamaCodec(spec, keep_alive=keep_alive)
        return OllamaProvider(codec, connect, timeout=timeout, http_client=client)
    if name == "anthropic":
        from aimu.providers.anthropic import AnthropicCodec

        codec = AnthropicCodec(spec)
        connect = vendors.anthropic(base_url=base_url, api_key=api_key)
        return HttpProvider(codec, connect, timeout=timeout, http_client=client)

    from aimu.providers.openai_chat import ChatCodec
    from aimu.providers.openai_compatible import SERVERS, is_reasoning_model
    from aimu.providers.openai_responses import ResponsesCodec

    server = SERVERS[name]
    responses = api == "responses" or (api is None and name == "openai" and is_reasoning_model(spec.id))
    codec = ResponsesCodec(spec) if responses else ChatCodec(spec, server)
    connect = vendors.openai(server, base_url=base_url, api_key=api_key)
    return HttpProvider(codec, connect, timeout=timeout, http_client=client)
