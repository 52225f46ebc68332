"""Providers over HTTP: a pure codec for each wire format, one thin transport, and `make_provider`, which combines them.

Nothing else is imported before the first provider is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models._row import ProviderRow
from aimu.models._spec import ModelSpec
from aimu.models._table import TABLE
from aimu.providers._base import OutputSchema, Provider, ReplyStream, Request

if TYPE_CHECKING:
    from aimu.providers._wire import Codec

__all__ = ["HTTP_PROVIDERS", "OutputSchema", "Provider", "ReplyStream", "Request", "make_provider"]

HTTP_PROVIDERS = tuple(row.name for row in TABLE.values() if row.connection is not None)
"""The names of the providers that `make_provider` can make."""


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
    """Make the provider of a model that is served over HTTP.

    Args:
        spec: The model; its `provider` must be one of `HTTP_PROVIDERS`.
        base_url: The URL of the API. Defaults to the provider's environment variable, then to its usual URL.
        api_key: The API key. Defaults to the provider's environment variable.
        timeout: Seconds without a byte after which a request fails, above 0. Defaults to 600, and 60 to connect.
        http_client: An `httpx2.AsyncClient` to use for all requests; the caller closes it.
        api: Which of OpenAI's APIs to use. Defaults to "responses" for its reasoning models, else to "chat".
        keep_alive: How long Ollama keeps the model loaded after an answer: "5m", a number of seconds, or -1 for ever.

    Returns:
        The provider; it has sent nothing yet.

    Raises:
        UnknownProviderError: There is no such provider, or its models run in this process.
        InvalidOptionError: An argument is invalid or does not apply to this provider, or an environment variable
            names a proxy or certificates that cannot be used.
        MissingExtraError: The vendor's package is not installed.
        MissingKeyError: The provider needs an API key and has none.
    """
    row = TABLE.get(spec.provider)
    if row is None or row.connection is None:
        raise UnknownProviderError(spec.provider, HTTP_PROVIDERS)
    if api is not None and (not row.responses or api not in ("chat", "responses")):
        both = ", ".join(repr(other.name) for other in TABLE.values() if other.responses)
        raise InvalidOptionError(f"api= must be 'chat' or 'responses', and applies to {both} only; got {api!r}")
    if keep_alive is not None and row.wire != "ollama":
        raise InvalidOptionError(f"keep_alive= is an option of the provider 'ollama', not of {row.name!r}")

    from aimu.providers import _vendors as vendors
    from aimu.providers._environment import check_environment
    from aimu.providers._transport import HttpProvider

    client = vendors.checked_client(http_client)
    if client is None:
        check_environment()
    timeout = vendors.checked_read_timeout(timeout)
    connect = vendors.connect(row.name, row.connection, base_url=base_url, api_key=api_key)
    if row.wire == "ollama":
        from aimu.providers._ollama import OllamaCodec, OllamaProvider

        return OllamaProvider(OllamaCodec(spec, keep_alive=keep_alive), connect, timeout=timeout, http_client=client)
    return HttpProvider(_codec(row, spec, api), connect, timeout=timeout, http_client=client)


def _codec(row: ProviderRow, spec: ModelSpec, api: str | None) -> Codec:
    if row.wire == "anthropic":
        from aimu.providers._anthropic import AnthropicCodec

        return AnthropicCodec(spec)
    from aimu.providers._openai_chat import ChatCodec
    from aimu.providers._openai_reasoning import is_reasoning_model
    from aimu.providers._openai_responses import ResponsesCodec

    if api is None and row.responses and is_reasoning_model(spec.id):
        api = "responses"
    return ResponsesCodec(spec) if api == "responses" else ChatCodec(spec, row)
