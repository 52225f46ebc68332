"""Models on the Hugging Face Hub for the engine `hf`: facts only, from the model cards.

`tools` says whether the model's chat template renders tools. Sampling defaults come from the model's
`generation_config.json`.
"""

from aimu._doors import public
from aimu.models._spec import Model, ModelSpec


def _hub(
    id: str, *, tools: bool | None = True, thinking: bool | None = False, vision: bool | None = False
) -> ModelSpec:
    source = f"https://huggingface.co/{id}"
    return ModelSpec(id, "hf", tools=tools, thinking=thinking, vision=vision, source=source)


@public("aimu.models")
class HuggingFaceModel(Model):
    """Models of the Hugging Face Hub."""

    LLAMA_70B = _hub("meta-llama/Llama-3.3-70B-Instruct")
    LLAMA_3_1_8B = _hub("meta-llama/Llama-3.1-8B-Instruct")
    LLAMA_3_2_3B = _hub("meta-llama/Llama-3.2-3B-Instruct")
    QWEN_3_8B = _hub("Qwen/Qwen3-8B", thinking=True)
    QWEN_3_4B = _hub("Qwen/Qwen3-4B", thinking=True)
    QWEN_3_0_6B = _hub("Qwen/Qwen3-0.6B", thinking=True)
    QWEN_2_5_7B = _hub("Qwen/Qwen2.5-7B-Instruct")
    MISTRAL_7B = _hub("mistralai/Mistral-7B-Instruct-v0.3")
    GEMMA_3_1B = _hub("google/gemma-3-1b-it", tools=False)
    GEMMA_3_4B = _hub("google/gemma-3-4b-it", tools=False, vision=True)
    PHI_4 = _hub("microsoft/phi-4", tools=False)
    GPT_OSS_20B = _hub("openai/gpt-oss-20b", thinking=True)
    DEEPSEEK_R1_DISTILL_7B = _hub("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", tools=None, thinking=True)
    SMOLLM_3_3B = _hub("HuggingFaceTB/SmolLM3-3B", thinking=True)
