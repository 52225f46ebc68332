"""What models are: specs, catalogs, model strings. A catalog is imported when its first name is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aimu.models.resolve import CATALOGS, PROVIDERS, resolve_model_string
from aimu.models.spec import Model, ModelSpec

if TYPE_CHECKING:
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
    "AnthropicModel",
    "GeminiModel",
    "HFOpenAIModel",
    "HuggingFaceModel",
    "LMStudioModel",
    "LlamaCppModel",
    "LlamaServerModel",
    "Model",
    "ModelSpec",
    "OllamaModel",
    "OllamaOpenAIModel",
    "OpenAIModel",
    "SGLangModel",
    "VLLMModel",
    "resolve_model_string",
]

# name -> module; a name that is re-exported lazily is added here, above, and to `__all__`
_LAZY = {name: module for module, name in CATALOGS.values()}

if not TYPE_CHECKING:  # type checkers take the imports above, and see a wrong name as wrong

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
