"""Generated from the table of providers by `python -m aimu._tools.generate`: do not edit.

One async client class for each provider.
"""

from __future__ import annotations

from aimu._doors import public
from aimu.aio._provider_client import AsyncProviderClient


@public("aimu.aio")
class AsyncAnthropicClient(AsyncProviderClient):
    """A client for Anthropic.

    Args:
        model: A member of `AnthropicModel`, or the id of a model, without the prefix `anthropic:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "anthropic"


@public("aimu.aio")
class AsyncAzureOpenAIClient(AsyncProviderClient):
    """A client for Azure OpenAI.

    Args:
        model: The id of a model, without the prefix `azure:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "azure"


@public("aimu.aio")
class AsyncCerebrasClient(AsyncProviderClient):
    """A client for Cerebras.

    Args:
        model: The id of a model, without the prefix `cerebras:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "cerebras"


@public("aimu.aio")
class AsyncDashScopeClient(AsyncProviderClient):
    """A client for Alibaba Cloud Model Studio (DashScope).

    Args:
        model: The id of a model, without the prefix `dashscope:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "dashscope"


@public("aimu.aio")
class AsyncDeepSeekClient(AsyncProviderClient):
    """A client for DeepSeek.

    Args:
        model: The id of a model, without the prefix `deepseek:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "deepseek"


@public("aimu.aio")
class AsyncFireworksClient(AsyncProviderClient):
    """A client for Fireworks AI.

    Args:
        model: The id of a model, without the prefix `fireworks:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "fireworks"


@public("aimu.aio")
class AsyncGeminiClient(AsyncProviderClient):
    """A client for Gemini.

    Args:
        model: A member of `GeminiModel`, or the id of a model, without the prefix `gemini:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "gemini"


@public("aimu.aio")
class AsyncGitHubModelsClient(AsyncProviderClient):
    """A client for GitHub Models.

    Args:
        model: The id of a model, without the prefix `github-models:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "github-models"


@public("aimu.aio")
class AsyncGroqClient(AsyncProviderClient):
    """A client for Groq.

    Args:
        model: The id of a model, without the prefix `groq:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "groq"


@public("aimu.aio")
class AsyncHFOpenAIClient(AsyncProviderClient):
    """A client for transformers serve.

    Args:
        model: A member of `HFOpenAIModel`, or the id of a model, without the prefix `hf-openai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "hf-openai"


@public("aimu.aio")
class AsyncHuggingFaceClient(AsyncProviderClient):
    """A client for Hugging Face models that shares the weights of a sync client.

    Args:
        model: The `HuggingFaceClient` to wrap. A model raises `WeightsLoadedTwiceError`.
        **kwargs: None are accepted; set options on the sync client.
    """

    provider_name = "hf"


@public("aimu.aio")
class AsyncLlamaCppClient(AsyncProviderClient):
    """A client for GGUF models that shares the weights of a sync client.

    Args:
        model: The `LlamaCppClient` to wrap. A model raises `WeightsLoadedTwiceError`.
        **kwargs: None are accepted; set options on the sync client.
    """

    provider_name = "llamacpp"


@public("aimu.aio")
class AsyncLlamaServerClient(AsyncProviderClient):
    """A client for llama.cpp's llama-server.

    Args:
        model: A member of `LlamaServerModel`, or the id of a model, without the prefix `llamaserver:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "llamaserver"


@public("aimu.aio")
class AsyncLMStudioClient(AsyncProviderClient):
    """A client for LM Studio.

    Args:
        model: A member of `LMStudioModel`, or the id of a model, without the prefix `lmstudio:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "lmstudio"


@public("aimu.aio")
class AsyncMistralClient(AsyncProviderClient):
    """A client for Mistral AI.

    Args:
        model: The id of a model, without the prefix `mistral:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "mistral"


@public("aimu.aio")
class AsyncMoonshotClient(AsyncProviderClient):
    """A client for Moonshot AI (Kimi).

    Args:
        model: The id of a model, without the prefix `moonshot:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "moonshot"


@public("aimu.aio")
class AsyncOllamaClient(AsyncProviderClient):
    """A client for Ollama.

    Args:
        model: A member of `OllamaModel`, or the id of a model, without the prefix `ollama:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "ollama"


@public("aimu.aio")
class AsyncOllamaOpenAIClient(AsyncProviderClient):
    """A client for Ollama's OpenAI-compatible endpoint.

    Args:
        model: A member of `OllamaOpenAIModel`, or the id of a model, without the prefix `ollama-openai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "ollama-openai"


@public("aimu.aio")
class AsyncOpenAIClient(AsyncProviderClient):
    """A client for OpenAI.

    Args:
        model: A member of `OpenAIModel`, or the id of a model, without the prefix `openai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "openai"


@public("aimu.aio")
class AsyncOpenRouterClient(AsyncProviderClient):
    """A client for OpenRouter.

    Args:
        model: The id of a model, without the prefix `openrouter:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "openrouter"


@public("aimu.aio")
class AsyncSGLangClient(AsyncProviderClient):
    """A client for SGLang.

    Args:
        model: A member of `SGLangModel`, or the id of a model, without the prefix `sglang:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "sglang"


@public("aimu.aio")
class AsyncTogetherClient(AsyncProviderClient):
    """A client for Together AI.

    Args:
        model: The id of a model, without the prefix `together:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "together"


@public("aimu.aio")
class AsyncVLLMClient(AsyncProviderClient):
    """A client for vLLM.

    Args:
        model: A member of `VLLMModel`, or the id of a model, without the prefix `vllm:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "vllm"


@public("aimu.aio")
class AsyncXAIClient(AsyncProviderClient):
    """A client for xAI.

    Args:
        model: The id of a model, without the prefix `xai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "xai"
