"""Servers that speak OpenAI's chat completions: one row each, facts and quirks only.

A server is a row here, never a class. What a row does not say is as OpenAI's own API has it. The links say where
to check a row, not that it was checked there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, final

from attrs import field, frozen

_NAMES = {
    key: key for key in ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "max_tokens")
}


@final
@frozen(kw_only=True)
class Server:
    """How one server is reached and where it differs.

    `base_url` is used where neither `base_url=` nor one of `url_variables` gives one; `key_variables` are looked up in
    order, and the first names the key in errors. `names` are the generate kwargs that the server honours, under its
    names. `thinking_on` and `thinking_off` are what is added to the body for `thinking=`; None where it cannot be
    switched. `budget` is where in the body the thinking budget goes.
    """

    name: str
    base_url: str
    url_variables: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    key_required: bool = False
    names: Mapping[str, str] = field(factory=lambda: dict(_NAMES))
    thinking_on: Mapping[str, Any] | None = None
    thinking_off: Mapping[str, Any] | None = None
    budget: tuple[str, ...] = ()
    stream_usage: bool = True
    inline_thinking: tuple[str, str] | None = None  # tags between which reasoning may come at the start of the text
    longest_id: int = 1 << 16  # characters of a call's id
    reasoning_back: str | None = None  # the key under which reasoning goes back with a message that calls tools
    missing_model: str = ""  # what to do about a model that the server does not have; {model} is its id


_THINK = ("<think>", "</think>")
_TEMPLATE_ON = {"chat_template_kwargs": {"enable_thinking": True}}
_TEMPLATE_OFF = {"chat_template_kwargs": {"enable_thinking": False}}

SERVERS: Mapping[str, Server] = {
    row.name: row
    for row in (
        # https://platform.openai.com/docs/api-reference/chat/create; `max_tokens` is deprecated there, and refused by
        # reasoning models.
        Server(
            name="openai",
            base_url="https://api.openai.com/v1",
            url_variables=("OPENAI_BASE_URL",),
            key_variables=("OPENAI_API_KEY",),
            key_required=True,
            names={**_NAMES, "max_tokens": "max_completion_tokens"},
            longest_id=40,  # vLLM's are longer; the service says so: "Expected a string with maximum length 40"
        ),
        # https://ai.google.dev/gemini-api/docs/openai
        Server(
            name="gemini",
            base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
            url_variables=("GEMINI_BASE_URL",),
            key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            key_required=True,
            names={key: name for key, name in _NAMES.items() if key != "seed"},
            thinking_on={"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
            thinking_off={"reasoning_effort": "none"},
            budget=("extra_body", "google", "thinking_config", "thinking_budget"),
            inline_thinking=("<thought>", "</thought>"),
        ),
        # https://docs.ollama.com/api/openai-compatibility
        Server(
            name="ollama-openai",
            base_url="http://localhost:11434/v1",
            url_variables=("OLLAMA_OPENAI_BASE_URL",),
            key_variables=("OLLAMA_API_KEY",),
            thinking_on={"reasoning_effort": "medium"},
            thinking_off={"reasoning_effort": "none"},
            inline_thinking=_THINK,
            reasoning_back="reasoning",
            missing_model="fetch it with `ollama pull {model}`",
        ),
        # https://lmstudio.ai/docs/developer/openai-compat
        Server(
            name="lmstudio",
            base_url="http://localhost:1234/v1",
            url_variables=("LMSTUDIO_BASE_URL",),
            key_variables=("LMSTUDIO_API_KEY",),
            names={**_NAMES, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
            inline_thinking=_THINK,
        ),
        # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
        Server(
            name="vllm",
            base_url="http://localhost:8000/v1",
            url_variables=("VLLM_BASE_URL",),
            key_variables=("VLLM_API_KEY",),
            names={**_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            inline_thinking=_THINK,
            reasoning_back="reasoning_content",
        ),
        # https://docs.sglang.ai/basic_usage/openai_api_completions.html
        Server(
            name="sglang",
            base_url="http://localhost:30000/v1",
            url_variables=("SGLANG_BASE_URL",),
            key_variables=("SGLANG_API_KEY",),
            names={**_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            inline_thinking=_THINK,
            reasoning_back="reasoning_content",
        ),
        # https://github.com/ggml-org/llama.cpp/tree/master/tools/server
        Server(
            name="llamaserver",
            base_url="http://localhost:8080/v1",
            url_variables=("LLAMASERVER_BASE_URL",),
            key_variables=("LLAMA_API_KEY",),
            names={**_NAMES, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            budget=("thinking_budget_tokens",),
            inline_thinking=_THINK,
            reasoning_back="reasoning_content",
        ),
        # https://huggingface.co/docs/transformers/serving
        Server(
            name="hf-openai",
            base_url="http://localhost:8000/v1",
            url_variables=("HF_OPENAI_BASE_URL",),
            key_variables=("HF_TOKEN",),
            inline_thinking=_THINK,
        ),
    )
}

_REASONING = re.compile(r"(?:ft:)?(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*-chat)")


def is_reasoning_model(model: str) -> bool:
    """Whether an id of OpenAI's own API is of a reasoning model: o1, o3, ..., gpt-5 and later, but for `-chat` ones."""
    return _REASONING.match(model) is not None


# What reasoning models refuse: https://platform.openai.com/docs/guides/latest-model#parameter-compatibility
SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")


def least_effort(model: str) -> str:
    """The lowest reasoning effort that OpenAI's reasoning models accept; only gpt-5.1 and later can switch it off."""
    if model.startswith("o") or "codex" in model:
        return "low"
    if model.startswith("gpt-5-pro"):
        return "high"
    return "minimal" if re.match(r"gpt-5(-|$)", model) else "none"
