"""What the reasoning models of OpenAI and Gemini accept: facts by model id.

The catalogs cannot hold these: they also apply to ids that no catalog lists.
"""

from __future__ import annotations

import re

_REASONING = re.compile(r"(?:ft:)?(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
# Models that can stop reasoning, and those of them that reason only on request: from the models' own pages and from
# recorded answers of the API (github.com/pydantic/pydantic-ai, tests/profiles/
# test_openai_reasoning_ground_truth.py), read 2026-11-24.
_CAN_STOP = re.compile(
    r"gpt-5\.[1-9](?!-codex|.*-pro)|gpt-5\.3-codex|gpt-6-(?:sol|luna)|gpt-6\.1-terra|gemini-2\.(?!5-pro)|gemma"
)
_RESTING = re.compile(r"gpt-5\.[1-4](?!-codex|.*-pro)|gpt-5\.3-codex")
# What reasoning models refuse; the first two only while they reason:
# https://developers.openai.com/api/docs/guides/deployment-checklist, read 2026-11-24
SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")


def is_reasoning_model(model: str) -> bool:
    """Return whether an id of OpenAI's API names a reasoning model: o1, o3, ..., gpt-5 and later, except `-chat`."""
    return _REASONING.match(model) is not None


def refused_sampling(model: str, thinking: bool | None) -> tuple[str, ...]:
    """Return the options of `SAMPLING` that a reasoning model refuses.

    Args:
        model: The model's id.
        thinking: What the request says about thinking; None if it says nothing.
    """
    resting = effort(model, thinking=True) is not None
    rests = resting if thinking is None else not thinking and effort(model, thinking=False) == "none"
    return SAMPLING[2:] if rests else SAMPLING


def effort(model: str, *, thinking: bool) -> str | None:
    """Return the reasoning effort that switches a model's thinking on or off.

    To switch it off, that is the lowest effort that the model accepts: "none" if it can stop thinking. To switch it
    on, it is None for models that think anyway. Sources: https://developers.openai.com/api/docs/guides/reasoning and
    https://ai.google.dev/gemini-api/docs/openai, both read 2026-11-24.
    """
    model = model.removeprefix("ft:").removeprefix("models/")
    if thinking:
        return "medium" if _RESTING.match(model) else None
    if _CAN_STOP.match(model):
        return "none"
    if re.match(r"gpt-5(?!.*codex)(?:-(?!pro)|$)", model):
        return "minimal"
    if re.match(r"gpt-\d.*-pro", model):
        return "high" if model.startswith("gpt-5-pro") else "medium"
    return "low"
