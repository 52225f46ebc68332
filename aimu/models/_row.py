"""What a row of the table of providers holds: facts as plain values, nothing that runs.

To add a provider, add a row to `aimu.models._table`. Only its catalog and generated code name it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final

from attrs import field, frozen

# The generate kwargs that OpenAI's chat completions know, and the names that they have there.
OPENAI_NAMES: Mapping[str, str] = {
    key: key for key in ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "max_tokens")
}
TOOL_CHOICES: Mapping[str, str] = {"auto": "auto", "none": "none", "required": "required", "name": "function"}


@final
@frozen(kw_only=True)
class Connection:
    """How to reach a service over HTTP.

    Attributes:
        base_url: The URL to use unless `base_url=` or a variable gives one; None if the user must give one.
        url_variables: Environment variables with a base URL, in order of precedence.
        key_variables: Environment variables with an API key, in order of precedence; errors name the first.
        token_variables: Environment variables with a bearer token that may replace the key.
        key_header: The header of the key, if it is not sent as a bearer token (sdk "openai" only).
        key_required: Whether a missing key is an error.
        sdk: The vendor's package that supplies headers and HTTP client, also the name of the extra that installs it;
            None for plain HTTP.
        account_headers: Whether to send the `OpenAI-` headers that the SDK reads from the environment.
        default_path: The path of the API, added to a base URL that has none.
        default_port: The port of a base URL that is written as a bare host; None if it must be a full URL.
    """

    base_url: str | None
    url_variables: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    token_variables: tuple[str, ...] = ()
    key_required: bool = False
    key_header: str | None = None
    sdk: Literal["openai", "anthropic"] | None = "openai"
    account_headers: bool = False
    default_path: str = ""
    default_port: int | None = None


@final
@frozen(kw_only=True)
class ChatQuirks:
    """Where a server that speaks OpenAI's chat completions differs from OpenAI's documentation.

    Attributes:
        names: The generate kwargs that the server honours, and their names there; it is not sent any others.
        thinking_on: What `thinking=True` adds to the body; None if thinking cannot be switched on.
        thinking_off: What `thinking=False` adds to the body; None if thinking cannot be switched off.
        budget: The path in the body of `thinking_budget_tokens`; empty if there is no budget.
        efforts: Whose reasoning models the server has, see `aimu.providers._openai_reasoning`: their ids decide which
            effort switches thinking on and off ("openai") or off only ("gemini"), instead of the two above.
        refused: Options that some models refuse: a pattern for the beginning of the model's id, and their names.
        tool_choices: The words for `tool_choice`: for "auto", "none" and "required", and under "name" the type of a
            choice that names a tool. A word that is missing is not understood.
        unforced: A pattern for the beginning of the ids of models that cannot be made to call a tool unless thinking is
            switched off; None if all can.
        parallel_tool_calls: Whether the server honours `parallel_tool_calls`.
        stream_usage: Whether to ask for usage in streams with `stream_options`.
        trims: Whether to drop whitespace before an answer whose thinking came separately: a server that cuts the
            thinking out of the text leaves what stood behind it.
        schemas: Which JSON Schemas its mode for them accepts (`response_format`): those of OpenAI's strict mode
            ("strict"), those of them without limits on values ("plain"), or any; None if it has no such mode.
        schema_beside_tools: Whether a request with such a schema may offer tools.
        reasoning_key: The name of the reasoning without which the server refuses an assistant message of a turn with
            calls, so that an empty one stands for none; None if reasoning may be missing.
        longest_id: The longest id of a tool call that the server accepts, in characters.
        id_pattern: A pattern that the ids of tool calls must match in full; None if any id will do.
        user_after_tool: Whether a user message may follow the result of a tool.
        plain_names: Whether the names of past tool calls may have letters, digits, `_` and `-` only.
    """

    names: Mapping[str, str] = field(default=OPENAI_NAMES)
    thinking_on: Mapping[str, Any] | None = None
    thinking_off: Mapping[str, Any] | None = None
    budget: tuple[str, ...] = ()
    efforts: Literal["openai", "gemini"] | None = None
    refused: Mapping[str, tuple[str, ...]] = field(factory=dict[str, tuple[str, ...]])
    tool_choices: Mapping[str, str] = field(default=TOOL_CHOICES)
    unforced: str | None = None
    parallel_tool_calls: bool = True
    stream_usage: bool = True
    trims: bool = False
    schemas: Literal["strict", "plain", "any"] | None = "strict"
    schema_beside_tools: bool = True
    reasoning_key: str | None = None
    longest_id: int = 1 << 16
    id_pattern: str | None = None
    user_after_tool: bool = True
    plain_names: bool = False


@final
@frozen(kw_only=True)
class ProviderRow:
    """Everything that the library knows about one provider.

    Attributes:
        name: The name in model strings, such as "openai".
        title: The name that people write, such as "OpenAI".
        stem: The part that its class names share: `OpenAI` for `OpenAIClient`, `AsyncOpenAIClient`, `OpenAIModel`.
        link: The page that documents the API.
        catalog: The module of its catalog, which has the enum `<stem>Model`; None if it has no catalog.
        wire: The format of its requests; None for a model that runs in this process.
        connection: How to reach it; None for a model that runs in this process.
        chat: How it differs from OpenAI, where `wire` is "openai_chat".
        images: The media types of the images that it accepts; others are converted or refused.
        sightless: Why none of its models can see images, and what to do; "" if some can.
        responses: Whether it offers OpenAI's Responses API as well.
        missing_model: What to do about a model that the service does not have; `{model}` stands for the id.
        engine: The engine that runs its models in this process, as "module:class"; None for a service.
    """

    name: str
    title: str
    stem: str
    link: str
    catalog: str | None = None
    wire: Literal["openai_chat", "anthropic", "ollama"] | None = "openai_chat"
    connection: Connection | None = None
    chat: ChatQuirks = field(factory=ChatQuirks)
    images: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp", "image/gif")
    sightless: str = ""
    responses: bool = False
    missing_model: str = ""
    engine: str | None = None

    @property
    def in_process(self) -> bool:
        """Whether the models run in this process."""
        return self.engine is not None

    @property
    def catalog_class(self) -> str:
        """The name of the catalog's enum."""
        return f"{self.stem}Model"
