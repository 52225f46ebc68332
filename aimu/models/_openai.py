"""Models of the OpenAI API: facts only.

Ids from the list in the official SDK (github.com/openai/openai-python, types/shared/chat_model.py, read 2026-11-22),
which also has their shutdown dates. Capabilities are None if no page states them; those of 6.1 Sol and 6 Luna are from
developers.openai.com/api/docs/guides/deployment-checklist, those of 5.4 mini from the guide to reasoning, both read
2026-11-24.
"""

from aimu._doors import public
from aimu.models._spec import Model, ModelSpec


def _gpt(id: str, *, thinking: bool | None = True, vision: bool | None = True, tools: bool | None = True) -> ModelSpec:
    source = f"https://developers.openai.com/api/docs/models/{id}"
    return ModelSpec(id, "openai", tools=tools, thinking=thinking, vision=vision, source=source)


@public("aimu.models")
class OpenAIModel(Model):
    """GPT and o-series models."""

    GPT_6_2_SOL = _gpt("gpt-6.2-sol")
    GPT_6_1_SOL = _gpt("gpt-6.1-sol", vision=None)
    GPT_6_1_TERRA = _gpt("gpt-6.1-terra")
    GPT_6_LUNA = _gpt("gpt-6-luna", vision=None)
    GPT_5_6_SOL = _gpt("gpt-5.6-sol")
    GPT_5_6_TERRA = _gpt("gpt-5.6-terra")
    GPT_5_4_MINI = _gpt("gpt-5.4-mini", tools=None, vision=None)
    GPT_5_2 = _gpt("gpt-5.2")
    GPT_5 = _gpt("gpt-5")
    GPT_5_MINI = _gpt("gpt-5-mini")
    O3 = _gpt("o3")
    GPT_4_1 = _gpt("gpt-4.1", thinking=False)
    GPT_4_1_MINI = _gpt("gpt-4.1-mini", thinking=False)
    GPT_4O = _gpt("gpt-4o", thinking=False)
    GPT_4O_MINI = _gpt("gpt-4o-mini", thinking=False)
