"""Models of OpenAI-compatible servers: models of the other catalogs, under the ids that each server uses.

Whoever starts a server decides which models it has and which capabilities are enabled. Ids that are not listed here
work as well.
"""

from attrs import evolve

from aimu._doors import public
from aimu.models._huggingface import HuggingFaceModel
from aimu.models._llamacpp import LlamaCppModel
from aimu.models._ollama import OllamaModel
from aimu.models._spec import Model, ModelSpec


def _served(provider: str, model: Model, id: str | None = None, *, vision: bool | None = None) -> ModelSpec:
    spec = model.spec
    return evolve(spec, provider=provider, id=id or spec.id, vision=spec.vision if vision is None else vision)


@public("aimu.models")
class OllamaOpenAIModel(Model):
    """Ollama's /v1 endpoint (https://docs.ollama.com/api/openai-compatibility)."""

    QWEN_3_5_9B = _served("ollama-openai", OllamaModel.QWEN_3_5_9B)
    QWEN_3_8B = _served("ollama-openai", OllamaModel.QWEN_3_8B)
    GPT_OSS_20B = _served("ollama-openai", OllamaModel.GPT_OSS_20B)
    LLAMA_3_1_8B = _served("ollama-openai", OllamaModel.LLAMA_3_1_8B)
    MISTRAL_7B = _served("ollama-openai", OllamaModel.MISTRAL_7B)


@public("aimu.models")
class LMStudioModel(Model):
    """LM Studio (https://lmstudio.ai/models)."""

    QWEN_3_8B = _served("lmstudio", HuggingFaceModel.QWEN_3_8B, "qwen/qwen3-8b")
    QWEN_3_4B = _served("lmstudio", HuggingFaceModel.QWEN_3_4B, "qwen/qwen3-4b")
    GPT_OSS_20B = _served("lmstudio", HuggingFaceModel.GPT_OSS_20B, "openai/gpt-oss-20b")


@public("aimu.models")
class VLLMModel(Model):
    """vLLM (https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html)."""

    LLAMA_3_1_8B = _served("vllm", HuggingFaceModel.LLAMA_3_1_8B)
    LLAMA_3_3_70B = _served("vllm", HuggingFaceModel.LLAMA_70B)
    QWEN_3_8B = _served("vllm", HuggingFaceModel.QWEN_3_8B)
    QWEN_2_5_7B = _served("vllm", HuggingFaceModel.QWEN_2_5_7B)
    GPT_OSS_20B = _served("vllm", HuggingFaceModel.GPT_OSS_20B)


@public("aimu.models")
class SGLangModel(Model):
    """SGLang (https://docs.sglang.ai/basic_usage/openai_api.html)."""

    LLAMA_3_1_8B = _served("sglang", HuggingFaceModel.LLAMA_3_1_8B)
    LLAMA_3_3_70B = _served("sglang", HuggingFaceModel.LLAMA_70B)
    QWEN_3_8B = _served("sglang", HuggingFaceModel.QWEN_3_8B)
    QWEN_2_5_7B = _served("sglang", HuggingFaceModel.QWEN_2_5_7B)
    GPT_OSS_20B = _served("sglang", HuggingFaceModel.GPT_OSS_20B)


@public("aimu.models")
class LlamaServerModel(Model):
    """llama.cpp's llama-server (https://github.com/ggml-org/llama.cpp/tree/master/tools/server)."""

    QWEN_3_8B = _served("llamaserver", LlamaCppModel.QWEN_3_8B)
    GPT_OSS_20B = _served("llamaserver", LlamaCppModel.GPT_OSS_20B)
    GEMMA_3_4B = _served("llamaserver", LlamaCppModel.GEMMA_3_4B, vision=True)
    LLAMA_3_1_8B = _served("llamaserver", LlamaCppModel.LLAMA_3_1_8B)


@public("aimu.models")
class HFOpenAIModel(Model):
    """`transformers serve` (https://huggingface.co/docs/transformers/serving)."""

    LLAMA_3_1_8B = _served("hf-openai", HuggingFaceModel.LLAMA_3_1_8B)
    QWEN_3_8B = _served("hf-openai", HuggingFaceModel.QWEN_3_8B)
    QWEN_3_0_6B = _served("hf-openai", HuggingFaceModel.QWEN_3_0_6B)
    QWEN_2_5_7B = _served("hf-openai", HuggingFaceModel.QWEN_2_5_7B)
    SMOLLM_3_3B = _served("hf-openai", HuggingFaceModel.SMOLLM_3_3B)
