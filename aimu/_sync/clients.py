"""Generated from the table of providers by `python -m aimu._tools.generate`: do not edit.

One sync client class for each provider.
"""

from __future__ import annotations

from aimu._doors import public
from aimu._sync.provider_client import ProviderClient
from aimu._sync.twin import twin_of
from aimu.aio import _clients as clients


@public("aimu.models")
@twin_of(clients.AsyncAnthropicClient)
class AnthropicClient(ProviderClient):
    """A client for Anthropic.

    Args:
        model: A member of `AnthropicModel`, or the id of a model, without the prefix `anthropic:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "anthropic"


@public("aimu.models")
@twin_of(clients.AsyncAzureOpenAIClient)
class AzureOpenAIClient(ProviderClient):
    """A client for Azure OpenAI.

    Args:
        model: The id of a model, without the prefix `azure:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "azure"


@public("aimu.models")
@twin_of(clients.AsyncCerebrasClient)
class CerebrasClient(ProviderClient):
    """A client for Cerebras.

    Args:
        model: The id of a model, without the prefix `cerebras:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "cerebras"


@public("aimu.models")
@twin_of(clients.AsyncDashScopeClient)
class DashScopeClient(ProviderClient):
    """A client for Alibaba Cloud Model Studio (DashScope).

    Args:
        model: The id of a model, without the prefix `dashscope:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "dashscope"


@public("aimu.models")
@twin_of(clients.AsyncDeepSeekClient)
class DeepSeekClient(ProviderClient):
    """A client for DeepSeek.

    Args:
        model: The id of a model, without the prefix `deepseek:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "deepseek"


@public("aimu.models")
@twin_of(clients.AsyncFireworksClient)
class FireworksClient(ProviderClient):
    """A client for Fireworks AI.

    Args:
        model: The id of a model, without the prefix `fireworks:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "fireworks"


@public("aimu.models")
@twin_of(clients.AsyncGeminiClient)
class GeminiClient(ProviderClient):
    """A client for Gemini.

    Args:
        model: A member of `GeminiModel`, or the id of a model, without the prefix `gemini:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "gemini"


@public("aimu.models")
@twin_of(clients.AsyncGitHubModelsClient)
class GitHubModelsClient(ProviderClient):
    """A client for GitHub Models.

    Args:
        model: The id of a model, without the prefix `github-models:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "github-models"


@public("aimu.models")
@twin_of(clients.AsyncGroqClient)
class GroqClient(ProviderClient):
    """A client for Groq.

    Args:
        model: The id of a model, without the prefix `groq:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "groq"


@public("aimu.models")
@twin_of(clients.AsyncHFOpenAIClient)
class HFOpenAIClient(ProviderClient):
    """A client for transformers serve.

    Args:
        model: A member of `HFOpenAIModel`, or the id of a model, without the prefix `hf-openai:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "hf-openai"


@public("aimu.models")
@twin_of(clients.AsyncHuggingFaceClient)
class HuggingFaceClient(ProviderClient):
    """A client for Hugging Face models, which loads their weights into this process.

    Args:
        model: A member of `HuggingFaceModel`, or the id of a model, without the prefix `hf:`.
        **kwargs: The options of `ModelClient` and of `HuggingFaceEngine`.
    """

    provider_name = "hf"


@public("aimu.models")
@twin_of(clients.AsyncLlamaCppClient)
class LlamaCppClient(ProviderClient):
    """A client for GGUF models, which loads their weights into this process.

    Args:
        model: A member of `LlamaCppModel`, or the id of a model, without the prefix `llamacpp:`.
        **kwargs: The options of `ModelClient` and of `LlamaCppEngine`.
    """

    provider_name = "llamacpp"


@public("aimu.models")
@twin_of(clients.AsyncLlamaServerClient)
class LlamaServerClient(ProviderClient):
    """A client for llama.cpp's llama-server.

    Args:
        model: A member of `LlamaServerModel`, or the id of a model, without the prefix `llamaserver:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "llamaserver"


@public("aimu.models")
@twin_of(clients.AsyncLMStudioClient)
class LMStudioClient(ProviderClient):
    """A client for LM Studio.

    Args:
        model: A member of `LMStudioModel`, or the id of a model, without the prefix `lmstudio:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "lmstudio"


@public("aimu.models")
@twin_of(clients.AsyncMistralClient)
class MistralClient(ProviderClient):
    """A client for Mistral AI.

    Args:
        model: The id of a model, without the prefix `mistral:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "mistral"


@public("aimu.models")
@twin_of(clients.AsyncMoonshotClient)
class MoonshotClient(ProviderClient):
    """A client for Moonshot AI (Kimi).

    Args:
        model: The id of a model, without the prefix `moonshot:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "moonshot"


@public("aimu.models")
@twin_of(clients.AsyncOllamaClient)
class OllamaClient(ProviderClient):
    """A client for Ollama.

    Args:
        model: A member of `OllamaModel`, or the id of a model, without the prefix `ollama:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "ollama"


@public("aimu.models")
@twin_of(clients.AsyncOllamaOpenAIClient)
class OllamaOpenAIClient(ProviderClient):
    """A client for Ollama's OpenAI-compatible endpoint.

    Args:
        model: A member of `OllamaOpenAIModel`, or the id of a model, without the prefix `ollama-openai:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "ollama-openai"


@public("aimu.models")
@twin_of(clients.AsyncOpenAIClient)
class OpenAIClient(ProviderClient):
    """A client for OpenAI.

    Args:
        model: A member of `OpenAIModel`, or the id of a model, without the prefix `openai:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "openai"


@public("aimu.models")
@twin_of(clients.AsyncOpenRouterClient)
class OpenRouterClient(ProviderClient):
    """A client for OpenRouter.

    Args:
        model: The id of a model, without the prefix `openrouter:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "openrouter"


@public("aimu.models")
@twin_of(clients.AsyncSGLangClient)
class SGLangClient(ProviderClient):
    """A client for SGLang.

    Args:
        model: A member of `SGLangModel`, or the id of a model, without the prefix `sglang:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "sglang"


@public("aimu.models")
@twin_of(clients.AsyncTogetherClient)
class TogetherClient(ProviderClient):
    """A client for Together AI.

    Args:
        model: The id of a model, without the prefix `together:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "together"


@public("aimu.models")
@twin_of(clients.AsyncVLLMClient)
class VLLMClient(ProviderClient):
    """A client for vLLM.

    Args:
        model: A member of `VLLMModel`, or the id of a model, without the prefix `vllm:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "vllm"


@public("aimu.models")
@twin_of(clients.AsyncXAIClient)
class XAIClient(ProviderClient):
    """A client for xAI.

    Args:
        model: The id of a model, without the prefix `xai:`.
        **kwargs: The options of `ModelClient`.
    """

    provider_name = "xai"
