"""Models of the Anthropic API: facts only.

Ids from the list in the official SDK (github.com/anthropics/anthropic-sdk-python, types/model.py), capabilities from
the models page, both read 2026-11-22. The API requires `max_tokens`: the default of 16,000 leaves room for thinking
and is below the size for which the service requires streaming; it is not the model's limit.
"""

from aimu._doors import public
from aimu.models._spec import Model, ModelSpec


def _claude(id: str) -> ModelSpec:
    return ModelSpec(
        id,
        "anthropic",
        tools=True,
        thinking=True,
        vision=True,
        generate_kwargs={"max_tokens": 16_000},
        source="https://platform.claude.com/docs/about-claude/models/overview",
    )


@public("aimu.models")
class AnthropicModel(Model):
    """Claude models; an id without a date is an alias of the service. Sonnet 4.5 ends on 2026-11-30 (the same SDK)."""

    FABLE_5_1 = _claude("claude-fable-5-1")
    OPUS_5_5 = _claude("claude-opus-5-5")
    SONNET_5_5 = _claude("claude-sonnet-5-5")
    HAIKU_5_5 = _claude("claude-haiku-5-5")
    OPUS_5 = _claude("claude-opus-5")
    SONNET_5 = _claude("claude-sonnet-5")
    OPUS_4_6 = _claude("claude-opus-4-6")
    SONNET_4_6 = _claude("claude-sonnet-4-6")
    OPUS_4_5 = _claude("claude-opus-4-5")
    SONNET_4_5 = _claude("claude-sonnet-4-5")
    HAIKU_4_5 = _claude("claude-haiku-4-5")
