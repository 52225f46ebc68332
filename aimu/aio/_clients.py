"""Generated from the table of providers by `python -m aimu._tools.generate`: do not edit.

One async client class for each provider.
"""

from __future__ import annotations

from aimu.aio._provider_client import AsyncProviderClient


class AsyncAnthropicClient(AsyncProviderClient):
    """A client for Anthropic.

    Args:
        model: A member of `AnthropicModel`, or the id of a model, without the prefix `anthropic:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "anthropic"


class AsyncGeminiClient(AsyncProviderClient):
    """A client for Gemini.

    Args:
        model: A member of `GeminiModel`, or the id of a model, without the prefix `gemini:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "gemini"


class AsyncHFOpenAIClient(AsyncProviderClient):
    """A client for transformers serve.

    Args:
        model: A member of `HFOpenAIModel`, or the id of a model, without the prefix `hf-openai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "hf-openai"


class AsyncHuggingFaceClient(AsyncProviderClient):
    """A client for Hugging Face models that shares the weights of a sync client.

    Args:
        model: The `HuggingFaceClient` to wrap. A model raises `WeightsLoadedTwiceError`.
        **kwargs: None are accepted; set options on the sync client.
    """

    provider_name = "hf"


class AsyncLlamaCppClient(AsyncProviderClient):
    """A client for GGUF models that shares the weights of a sync client.

    Args:
        model: The `LlamaCppClient` to wrap. A model raises `WeightsLoadedTwiceError`.
        **kwargs: None are accepted; set options on the sync client.
    """

    provider_name = "llamacpp"


class AsyncLlamaServerClient(AsyncProviderClient):
    """A client for llama.cpp's llama-server.

    Args:
        model: A member of `LlamaServerModel`, or the id of a model, without the prefix `llamaserver:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "llamaserver"


class AsyncLMStudioClient(AsyncProviderClient):
    """A client for LM Studio.

    Args:
        model: A member of `LMStudioModel`, or the id of a model, without the prefix `lmstudio:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "lmstudio"


class AsyncOllamaClient(AsyncProviderClient):
    """A client for Ollama.

    Args:
        model: A member of `OllamaModel`, or the id of a model, without the prefix `ollama:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "ollama"


class AsyncOllamaOpenAIClient(AsyncProviderClient):
    """A client for Ollama's OpenAI-compatible endpoint.

    Args:
        model: A member of `OllamaOpenAIModel`, or the id of a model, without the prefix `ollama-openai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "ollama-openai"


class AsyncOpenAIClient(AsyncProviderClient):
    """A client for OpenAI.

    Args:
        model: A member of `OpenAIModel`, or the id of a model, without the prefix `openai:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "openai"


class AsyncSGLangClient(AsyncProviderClient):
    """A client for SGLang.

    Args:
        model: A member of `SGLangModel`, or the id of a model, without the prefix `sglang:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "sglang"


class AsyncVLLMClient(AsyncProviderClient):
    """A client for vLLM.

    Args:
        model: A member of `VLLMModel`, or the id of a model, without the prefix `vllm:`.
        **kwargs: The options of `AsyncModelClient`.
    """

    provider_name = "vllm"
