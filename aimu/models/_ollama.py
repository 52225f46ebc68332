"""Models of the Ollama library: facts only. Capabilities are the tags that the library shows for a model."""

from aimu._doors import public
from aimu.models._spec import Model, ModelSpec


def _ollama(
    id: str, *, tools: bool | None = True, thinking: bool | None = False, vision: bool | None = False
) -> ModelSpec:
    source = f"https://ollama.com/library/{id.partition(':')[0]}"
    return ModelSpec(id, "ollama", tools=tools, thinking=thinking, vision=vision, source=source)


@public("aimu.models")
class OllamaModel(Model):
    """Models of the Ollama library."""

    QWEN_3_5_9B = _ollama("qwen3.5:9b", thinking=True, vision=True)
    QWEN_3_5_4B = _ollama("qwen3.5:4b", thinking=True, vision=True)
    QWEN_3_8B = _ollama("qwen3:8b", thinking=True)
    QWEN_3_0_6B = _ollama("qwen3:0.6b", thinking=True)
    QWEN_3_VL_8B = _ollama("qwen3-vl:8b", thinking=True, vision=True)
    QWEN_2_5_7B = _ollama("qwen2.5:7b")
    GPT_OSS_20B = _ollama("gpt-oss:20b", thinking=True)
    LLAMA_3_3_70B = _ollama("llama3.3:70b")
    LLAMA_3_1_8B = _ollama("llama3.1:8b")
    LLAMA_3_2_3B = _ollama("llama3.2:3b")
    MISTRAL_7B = _ollama("mistral:7b")
    GEMMA_3_4B = _ollama("gemma3:4b", tools=False, vision=True)
    PHI_4_14B = _ollama("phi4:14b", tools=False)
    DEEPSEEK_R1_8B = _ollama("deepseek-r1:8b", tools=None, thinking=True)
