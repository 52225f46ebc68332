"""Models of the Gemini API: facts only, read 2026-11-22 and 2026-11-24 from the pages named as sources.

The vision of 3.8 Flash is from docs.cloud.google.com/gemini-enterprise-agent-platform/models/guides/gemini-3-8-flash.
"""

from aimu._doors import public
from aimu.models._spec import Model, ModelSpec


def _gemini(id: str, *, tools: bool | None = True, vision: bool | None = True) -> ModelSpec:
    source = f"https://ai.google.dev/gemini-api/docs/models/{id}"
    return ModelSpec(id, "gemini", tools=tools, thinking=True, vision=vision, source=source)


@public("aimu.models")
class GeminiModel(Model):
    """Gemini models. 2.5 Pro and 2.5 Flash end on 2026-12-01 (ai.google.dev/gemini-api/docs/deprecations)."""

    GEMINI_3_8_FLASH = _gemini("gemini-3.8-flash", tools=None)
    GEMINI_3_5_FLASH = _gemini("gemini-3.5-flash")
    GEMINI_3_5_FLASH_LITE = _gemini("gemini-3.5-flash-lite")
    GEMINI_3_1_PRO = _gemini("gemini-3.1-pro-preview")
    GEMINI_3_1_FLASH_LITE = _gemini("gemini-3.1-flash-lite")
    GEMINI_2_5_PRO = _gemini("gemini-2.5-pro")
    GEMINI_2_5_FLASH = _gemini("gemini-2.5-flash")
    GEMINI_2_5_FLASH_LITE = _gemini("gemini-2.5-flash-lite")
