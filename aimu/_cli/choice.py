"""Which model answers when the user names none.

`-m` comes first, then AIMU_MODEL, then the first service whose key is set, then the embedded model.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import final

from attrs import frozen

from aimu.errors import InvalidOptionError
from aimu.models import AnthropicModel, GeminiModel, Model, OpenAIModel
from aimu.models._table import TABLE
from aimu.testing import tiny_gguf, tiny_model

MODEL_VARIABLE = "AIMU_MODEL"
# In order of precedence; each can call tools.
DEFAULTS: dict[str, Model] = {
    "anthropic": AnthropicModel.SONNET_5_5,
    "openai": OpenAIModel.GPT_6_1_TERRA,
    "gemini": GeminiModel.GEMINI_3_5_FLASH,
}
REAL = "-m ollama:qwen3.5:9b"
NO_MODEL = "there is no model"
NO_MODEL_REMEDY = (
    f"name one ({REAL}), set {MODEL_VARIABLE} or a key such as ANTHROPIC_API_KEY, or install an engine for the "
    "embedded model: `pip install '.[hf]'` in the checkout of aimu"
)


@final
@frozen
class Choice:
    """A model, and what to tell the user about it.

    Attributes:
        model: The model string.
        name: How to call it.
        note: One line on how it came to this; empty if the user asked for it.
        embedded: Whether it is the embedded model for want of another.
    """

    model: str
    name: str
    note: str = ""
    embedded: bool = False


def choose(given: str | None) -> Choice:
    """Choose the model.

    Args:
        given: The model string of the command line, if any.

    Raises:
        InvalidOptionError: There is no model at all.
    """
    if model := given or os.environ.get(MODEL_VARIABLE):
        return Choice(model, model)
    for provider, default in DEFAULTS.items():
        if variable := key_set(provider):
            note = f"using {default}, because {variable} is set; -m MODEL or {MODEL_VARIABLE} chooses another"
            return Choice(str(default), str(default), note)
    return embedded()


def key_set(provider: str) -> str | None:
    """Return the variable that has a key or token of a service; None if none has."""
    at = TABLE[provider].connection
    names = () if at is None else (*at.key_variables, *at.token_variables)
    return next((name for name in names if os.environ.get(name, "").strip()), None)


def embedded() -> Choice:
    """Return the embedded model, on the engine that is installed.

    Raises:
        InvalidOptionError: There is none.
    """
    if find_spec("torch") and find_spec("transformers"):
        model = f"hf:{tiny_model()}"
    elif find_spec("llama_cpp"):
        model = f"llamacpp:{tiny_gguf()}"
    else:
        raise InvalidOptionError(f"{NO_MODEL}: {NO_MODEL_REMEDY}")
    keyed = (row.name for row in TABLE.values() if row.connection and row.connection.key_required and key_set(row.name))
    provider = next(keyed, None)
    key, real = (
        ("no key is set", REAL) if provider is None else (f"{key_set(provider)} names none", f"-m {provider}:ID")
    )
    note = (
        f"no model was named, and {key}: this is the embedded model of 630 KB, which knows two tools, add and "
        f"get_weather, and no others; for a real one: {real}"
    )
    return Choice(model, "the embedded model", note, embedded=True)
