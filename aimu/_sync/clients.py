"""One sync client class for each provider, for code that names the provider itself."""

from __future__ import annotations

from typing import Any, ClassVar

from aimu._sync.client import ModelClient
from aimu._sync.twin import twin_of
from aimu.aio import clients
from aimu.models.spec import Model, ModelSpec


class _ProviderClient(ModelClient):
    provider_name: ClassVar[str]

    def __init__(self, model: Model | ModelSpec | str, **kwargs: Any) -> None:
        super().__init__(clients.of_provider(model, self.provider_name), **kwargs)


@twin_of(clients.AsyncAnthropicClient)
class AnthropicClient(_ProviderClient):
    """A client for any `AnthropicModel` or an id of `anthropic`, without the prefix."""

    provider_name = "anthropic"


@twin_of(clients.AsyncGeminiClient)
class GeminiClient(_ProviderClient):
    """A client for any `GeminiModel` or an id of `gemini`, without the prefix."""

    provider_name = "gemini"


@twin_of(clients.AsyncHFOpenAIClient)
class HFOpenAIClient(_ProviderClient):
    """A client for any `HFOpenAIModel` or an id of `hf-openai`, without the prefix."""

    provider_name = "hf-openai"


@twin_of(clients.AsyncHuggingFaceClient)
class HuggingFaceClient(_ProviderClient):
    """A client for any `HuggingFaceModel` or an id of `hf`, without the prefix.

    The weights are loaded here, once, in this process.
    """

    provider_name = "hf"


@twin_of(clients.AsyncLMStudioClient)
class LMStudioClient(_ProviderClient):
    """A client for any `LMStudioModel` or an id of `lmstudio`, without the prefix."""

    provider_name = "lmstudio"


@twin_of(clients.AsyncLlamaCppClient)
class LlamaCppClient(_ProviderClient):
    """A client for any `LlamaCppModel` or an id of `llamacpp`, without the prefix.

    The weights are loaded here, once, in this process.
    """

    provider_name = "llamacpp"


@twin_of(clients.AsyncLlamaServerClient)
class LlamaServerClient(_ProviderClient):
    """A client for any `LlamaServerModel` or an id of `llamaserver`, without the prefix."""

    provider_name = "llamaserver"


@twin_of(clients.AsyncOllamaClient)
class OllamaClient(_ProviderClient):
    """A client for any `OllamaModel` or an id of `ollama`, without the prefix."""

    provider_name = "ollama"


@twin_of(clients.AsyncOllamaOpenAIClient)
class OllamaOpenAIClient(_ProviderClient):
    """A client for any `OllamaOpenAIModel` or an id of `ollama-openai`, without the prefix."""

    provider_name = "ollama-openai"


@twin_of(clients.AsyncOpenAIClient)
class OpenAIClient(_ProviderClient):
    """A client for any `OpenAIModel` or an id of `openai`, without the prefix."""

    provider_name = "openai"


@twin_of(clients.AsyncSGLangClient)
class SGLangClient(_ProviderClient):
    """A client for any `SGLangModel` or an id of `sglang`, without the prefix."""

    provider_name = "sglang"


@twin_of(clients.AsyncVLLMClient)
class VLLMClient(_ProviderClient):
    """A client for any `VLLMModel` or an id of `vllm`, without the prefix."""

    provider_name = "vllm"
