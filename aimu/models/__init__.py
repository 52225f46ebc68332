"""What models are: specs, catalogs, model strings. A catalog is imported when its first name is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

# name -> module; the sync clients are named as their catalogs are
_LAZY = {name: module for module, name in CATALOGS.values()} | {
    name.removesuffix("Model") + "Client": "aimu._sync.clients" for _, name in CATALOGS.values()
}

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
