"""The table of providers: one row each, facts only. All other lists of providers are derived from it.

A row says what differs from the defaults in `aimu.models._row`, which are OpenAI's. A date beside a link is the day on
which the row was compared with that page. After adding a row, run `python -m aimu._tools.generate`, which writes the
client classes; it reads `name`, `title`, `stem`, `catalog` and `engine` from this file as literals.
"""

# Long, because all rows are best compared in one place.

from __future__ import annotations

from collections.abc import Mapping

from aimu.models._row import OPENAI_NAMES, TOOL_CHOICES, ChatQuirks, Connection, ProviderRow


def _but(words: Mapping[str, str], *left_out: str) -> dict[str, str]:
    return {key: word for key, word in words.items() if key not in left_out}


_TEMPLATE_ON = {"chat_template_kwargs": {"enable_thinking": True}}
_TEMPLATE_OFF = {"chat_template_kwargs": {"enable_thinking": False}}
_ENABLED = {"thinking": {"type": "enabled"}}
_DISABLED = {"thinking": {"type": "disabled"}}
# `max_tokens` is deprecated in chat completions, and reasoning models refuse it.
_OPENAI_CHAT = ChatQuirks(
    names={**OPENAI_NAMES, "max_tokens": "max_completion_tokens"},
    efforts="openai",
    longest_id=40,  # vLLM's are longer, and get "Expected a string with maximum length 40"
    plain_names=True,
)
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
        chat=_OPENAI_CHAT,
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
            names=_but(OPENAI_NAMES, "seed"),
            thinking_on={"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
            budget=("extra_body", "google", "thinking_config", "thinking_budget"),
            efforts="gemini",
            trims=True,
        ),
        images=("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"),
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
            trims=True,
            schemas="any",
            schema_beside_tools=False,
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
            trims=True,
            schemas="any",
            schema_beside_tools=False,
        ),
    ),
    # Read 2026-11-24, with .../features/reasoning_outputs.html.
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
            trims=True,
            schemas="any",
            schema_beside_tools=False,
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
            trims=True,
            schemas="any",
            schema_beside_tools=False,
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
            trims=True,
            schemas="any",
            schema_beside_tools=False,
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
            names=_but(OPENAI_NAMES, "presence_penalty"),
            thinking_on=_TEMPLATE_ON,
            thinking_off=_TEMPLATE_OFF,
            tool_choices={},
            parallel_tool_calls=False,
            stream_usage=False,
            trims=True,
            schemas=None,
        ),
    ),
    # Search excerpts of the page and of copies of .../api/create-chat-completion, 2026-11-26: penalties are ignored
    # while a model thinks, which is the default. There is no JSON Schema, `seed` or `parallel_tool_calls`. A thinking
    # model refuses "required" and a name ("Thinking mode does not support this tool_choice",
    # github.com/deepseek-ai/DeepSeek-V3/issues/1376), and a turn with calls that lacks `reasoning_content`; an empty
    # one is sent by packages/deepseek in github.com/vercel/ai.
    ProviderRow(
        name="deepseek",
        title="DeepSeek",
        stem="DeepSeek",
        link="https://api-docs.deepseek.com/guides/thinking_mode",
        connection=Connection(
            base_url="https://api.deepseek.com",
            url_variables=("DEEPSEEK_BASE_URL",),
            key_variables=("DEEPSEEK_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names=_but(OPENAI_NAMES, "seed"),
            thinking_on=_ENABLED,
            thinking_off=_DISABLED,
            unforced="deepseek-(?!chat)",
            parallel_tool_calls=False,
            schemas=None,
            reasoning_key="reasoning_content",
        ),
    ),
    # Seen 2026-11-26: the vendor's OpenAPI file as copied in github.com/api-evangelist/moonshot-ai, and search excerpts
    # that say that sampling is fixed for the present Kimi models (older ones took it). Schemas follow docs/mfjs-spec.md
    # in github.com/MoonshotAI/walle, which has no limits on values; nothing seen says that tools may stand beside them.
    # A thinking Kimi refuses a forced call ("tool_choice 'required' is incompatible with thinking enabled") and a turn
    # with calls that lacks `reasoning_content`; an empty one is accepted (github.com/MoonshotAI/kimi-cli/issues/2446).
    ProviderRow(
        name="moonshot",
        title="Moonshot AI (Kimi)",
        stem="Moonshot",
        link="https://platform.moonshot.ai/docs/api/chat",
        connection=Connection(
            base_url="https://api.moonshot.ai/v1",
            url_variables=("MOONSHOT_BASE_URL",),
            key_variables=("MOONSHOT_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**_but(OPENAI_NAMES, "seed"), "max_tokens": "max_completion_tokens"},
            thinking_on=_ENABLED,
            thinking_off=_DISABLED,
            refused={"kimi-": ("temperature", "top_p", "presence_penalty", "frequency_penalty")},
            unforced="kimi-",
            parallel_tool_calls=False,
            schemas="plain",
            schema_beside_tools=False,
            reasoning_key="reasoning_content",
        ),
    ),
    # Read 2026-11-26 in github.com/OpenRouterTeam/docs: api/reference/parameters.mdx, guides/best-practices/
    # reasoning-tokens.mdx and guides/features/structured-outputs.mdx. Keys that a model does not know are ignored.
    ProviderRow(
        name="openrouter",
        title="OpenRouter",
        stem="OpenRouter",
        link="https://openrouter.ai/docs/use-cases/reasoning-tokens",
        connection=Connection(
            base_url="https://openrouter.ai/api/v1",
            url_variables=("OPENROUTER_BASE_URL",),
            key_variables=("OPENROUTER_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on={"reasoning": {"enabled": True}},
            thinking_off={"reasoning": {"effort": "none"}},
            budget=("reasoning", "max_tokens"),
        ),
    ),
    # Read 2026-11-26: completion_create_params.py in github.com/groq/groq-python, which says that no model knows the
    # penalties, and which efforts each family of models knows, none of them all. Search excerpts of .../docs/openai,
    # .../docs/reasoning and .../docs/structured-outputs: only some models follow a JSON Schema. Users saw it refused
    # beside tools (github.com/vercel/ai/issues/16540).
    ProviderRow(
        name="groq",
        title="Groq",
        stem="Groq",
        link="https://console.groq.com/docs/openai",
        connection=Connection(
            base_url="https://api.groq.com/openai/v1",
            url_variables=("GROQ_BASE_URL",),
            key_variables=("GROQ_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={
                **_but(OPENAI_NAMES, "presence_penalty", "frequency_penalty"),
                "max_tokens": "max_completion_tokens",
            },
            trims=True,
            schemas=None,
        ),
    ),
    # Read 2026-11-26: models/chatcompletionrequest.py in github.com/mistralai/client-python. What it does not list gets
    # a 422, `stream_options` too; streams report usage without being asked. Users saw the rules for the ids of calls
    # (github.com/mistralai/client-js/issues/69) and "Unexpected role 'user' after role 'tool'"
    # (github.com/BerriAI/litellm/issues/6323). Not all models know the efforts.
    ProviderRow(
        name="mistral",
        title="Mistral AI",
        stem="Mistral",
        link="https://docs.mistral.ai/api/",
        connection=Connection(
            base_url="https://api.mistral.ai/v1",
            url_variables=("MISTRAL_BASE_URL",),
            key_variables=("MISTRAL_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "seed": "random_seed"},
            thinking_on={"reasoning_effort": "high"},
            thinking_off={"reasoning_effort": "none"},
            tool_choices={**TOOL_CHOICES, "required": "any"},
            stream_usage=False,
            id_pattern="[a-zA-Z0-9]{9}",
            user_after_tool=False,
            plain_names=True,
        ),
    ),
    # Search excerpt of the page, 2026-11-26. Read that day: api-parameters.md, structured-outputs.md and
    # reasoning-models.md in github.com/togethercomputer/skills, which do not name `parallel_tool_calls`, and show no
    # schema beside tools.
    ProviderRow(
        name="together",
        title="Together AI",
        stem="Together",
        link="https://docs.together.ai/docs/inference/openai-compatibility",
        connection=Connection(
            base_url="https://api.together.ai/v1",
            url_variables=("TOGETHER_BASE_URL",),
            key_variables=("TOGETHER_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on={"reasoning": {"enabled": True}},
            thinking_off={"reasoning": {"enabled": False}},
            parallel_tool_calls=False,
            trims=True,
            schemas="any",
            schema_beside_tools=False,
        ),
    ),
    # Read 2026-11-26: completion_create_params.py in github.com/fw-ai-external/python-sdk, where the effort may be a
    # number of tokens. Search excerpts of the vendor's pages say that any schema will do, not whether beside tools.
    ProviderRow(
        name="fireworks",
        title="Fireworks AI",
        stem="Fireworks",
        link="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        connection=Connection(
            base_url="https://api.fireworks.ai/inference/v1",
            url_variables=("FIREWORKS_BASE_URL",),
            key_variables=("FIREWORKS_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "top_k": "top_k", "repeat_penalty": "repetition_penalty"},
            thinking_on={"reasoning_effort": "medium"},
            thinking_off={"reasoning_effort": "none"},
            budget=("reasoning_effort",),
            trims=True,
            schemas="any",
            schema_beside_tools=False,
        ),
    ),
    # Seen 2026-11-26: the vendor's OpenAPI file as copied in github.com/api-evangelist/xai, and search excerpts of the
    # page: reasoning models refuse `stop` (github.com/huggingface/smolagents/issues/1765) and penalties, which others
    # refuse too. No switch for reasoning is common to all models. Limits on lengths are not supported in schemas.
    ProviderRow(
        name="xai",
        title="xAI",
        stem="XAI",
        link="https://docs.x.ai/docs/guides/reasoning",
        connection=Connection(
            base_url="https://api.x.ai/v1",
            url_variables=("XAI_BASE_URL",),
            key_variables=("XAI_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "max_tokens": "max_completion_tokens"},
            refused={
                "grok-": ("presence_penalty", "frequency_penalty"),
                "grok-(?!.*non-reasoning)": ("stop",),
            },
            schemas="plain",
        ),
    ),
    # Read 2026-11-26: the types of parameters in github.com/Cerebras/cerebras-cloud-sdk-python. Users saw that a schema
    # is refused beside tools (github.com/BerriAI/litellm/issues/31445) or with limits on values
    # (github.com/agno-agi/agno/issues/6013). Search excerpts: .../capabilities/structured-outputs refuses lists of
    # types and more than 5 choices in an `anyOf`; .../capabilities/reasoning says that some models leave their
    # reasoning in the text, and has no switch that is common to all.
    ProviderRow(
        name="cerebras",
        title="Cerebras",
        stem="Cerebras",
        link="https://inference-docs.cerebras.ai/resources/openai",
        connection=Connection(
            base_url="https://api.cerebras.ai/v1",
            url_variables=("CEREBRAS_BASE_URL",),
            key_variables=("CEREBRAS_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**OPENAI_NAMES, "max_tokens": "max_completion_tokens"},
            trims=True,
            schemas="plain",
            schema_beside_tools=False,
        ),
    ),
    # Read 2026-11-26: src/openai/lib/azure.py in github.com/openai/openai-python for the header and the variables (the
    # first URL variable is this library's), and the page's source in github.com/MicrosoftDocs/azure-ai-docs for the v1
    # API below the resource, which needs no version, and whose models are the names of deployments.
    ProviderRow(
        name="azure",
        title="Azure OpenAI",
        stem="AzureOpenAI",
        link="https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
        connection=Connection(
            base_url=None,
            url_variables=("AZURE_OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"),
            key_variables=("AZURE_OPENAI_API_KEY",),
            token_variables=("AZURE_OPENAI_AD_TOKEN",),
            key_required=True,
            key_header="api-key",
            default_path="/openai/v1",
        ),
        chat=_OPENAI_CHAT,
        responses=True,
    ),
    # Read 2026-11-26: src/rest/data/fpt-2022-11-28/models.json in github.com/github/docs lists these parameters only,
    # and `tool_choice` as a word. That names must be plain is deduced from the models, which are OpenAI's among others.
    # GitHub ended the service on 2026-07-30 (search excerpt of github.com/orgs/community/discussions/203602).
    ProviderRow(
        name="github-models",
        title="GitHub Models",
        stem="GitHubModels",
        link="https://docs.github.com/en/rest/models/inference",
        connection=Connection(
            base_url="https://models.github.ai/inference",
            url_variables=("GITHUB_MODELS_BASE_URL",),
            key_variables=("GITHUB_TOKEN",),
            key_required=True,
        ),
        chat=ChatQuirks(tool_choices=_but(TOOL_CHOICES, "name"), parallel_tool_calls=False, plain_names=True),
    ),
    # Search excerpts of the page and of .../model-studio/deep-thinking, 2026-11-26. This is the endpoint of Singapore;
    # each region has its own. `top_k` and `parallel_tool_calls` as in packages/alibaba in github.com/vercel/ai. A
    # forced call is refused in thinking mode (github.com/QwenLM/qwen-code/issues/7659), which some models have switched
    # on. Only some models follow a JSON Schema.
    ProviderRow(
        name="dashscope",
        title="Alibaba Cloud Model Studio (DashScope)",
        stem="DashScope",
        link="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        connection=Connection(
            base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            url_variables=("DASHSCOPE_BASE_URL",),
            key_variables=("DASHSCOPE_API_KEY",),
            key_required=True,
        ),
        chat=ChatQuirks(
            names={**_but(OPENAI_NAMES, "frequency_penalty"), "top_k": "top_k"},
            thinking_on={"enable_thinking": True},
            thinking_off={"enable_thinking": False},
            budget=("thinking_budget",),
            tool_choices=_but(TOOL_CHOICES, "required"),
            unforced="",
            schemas=None,
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
        # The wheel has libllama and libggml only: read in that of 0.3.36, 2026-11-26.
        sightless="libmtmd, llama.cpp's library for images, is not in the wheel of llama-cpp-python; run a model with "
        "vision as 'hf:<hub id>', or behind a server",
    ),
)

TABLE: Mapping[str, ProviderRow] = {row.name: row for row in _ROWS}
