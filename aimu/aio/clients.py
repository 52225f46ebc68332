"""One client class for each provider, for code that names the provider itself."""

from __future__ import annotations

from typing import Any, ClassVar

from aimu.aio.factory import AsyncModelClient
from aimu.errors import InvalidOptionError
from aimu.models.resolve import resolve_model_string
from aimu.models.spec import Model, ModelSpec


def of_provider(model: Any, provider: str) -> Any:
    """The spec of a bare id (`"qwen3:8b"`) or of a model of this provider; what names no model stays as it is."""
    if isinstance(model, str):
        return resolve_model_string(f"{provider}:{model.removeprefix(provider + ':')}")
    spec = model.spec if isinstance(model, Model) else model
    if isinstance(spec, ModelSpec) and spec.provider != provider:
        raise InvalidOptionError(f"{spec} is not a model of {provider!r}; use aimu.client(...), which takes any")
    return model


class _ProviderClient(AsyncModelClient):
    provider_name: ClassVar[str]

    def __init__(self, model: Model | ModelSpec | str | Any, **kwargs: Any) -> None:
        super().__init__(of_provider(model, self.provider_name), **kwargs)


class AsyncAnthropicClient(_ProviderClient):
    """A client for any `AnthropicModel` or an id of `anthropic`, without the prefix."""

    provider_name = "anthropic"


class AsyncGeminiClient(_ProviderClient):
    """A client for any `GeminiModel` or an id of `gemini`, without the prefix."""

    provider_name = "gemini"


class AsyncHFOpenAIClient(_ProviderClient):
    """A client for any `HFOpenAIModel` or an id of `hf-openai`, without the prefix."""

    provider_name = "hf-openai"


class AsyncHuggingFaceClient(_ProviderClient):
    """A client for any `HuggingFaceModel` or an id of `hf`, without the prefix.

    It wraps a sync HuggingFaceClient, whose weights it shares; a model is refused.
    """

    provider_name = "hf"


class AsyncLMStudioClient(_ProviderClient):
    """A client for any `LMStudioModel` or an id of `lmstudio`, without the prefix."""

    provider_name = "lmstudio"


class AsyncLlamaCppClient(_ProviderClient):
    """A client for any `LlamaCppModel` or an id of `llamacpp`, without the prefix.

    It wraps a sync LlamaCppClient, whose weights it shares; a model is refused.
    """

    provider_name = "llamacpp"


class AsyncLlamaServerClient(_ProviderClient):
    """A client for any `LlamaServerModel` or an id of `llamaserver`, without the prefix."""

    provider_name = "llamaserver"


class AsyncOllamaClient(_ProviderClient):
    """A client for any `OllamaModel` or an id of `ollama`, without the prefix."""

    provider_name = "ollama"


class AsyncOllamaOpenAIClient(_ProviderClient):
    """A client for any `OllamaOpenAIModel` or an id of `ollama-openai`, without the prefix."""

    provider_name = "ollama-openai"


class AsyncOpenAIClient(_ProviderClient):
    """A client for any `OpenAIModel` or an id of `openai`, without the prefix."""

    provider_name = "openai"


class AsyncSGLangClient(_ProviderClient):
    """A client for any `SGLangModel` or an id of `sglang`, without the prefix."""

    provider_name = "sglang"


class AsyncVLLMClient(_ProviderClient):
    """A client for any `VLLMModel` or an id of `vllm`, without the prefix."""

    provider_name = "vllm"
