"""What models are: specs, catalogs, model strings. A catalog is imported when its first name is used."""

from typing import TYPE_CHECKING

from aimu._doors import door
from aimu.models.resolve import CATALOGS, PROVIDERS, resolve_model_string
from aimu.models.spec import Model, ModelSpec

if TYPE_CHECKING:
    from aimu._sync.clients import (
        AnthropicClient,
        GeminiClient,
        HFOpenAIClient,
        HuggingFaceClient,
        LlamaCppClient,
        LlamaServerClient,
        LMStudioClient,
        OllamaClient,
        OllamaOpenAIClient,
        OpenAIClient,
        SGLangClient,
        VLLMClient,
    )
    from aimu.models.anthropic import AnthropicModel
    from aimu.models.gemini import GeminiModel
    from aimu.models.huggingface import HuggingFaceModel
    from aimu.models.llamacpp import LlamaCppModel
    from aimu.models.ollama import OllamaModel
    from aimu.models.openai import OpenAIModel
    from aimu.models.servers import (
        HFOpenAIModel,
        LlamaServerModel,
        LMStudioModel,
        OllamaOpenAIModel,
        SGLangModel,
        VLLMModel,
    )

__all__ = [
    "PROVIDERS",
    "AnthropicClient",
    "AnthropicModel",
    "GeminiClient",
    "GeminiModel",
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
    "Model",
    "ModelSpec",
    "OllamaClient",
    "OllamaModel",
    "OllamaOpenAIClient",
    "OllamaOpenAIModel",
    "OpenAIClient",
    "OpenAIModel",
    "SGLangClient",
    "SGLangModel",
    "VLLMClient",
    "VLLMModel",
    "resolve_model_string",
]

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong
    _catalogs = {name: module for module, name in CATALOGS.values()}
    # The sync clients are named as their catalogs are.
    _clients = [name.removesuffix("Model") + "Client" for name in _catalogs]
    __getattr__, __dir__ = door(__name__, {**_catalogs, **dict.fromkeys(_clients, "aimu._sync.clients")})
