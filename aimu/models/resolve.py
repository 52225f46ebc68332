"""From what a user writes to a ModelSpec: model strings, catalog members, specs.

Owns the list of providers and which catalog belongs to each; a catalog is imported when it is first asked. Makes no
client and knows no wire format.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from aimu.errors import InvalidOptionError, UnknownProviderError
from aimu.models.spec import Model, ModelSpec

# provider -> (module, enum) of its catalog
CATALOGS = {
    "anthropic": ("aimu.models.anthropic", "AnthropicModel"),
    "openai": ("aimu.models.openai", "OpenAIModel"),
    "gemini": ("aimu.models.gemini", "GeminiModel"),
    "ollama": ("aimu.models.ollama", "OllamaModel"),
    "ollama-openai": ("aimu.models.servers", "OllamaOpenAIModel"),
    "lmstudio": ("aimu.models.servers", "LMStudioModel"),
    "vllm": ("aimu.models.servers", "VLLMModel"),
    "sglang": ("aimu.models.servers", "SGLangModel"),
    "llamaserver": ("aimu.models.servers", "LlamaServerModel"),
    "hf-openai": ("aimu.models.servers", "HFOpenAIModel"),
    "hf": ("aimu.models.huggingface", "HuggingFaceModel"),
    "llamacpp": ("aimu.models.llamacpp", "LlamaCppModel"),
}
PROVIDERS = tuple(CATALOGS)
# The providers whose weights live in this process.
IN_PROCESS = frozenset({"hf", "llamacpp"})


def resolve_model_string(model: str) -> ModelSpec:
    """The spec that `"provider:model_id"` names, split at the first colon.

    An id that the provider's catalog does not have is accepted, with unknown capabilities. Raises UnknownProviderError
    where the provider is missing or none of `PROVIDERS`, InvalidOptionError where the id is empty.
    """
    provider, _, model_id = model.partition(":")
    if provider not in CATALOGS:
        raise UnknownProviderError(provider, PROVIDERS)
    if not model_id.strip():
        raise InvalidOptionError(f"model string {model!r} names no model; expected '{provider}:model_id'")
    return _specs(provider).get(model_id) or ModelSpec(model_id, provider)


def resolve(model: str | Model | ModelSpec) -> ModelSpec:
    """The spec of a model string, a catalog member or a spec; InvalidOptionError for anything else."""
    if isinstance(model, str):
        return resolve_model_string(model)
    if isinstance(model, Model):
        return model.spec
    if isinstance(model, ModelSpec):
        return model
    raise InvalidOptionError(
        f"a model is a string 'provider:model_id', a Model or a ModelSpec, not {type(model).__name__}"
    )


@cache
def _specs(provider: str) -> dict[str, ModelSpec]:
    module, name = CATALOGS[provider]
    catalog: type[Model] = getattr(import_module(module), name)
    return {member.id: member.spec for member in catalog}
