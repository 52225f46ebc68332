"""GGUF repositories on the Hugging Face Hub for the engine `llamacpp`: facts only, from the model cards.

An id is a repository; `model_path=` selects one of its files. The path of a .gguf file is also accepted as an id. The
engine accepts text only, so `vision` is always False.
"""

from aimu._doors import public
from aimu.models._spec import Model, ModelSpec


def _gguf(id: str, *, tools: bool | None = True, thinking: bool | None = False) -> ModelSpec:
    source = f"https://huggingface.co/{id}"
    return ModelSpec(id, "llamacpp", tools=tools, thinking=thinking, vision=False, source=source)


@public("aimu.models")
class LlamaCppModel(Model):
    """GGUF repositories of the Hugging Face Hub."""

    QWEN_3_8B = _gguf("Qwen/Qwen3-8B-GGUF", thinking=True)
    QWEN_3_4B = _gguf("Qwen/Qwen3-4B-GGUF", thinking=True)
    QWEN_3_0_6B = _gguf("Qwen/Qwen3-0.6B-GGUF", thinking=True)
    QWEN_2_5_7B = _gguf("Qwen/Qwen2.5-7B-Instruct-GGUF")
    GPT_OSS_20B = _gguf("ggml-org/gpt-oss-20b-GGUF", thinking=True)
    GEMMA_3_4B = _gguf("ggml-org/gemma-3-4b-it-GGUF", tools=False)
    PHI_4 = _gguf("microsoft/phi-4-gguf", tools=False)
    LLAMA_3_3_70B = _gguf("bartowski/Llama-3.3-70B-Instruct-GGUF")
    LLAMA_3_1_8B = _gguf("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF")
    LLAMA_3_2_3B = _gguf("bartowski/Llama-3.2-3B-Instruct-GGUF")
    MISTRAL_7B = _gguf("bartowski/Mistral-7B-Instruct-v0.3-GGUF")
