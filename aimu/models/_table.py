"""The table of providers: one row each, facts only. All other lists of providers are derived from it.

A row says what differs from the defaults in `aimu.models._row`, which are OpenAI's. A date beside a link is the day on
which the row was compared with that page. After adding a row, run `python -m aimu._tools.generate`, which writes the
client classes; it reads `name`, `title`, `stem`, `catalog` and `engine` from this file as literals.
"""

from __future__ import annotations

from collections.abc import Mapping

from aimu.models._row import OPENAI_NAMES, ChatQuirks, Connection, ProviderRow

_THINK = ("<think>", "</think>")
_TEMPLATE_ON = {"chat_template_kwargs": {"enable_thinking": True}}
_TEMPLATE_OFF = {"chat_template_kwargs": {"enable_thinking": False}}
_OLLAMA_PULL = "fetch it with `ollama pull {model}`"

_ROWS = (
    ProviderRow(
        name="anthropic",
        title="Anthropic",
        stem="Anthropic",
        link="https://platform.claude.com/docs/en/api/messages",
        catalog="aimu.models._anthropic",
        wire="anthropic",
        connection=Connection(
            base_url="https://api.anthropic.com",
            url_variables=("ANTHROPIC_BASE_URL",),
            key_variables=("ANTHROPIC_API_KEY",),
            token_variables=("ANTHROPIC_AUTH_TOKEN",),
            key_required=True,
            sdk="anthropic",
        ),
    ),
    # `max_tokens` is deprecated in chat completions, and reasoning models refuse it.
    ProviderRow(
        name="openai",
        title="OpenAI",
        stem="OpenAI",
        link="https://platform.openai.com/docs/api-reference/chat/create",
        catalog="aimu.models._openai",
        connection=Connection(
            base_url="https://api.openai.com/v1",
            url_variables=("OPENAI_BASE_URL",),
            key_variables=("OPENAI_API_KEY",),
            key_required=True,
            account_headers=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "max_tokens": "max_completion_tokens"},
            efforts="openai",
            longest_id=40,  # vLLM's are longer, and get "Expected a string with maximum length 40"
            plain_names=True,
        ),
        responses=True,
    ),
    # Read 2026-11-24.
    ProviderRow(
        name="gemini",
        title="Gemini",
        stem="Gemini",
        link="https://ai.google.dev/gemini-api/docs/openai",
        catalog="aimu.models._gemini",
        connection=Connection(
            base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
            url_variables=("GEMINI_BASE_URL",),
            key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={key: name for key, name in OPENAI_NAMES.items() if key != "seed"},
            thinking_on={"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
            budget=("extra_body", "google", "thinking_config", "thinking_budget"),
            efforts="gemini",
            inline_thinking=("<thought>", "</thought>"),
        ),
    ),
    # There is no SDK worth its import; Ollama's cloud takes a key, a server of one's own takes none.
    ProviderRow(
        name="ollama",
        title="Ollama",
        stem="Ollama",
        link="https://docs.ollama.com/api/chat",
        catalog="aimu.models._ollama",
        wire="ollama",
        connection=Connection(
            base_url="http://127.0.0.1:11434",
            url_variables=("OLLAMA_HOST",),
            key_variables=("OLLAMA_API_KEY",),
            sdk=None,
            default_port=11434,
        ),
        missing_model=_OLLAMA_PULL,
    ),
    # Read 2026-11-24.
    ProviderRow(
        name="ollama-openai",
        title="Ollama's OpenAI-compatible endpoint",
        stem="OllamaOpenAI",
        link="https://docs.ollama.com/api/openai-compatibility",
        catalog="aimu.models._servers",
        connection=Connection(
            base_url="http://localhost:11434/v1",
            url_variables=("OLLAMA_OPENAI_BASE_URL",),
            key_variables=("OLLAMA_API_KEY",),
        ),
        chat=ChatQuirks(
            thinking_on={"reasoning_effort": "medium"},
            thinking_off={"reasoning_effort": "none"},
            tool_choices={},
            parallel_tool_calls=False,
            inline_thinking=_THINK,
            reasoning_back="reasoning",
        ),
        missing_model=_OLLAMA_PULL,
    ),
    # Read 2026-11-24. The second key variable is the one of LM Studio's own SDK:
    # https://lmstudio.ai/docs/python/getting-started/authentication
    ProviderRow(
        name="lmstudio",
        title="LM Studio",
        stem="LMStudio",
        link="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        catalog="aimu.models._servers",
        connection=Connection(
            base_url="http://localhost:1234/v1",
            url_variables=("LMSTUDIO_BASE_URL",),
            key_variables=("LMSTUDIO_API_KEY", "LM_API_TOKEN"),
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
            inline_thinking=_THINK,
        ),
    ),
    # Read 2026-11-24, with .../features/reasoning_outputs.html. Older servers call reasoning `reasoning_content`;
    # today's accept it under its new name only.
    ProviderRow(
        name="vllm",
        title="vLLM",
        stem="VLLM",
        link="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        catalog="aimu.models._servers",
        connection=Connection(
            base_url="http://localhost:8000/v1",
            url_variables=("VLLM_BASE_URL",),
            key_variables=("VLLM_API_KEY",),
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            budget=("thinking_token_budget",),
            inline_thinking=_THINK,
            reasoning_back="reasoning",
        ),
    ),
    # Read 2026-11-24, with python/sglang/srt/entrypoints/openai/protocol.py in github.com/sgl-project/sglang.
    ProviderRow(
        name="sglang",
        title="SGLang",
        stem="SGLang",
        link="https://docs.sglang.io/docs/basic_usage/openai_api_completions",
        catalog="aimu.models._servers",
        connection=Connection(
            base_url="http://localhost:30000/v1",
            url_variables=("SGLANG_BASE_URL",),
            key_variables=("SGLANG_API_KEY",),
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            inline_thinking=_THINK,
            reasoning_back="reasoning_content",
        ),
    ),
    # README.md and server-common.cpp there, read 2026-11-24.
    ProviderRow(
        name="llamaserver",
        title="llama.cpp's llama-server",
        stem="LlamaServer",
        link="https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        catalog="aimu.models._servers",
        connection=Connection(
            base_url="http://localhost:8080/v1",
            url_variables=("LLAMASERVER_BASE_URL",),
            key_variables=("LLAMA_API_KEY",),
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repeat_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            budget=("thinking_budget_tokens",),
            inline_thinking=_THINK,
            reasoning_back="reasoning_content",
        ),
    ),
    # Read 2026-11-24, with transformers 5.23's cli/serving/chat_completion.py: the server answers 422 to an unknown
    # key, ignores some that it knows, and sends usage without being asked.
    ProviderRow(
        name="hf-openai",
        title="transformers serve",
        stem="HFOpenAI",
        link="https://huggingface.co/docs/transformers/serving",
        catalog="aimu.models._servers",
        connection=Connection(
            base_url="http://localhost:8000/v1",
            url_variables=("HF_OPENAI_BASE_URL",),
            key_variables=("HF_TOKEN",),
        ),
        chat=ChatQuirks(
            names={key: name for key, name in OPENAI_NAMES.items() if key != "presence_penalty"},
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            tool_choices={},
            parallel_tool_calls=False,
            stream_usage=False,
            inline_thinking=_THINK,
        ),
    ),
    ProviderRow(
        name="hf",
        title="Hugging Face models",
        stem="HuggingFace",
        link="https://huggingface.co/docs/transformers",
        catalog="aimu.models._huggingface",
        wire=None,
        engine="aimu.engines._huggingface:HuggingFaceEngine",
    ),
    ProviderRow(
        name="llamacpp",
        title="GGUF models",
        stem="LlamaCpp",
        link="https://github.com/abetlen/llama-cpp-python",
        catalog="aimu.models._llamacpp",
        wire=None,
        engine="aimu.engines._llamacpp:LlamaCppEngine",
    ),
)

TABLE: Mapping[str, ProviderRow] = {row.name: row for row in _ROWS}
