"""Servers that speak OpenAI's chat completions: one row each, facts and quirks only.

A server is a row here, never a class. What a row does not say is as OpenAI's own API has it. Where a link has a date,
the row was checked there; the others say where to check it.
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
    tool_options: bool = True  # whether `tool_choice` and `parallel_tool_calls` are heard
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
        # https://ai.google.dev/gemini-api/docs/openai, read 2026-11-24. What switches thinking off hangs on the model:
        # `effort`.
        Server(
            name="gemini",
            base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
            url_variables=("GEMINI_BASE_URL",),
            key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            key_required=True,
            names={key: name for key, name in _NAMES.items() if key != "seed"},
            thinking_on={"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
            budget=("extra_body", "google", "thinking_config", "thinking_budget"),
            inline_thinking=("<thought>", "</thought>"),
        ),
        # https://docs.ollama.com/api/openai-compatibility, read 2026-11-24
        Server(
            name="ollama-openai",
            base_url="http://localhost:11434/v1",
            url_variables=("OLLAMA_OPENAI_BASE_URL",),
            key_variables=("OLLAMA_API_KEY",),
            thinking_on={"reasoning_effort": "medium"},
            thinking_off={"reasoning_effort": "none"},
            tool_options=False,
            inline_thinking=_THINK,
            reasoning_back="reasoning",
            missing_model="fetch it with `ollama pull {model}`",
        ),
        # https://lmstudio.ai/docs/developer/openai-compat/chat-completions; the second key is what its own SDK reads:
        # https://lmstudio.ai/docs/python/getting-started/authentication; both read 2026-11-24
        Server(
            name="lmstudio",
            base_url="http://localhost:1234/v1",
            url_variables=("LMSTUDIO_BASE_URL",),
            key_variables=("LMSTUDIO_API_KEY", "LM_API_TOKEN"),
            names={**_NAMES, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
            inline_thinking=_THINK,
        ),
        # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html and /features/reasoning_outputs.html,
        # read 2026-11-24. Reasoning was `reasoning_content` once; it is read under its new name only.
        Server(
            name="vllm",
            base_url="http://localhost:8000/v1",
            url_variables=("VLLM_BASE_URL",),
            key_variables=("VLLM_API_KEY",),
            names={**_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            budget=("thinking_token_budget",),
            inline_thinking=_THINK,
            reasoning_back="reasoning",
        ),
        # https://docs.sglang.io/docs/basic_usage/openai_api_completions and, in github.com/sgl-project/sglang,
        # python/sglang/srt/entrypoints/openai/protocol.py, read 2026-11-24
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
        # https://github.com/ggml-org/llama.cpp/tree/master/tools/server, README.md, server-common.cpp; read 2026-11-24
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
        # https://huggingface.co/docs/transformers/serving and transformers 5.23's cli/serving/chat_completion.py, read
        # 2026-11-24: it answers 422 to a key that it does not know, and drops some that it does know. Usage comes
        # without being asked for.
        Server(
            name="hf-openai",
            base_url="http://localhost:8000/v1",
            url_variables=("HF_OPENAI_BASE_URL",),
            key_variables=("HF_TOKEN",),
            names={key: name for key, name in _NAMES.items() if key != "presence_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            tool_options=False,
            stream_usage=False,
            inline_thinking=_THINK,
        ),
    )
}

_REASONING = re.compile(r"(?:ft:)?(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
# Those that can be told not to reason, and those of them that reason only when told to: the models' own pages, and what
# the API answered when it was asked (github.com/pydantic/pydantic-ai, tests/profiles/
# test_openai_reasoning_ground_truth.py), read 2026-11-24.
_CAN_STOP = re.compile(
    r"gpt-5\.[1-9](?!-codex|.*-pro)|gpt-5\.3-codex|gpt-6-(?:sol|luna)|gpt-6\.1-terra|gemini-2\.(?!5-pro)|gemma"
)
_RESTING = re.compile(r"gpt-5\.[1-4](?!-codex|.*-pro)|gpt-5\.3-codex")


def is_reasoning_model(model: str) -> bool:
    """Whether an id of OpenAI's own API is of a reasoning model: o1, o3, ..., gpt-5 and later, but for `-chat` ones."""
    return _REASONING.match(model) is not None


# What reasoning models refuse, the first two only while they reason:
# https://developers.openai.com/api/docs/guides/deployment-checklist, read 2026-11-24
SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")


def refused_sampling(model: str, thinking: bool | None) -> tuple[str, ...]:
    """Those of `SAMPLING` that a reasoning model refuses in a request that says this of thinking, or nothing."""
    resting = effort(model, thinking=True) is not None
    rests = resting if thinking is None else not thinking and effort(model, thinking=False) == "none"
    return SAMPLING[2:] if rests else SAMPLING


def effort(model: str, *, thinking: bool) -> str | None:
    """The reasoning effort by which a reasoning model of OpenAI's or Gemini's hears `thinking`.

    None where it thinks anyhow; without thinking the lowest that the model accepts, which is "none" where it can stop.
    https://developers.openai.com/api/docs/guides/reasoning and https://ai.google.dev/gemini-api/docs/openai, both read
    2026-11-24.
    """
    model = _bare(model)
    if thinking:
        return "medium" if _RESTING.match(model) else None
    if _CAN_STOP.match(model):
        return "none"
    if re.match(r"gpt-5(?!.*codex)(?:-(?!pro)|$)", model):
        return "minimal"
    if re.match(r"gpt-\d.*-pro", model):
        return "high" if model.startswith("gpt-5-pro") else "medium"
    return "low"


def _bare(model: str) -> str:
    return model.removeprefix("ft:").removeprefix("models/")
