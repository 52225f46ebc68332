"""The reference pages made from tables and texts: errors, providers, models, options, variables, unreleased changes."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from aimu import errors
from aimu.aio._mcp.options import MCPOptions
from aimu.aio._options import ClientOptions
from aimu.models._options import VOCABULARY
from aimu.models._resolve import CATALOGS
from aimu.models._row import ProviderRow
from aimu.models._table import TABLE

_WIRES = {"openai_chat": "OpenAI chat completions", "anthropic": "Anthropic Messages", "ollama": "Ollama chat"}
_OPTIONS = {
    "max_tokens": "The longest answer, in tokens, thinking included.",
    "temperature": "How freely the model chooses among likely words; 0 is the least.",
    "top_p": "Choose among the most likely tokens that together have this probability.",
    "top_k": "Choose among this many of the most likely tokens; 0 is no limit.",
    "stop": "Texts at which the answer ends; they are not part of it.",
    "seed": "Makes random choices repeatable where the provider supports it.",
    "presence_penalty": "Makes tokens that have occurred less likely, whatever their count.",
    "frequency_penalty": "Makes tokens less likely the more often they have occurred.",
    "repeat_penalty": "Divides the weight of tokens that have occurred; 1 changes nothing.",
    "thinking": "Whether the model thinks before it answers.",
    "thinking_budget_tokens": "The most tokens to think with.",
    "tool_choice": "Whether the model may, must or must not call a tool, or which one it must call.",
    "parallel_tool_calls": "Whether a reply may have several calls.",
    "extra_body": "Fields of the request that only this provider understands; for an engine, options of its own.",
}
_PROXIES = (
    ("`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`", "The proxies of requests; lower case works too."),
    ("`SSL_CERT_FILE`, `SSL_CERT_DIR`", "Certificates to trust in place of the default ones."),
    ("`SSLKEYLOGFILE`", "A file that gets the keys of TLS connections, for debugging."),
)

_COMMAND = (
    ("`AIMU_MODEL`", "The model of `aimu chat` and `aimu run` without `-m`."),
    ("`AIMU_DEBUG`", "Set to 1, the command shows tracebacks and the log."),
    ("`NO_COLOR`", "Set to anything, the command writes no colours."),
    ("`XDG_STATE_HOME`", "The folder of `aimu/history`, what you wrote in chats; default: `~/.local/state`."),
)


def pages(root: Path) -> dict[str, str]:
    """Return the Markdown of each page by its path under docs/."""
    return {
        "reference/errors.md": _errors(),
        "reference/providers.md": _providers(),
        "reference/models.md": _models(),
        "reference/options.md": _options(),
        "reference/environment.md": _environment(),
        "reference/changelog.md": changelog(root),
    }


def joined(*parts: str) -> str:
    """Return the text of a page from its blocks."""
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _errors() -> str:
    summary, _, rest = str(errors.__doc__).partition("::\n\n")
    parts = [
        "# Errors",
        summary.strip(),
        rest.partition("\n\n")[2].strip(),
        "Catch the narrowest class that you can handle; catch `AimuError` at the edge of a program.",
        "## All errors",
        "\n".join(_branch(errors.AimuError, 0)),
        _error("AimuError", 2),
    ]
    for group in errors.AimuError.__subclasses__():
        parts.append(_error(group.__name__, 2))
        parts += [_error(name, 3) for name in _below(group)]
    return joined(*parts)


def _branch(kind: type[errors.AimuError], depth: int) -> list[str]:
    also = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins" and base is not Exception]
    builtin = f" ({', '.join(f'`{name}`' for name in also)})" if also else ""
    cause = " ".join(str(kind.__doc__).partition("\n\n")[0].split())
    line = f"{' ' * 4 * depth}- [`{kind.__name__}`][aimu.errors.{kind.__name__}]{builtin}: {cause}"
    return [line, *(line for sub in kind.__subclasses__() for line in _branch(sub, depth + 1))]


def _below(kind: type[errors.AimuError]) -> list[str]:
    return [name for sub in kind.__subclasses__() for name in (sub.__name__, *_below(sub))]


def _error(name: str, level: int) -> str:
    return f"::: aimu.errors.{name}\n    options:\n      heading_level: {level}\n      show_signature: false"


def _providers() -> str:
    rows = [_provider(row) for row in sorted(TABLE.values(), key=lambda row: (row.in_process, row.title.lower()))]
    head = ("provider", "model string", "speaks", "key", "base URL from", "extra")
    return joined(
        "---\nhide: [toc]\n---",
        "# Providers",
        "A model string is `provider:model_id`. aimu sends requests to a service over HTTP, or runs the model in "
        "this process. Give any service another address with `base_url=` or with the variable in the table; the "
        "first variable that is set counts.",
        table(head, rows),
        "The classes are described under [Clients of providers](api/provider-clients.md), the models that aimu "
        "knows under [Models](models.md). [Write a provider][aimu.providers.Provider] for a service that is "
        "missing here.",
    )


def _provider(row: ProviderRow) -> tuple[str, ...]:
    at = row.connection
    speaks = _WIRES.get(row.wire or "", "in this process")
    if row.responses:
        speaks += ", Responses"
    key = _names(at.key_variables + at.token_variables) if at else ""
    if at and key and not at.key_required:
        key += " (optional)"
    extra = (at.sdk if at else {"hf": "hf", "llamacpp": "llamacpp"}.get(row.name)) or ""
    return (
        f"[{row.title}]({row.link})",
        f"`{row.name}:…`",
        speaks,
        key,
        _names(at.url_variables) if at else "",
        _code(extra),
    )


def _names(variables: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in variables)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _models() -> str:
    parts = [
        "# Models",
        "Every provider accepts ids that are not in its catalog; a catalog saves you from looking up what a model can "
        "do. Pass a member (`aimu.models.AnthropicModel.OPUS_5_5`) or the model string in the table to `client`. An "
        "empty field means that it is not known.",
    ]
    for name, (module, kind) in CATALOGS.items():
        catalog: Any = getattr(import_module(str(module)), kind)
        rows = [
            (
                f"`{member.spec}`",
                f"`{member.name}`",
                *map(_known, (member.spec.tools, member.spec.thinking, member.spec.vision)),
                ", ".join(f"`{key}={value!r}`" for key, value in member.spec.generate_kwargs.items()),
            )
            for member in catalog
        ]
        parts.append(f"## {TABLE[name].title}\n\n[`{kind}`][aimu.models.{kind}]")
        parts.append(table(("model string", "member", "tools", "thinking", "images", "default options"), rows))
    return joined(*parts)


def _known(fact: bool | None) -> str:
    return "" if fact is None else ("yes" if fact else "no")


def _options() -> str:
    rows = [(f"`{key}`", expected, _OPTIONS[key]) for key, (expected, _) in VOCABULARY.items()]
    return joined(
        "# Options",
        "## Options of a request: `generate_kwargs`",
        "These keys have the same meaning with every provider; aimu translates them. A client keeps the options "
        "that it is given, and those of a call come before them. None removes an option. An unknown key or an "
        "invalid value raises [`InvalidOptionError`][aimu.errors.InvalidOptionError]. If a provider does not know "
        "an option, the request goes out without it and one warning is logged.",
        table(("key", "value", "meaning"), rows),
        "## Options of a client: `ClientOptions`",
        "For `aio.client`, `aimu.client` and the client classes, typed as [`ClientOptions`][aimu.types.ClientOptions].",
        table(("option", "meaning"), _attributes(ClientOptions)),
        "## Options of an MCP client: `MCPOptions`",
        "For [`aio.MCPClient`][aimu.aio.MCPClient] and [`MCPClient`][aimu.tools.MCPClient], typed as "
        "[`MCPOptions`][aimu.types.MCPOptions].",
        table(("option", "meaning"), _attributes(MCPOptions)),
    )


def _attributes(kind: type) -> list[tuple[str, str]]:
    """Return the attributes of a docstring and what it says about each."""
    section = inspect.cleandoc(str(kind.__doc__)).partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.split(r"^ {4}(?=\S)", section, flags=re.MULTILINE)[1:]
    pairs = (entry.partition(": ") for entry in entries)
    return [(f"`{name}`", " ".join(meaning.split())) for name, _, meaning in pairs]


def _environment() -> str:
    services = [row for row in TABLE.values() if row.connection is not None]
    rows: list[tuple[str, str]] = []
    for row in services:
        assert row.connection is not None
        for what, names in (
            ("API key", row.connection.key_variables),
            ("bearer token in place of a key", row.connection.token_variables),
            ("base URL", row.connection.url_variables),
        ):
            rows += [(f"`{name}`", f"{row.title}: {what}") for name in names]
    return joined(
        "# Environment variables",
        "The library reads no file of settings and no variable of its own. It reads these variables of services and of "
        "the system. Arguments such as `api_key=` and `base_url=` come before them.",
        "## Services",
        table(("variable", "meaning"), sorted(rows)),
        "`OPENAI_ORG_ID` and `OPENAI_PROJECT_ID` are sent as headers to OpenAI, as its SDK does.",
        "## Network",
        table(("variable", "meaning"), _PROXIES),
        "A value that no request can use raises [`InvalidOptionError`][aimu.errors.InvalidOptionError] when the "
        "client is made, and the text names the variable.",
        "## The command",
        table(("variable", "meaning"), _COMMAND),
        "[In the terminal](../how-to/terminal.md) has the rest.",
        "## MCP configurations",
        "A configuration of MCP servers may name any variable as `${VAR}`, `${env:VAR}` or `${VAR:-default}`; see "
        "the [guide](../mcp.md).",
        "## Models in this process",
        "The libraries that load weights read variables of their own, such as `HF_HOME`, `HF_TOKEN` and "
        "`HF_HUB_OFFLINE` of the Hugging Face hub. The downloads of aimu follow those of the hub.",
    )


def changelog(root: Path) -> str:
    """Return the changelog, with the news fragments as a section of unreleased changes."""
    config = tomllib.loads((root / "pyproject.toml").read_text("utf8"))["tool"]["towncrier"]
    parts = ["## Unreleased"]
    for kind in config["type"]:
        found = sorted((root / config["directory"]).glob(f"+*.{kind['directory']}.md"))
        if found:
            parts.append(f"### {kind['name']}")
            parts.append("\n".join(f"- {path.read_text('utf8').strip()}" for path in found))
    written = (root / str(config["filename"])).read_text("utf8")
    head, mark, rest = written.partition(str(config["start_string"]))
    assert mark, "the changelog has no line where releases begin"
    return head + "\n\n".join(parts) + "\n" + rest
