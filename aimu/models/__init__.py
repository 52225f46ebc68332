"""Models and their providers: the table of providers, catalogs, specs, model strings.

A catalog is imported when one of its names is first used.
"""

from typing import TYPE_CHECKING

from aimu._doors import door
from aimu.models._resolve import CATALOGS, PROVIDERS, resolve_model_string
from aimu.models._spec import Model, ModelSpec
from aimu.models._table import TABLE

if TYPE_CHECKING:
    from aimu.engines._cached import LocalModel, local

__all__ = [
    "PROVIDERS",
    "LocalModel",
    "Model",
    "ModelSpec",
    "local",
    "resolve_model_string",
]

# Generated from the table of providers by `python -m aimu._tools.generate`: do not edit.
if TYPE_CHECKING:
    from aimu._sync.clients import (
        AnthropicClient,
        AzureOpenAIClient,
        CerebrasClient,
        DashScopeClient,
        DeepSeekClient,
        FireworksClient,
        GeminiClient,
        GitHubModelsClient,
        GroqClient,
        HFOpenAIClient,
        HuggingFaceClient,
        LlamaCppClient,
        LlamaServerClient,
        LMStudioClient,
        MistralClient,
        MoonshotClient,
        OllamaClient,
        OllamaOpenAIClient,
        OpenAIClient,
        OpenRouterClient,
        SGLangClient,
        TogetherClient,
        VLLMClient,
        XAIClient,
    )
    from aimu.models._anthropic import AnthropicModel
    from aimu.models._gemini import GeminiModel
    from aimu.models._huggingface import HuggingFaceModel
    from aimu.models._llamacpp import LlamaCppModel
    from aimu.models._ollama import OllamaModel
    from aimu.models._openai import OpenAIModel
    from aimu.models._servers import (
        HFOpenAIModel,
        LlamaServerModel,
        LMStudioModel,
        OllamaOpenAIModel,
        SGLangModel,
        VLLMModel,
    )

__all__ += [
    "AnthropicClient",
    "AnthropicModel",
    "AzureOpenAIClient",
    "CerebrasClient",
    "DashScopeClient",
    "DeepSeekClient",
    "FireworksClient",
    "GeminiClient",
    "GeminiModel",
    "GitHubModelsClient",
    "GroqClient",
    "HFOpenAIClient",
    "HFOpenAIModel",
    "HuggingFaceClient",
    "HuggingFaceModel",
    "LMStudioClient",
    "LMStudioModel",
    "LlamaCppClient",
    "LlamaCppModel",
    "LlamaServerClient",
    "LlamaServerModel",
    "MistralClient",
    "MoonshotClient",
    "OllamaClient",
    "OllamaModel",
    "OllamaOpenAIClient",
    "OllamaOpenAIModel",
    "OpenAIClient",
    "OpenAIModel",
    "OpenRouterClient",
    "SGLangClient",
    "SGLangModel",
    "TogetherClient",
    "VLLMClient",
    "VLLMModel",
    "XAIClient",
]
# End of the generated part.

if not TYPE_CHECKING:  # type checkers take the imports above, and report a wrong name
    _catalogs = {name: module for module, name in CATALOGS.values()}
    _clients = [f"{row.stem}Client" for row in TABLE.values()]
    _cached = dict.fromkeys(("LocalModel", "local"), "aimu.engines._cached")
    __getattr__, __dir__ = door(__name__, {**_catalogs, **_cached, **dict.fromkeys(_clients, "aimu._sync.clients")})
