"""The configuration of MCP servers, in the forms in which programs write it: reads and checks it. Connects to nothing.

Forms: Claude Desktop, Claude Code and Cursor (`mcpServers`), VS Code (`servers`, `inputs`), Gemini CLI (`httpUrl`),
Windsurf (`serverUrl`), Cline (`disabled`, `transportType`), Zed (`context_servers`), opencode (`mcp`, `environment`)
(read 2026-11-26).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias, final
from urllib.parse import urlsplit

from attrs import field, frozen

from aimu._core.escaping import escaping
from aimu._core.nearest import did_you_mean
from aimu._core.secrets import in_arguments, in_headers, in_url, in_variables
from aimu.aio._mcp.jsonc import loads
from aimu.aio._mcp.variables import Inputs, Variables, home, is_line
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.aio"))


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@final
@frozen(kw_only=True)
class ProcessSpec:
    """A server to run as a child process; `env` is added to the few variables that it inherits."""

    name: str
    command: str
    args: tuple[str, ...] = field(default=(), converter=_texts, repr=False)
    env: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    cwd: str | None = None

    @property
    def place(self) -> str:
        return f"command {self.command!r}"

    @property
    def secrets(self) -> Iterator[str]:
        """What its errors must not show."""
        return chain(in_variables(self.env), in_arguments((*self.command.split(), *self.args)))


@final
@frozen(kw_only=True)
class HTTPSpec:
    """A server at a URL that speaks streamable HTTP, or the older HTTP with SSE; None is to be found out."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    transport: Literal["http", "sse"] | None = "http"

    @property
    def place(self) -> str:
        """The URL without the parts that may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def secrets(self) -> Iterator[str]:
        """What its errors must not show."""
        return chain(in_headers(self.headers), in_url(self.url))


Spec: TypeAlias = ProcessSpec | HTTPSpec
OnError = Callable[[InvalidOptionError], object]


def read_file(
    path: str | os.PathLike[str], inputs: Inputs | None = None, on_error: OnError | None = None
) -> list[Spec]:
    """Return the servers of a JSON file, which may have comments, trailing commas and a byte order mark.

    Raises:
        InvalidOptionError: The file cannot be read, or its contents are invalid.
    """
    try:
        written = Path(home(os.fspath(path))).read_bytes()
        config = loads(written.decode(json.detect_encoding(written)))  # PowerShell writes UTF-16
    except OSError as exc:
        raise InvalidOptionError(f"MCP config {os.fspath(path)!r} cannot be read: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidOptionError(
            f"MCP config {os.fspath(path)!r} is not {exc.encoding.upper()} at byte {exc.start}; save it as UTF-8"
        ) from exc
    except ValueError as exc:
        raise InvalidOptionError(f"MCP config {os.fspath(path)!r} is not JSON: {exc}") from exc
    return read_config(config, inputs, on_error)


def read_config(config: Any, inputs: Inputs | None = None, on_error: OnError | None = None) -> list[Spec]:
    """Return the servers of `{"mcpServers": {name: server}}`, of `{"servers": ...}`, or of the inner mapping alone.

    A server has `command` (with `args`, `env`, `cwd`) or `url`, `httpUrl` or `serverUrl` (with `headers`); one with
    `"disabled": true` or `"enabled": false` is left out. Variables in texts are replaced.

    Args:
        config: The configuration.
        inputs: Values for `${input:ID}`, or a function that is asked for them.
        on_error: Called with the error of an invalid server, which is then left out. By default it is raised.

    Raises:
        InvalidOptionError: The configuration is invalid, or a variable has no value.
    """
    servers, described = _parts(config)
    variables = Variables(inputs, described)
    specs: list[Spec] = []
    for name, server in servers.items():
        try:
            if _enabled(str(name), server):
                specs.append(_spec(str(name), server, variables))
        except InvalidOptionError as exc:
            if on_error is None:
                raise
            on_error(exc)
    if not specs and on_error is None:
        raise InvalidOptionError("the MCP config has no enabled server; add one under 'mcpServers'")
    return specs


def _parts(config: Any) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return the servers, and the descriptions of the inputs."""
    servers = config
    inputs: list[Any] = []
    if isinstance(config, Mapping):
        outer = config.get("mcp", config)  # the settings file of VS Code
        outer = outer if isinstance(outer, Mapping) and outer.keys() & set(_OUTER) else config
        for key in (*_OUTER, "mcp"):
            # A server may have such a name, but it has no servers.
            if isinstance(found := outer.get(key), Mapping) and not found.keys() & {"command", "url"}:
                given = outer.get("inputs")
                servers, inputs = found, given if isinstance(given, list) else []
                break
    if not isinstance(servers, Mapping) or (
        servers is config and not all(isinstance(server, Mapping) for server in servers.values())
    ):
        raise InvalidOptionError(
            "the MCP config has the wrong shape; it must be "
            '{"mcpServers": {"name": {"command": "...", "args": [...]} or {"url": "..."}}}'
        )
    return servers, {
        str(item["id"]): str(item.get("description", ""))
        for item in inputs
        if isinstance(item, Mapping) and "id" in item
    }


def _enabled(name: str, server: Any) -> bool:
    if not isinstance(server, Mapping):
        raise InvalidOptionError(f"MCP server {name!r}: it must be an object with 'command' or 'url'")
    disabled, enabled = server.get("disabled"), server.get("enabled")
    for key, value in (("disabled", disabled), ("enabled", enabled)):
        if value is not None and not isinstance(value, bool):
            raise InvalidOptionError(f"MCP server {name!r}: {key!r} must be true or false")
    return disabled is not True and enabled is not False


_OUTER = ("mcpServers", "servers", "context_servers", "mcp.servers")
_URLS = ("url", "httpUrl", "serverUrl")
_TRANSPORTS: dict[str, Literal["stdio", "http", "sse"]] = {
    "stdio": "stdio",
    "local": "stdio",
    "sse": "sse",
    "http": "http",
    "streamable-http": "http",
    "streamablehttp": "http",
}
_UNSAID = ("remote",)  # a server over HTTP, either way

# Keys that other programs read and that change nothing here.
_FOREIGN = {
    "disabled",
    "enabled",
    "description",
    "autoApprove",
    "alwaysAllow",
    "trust",
    "gallery",
    "version",
    "timeout",
    "source",
    "settings",
}


def _spec(name: str, server: Mapping[str, Any], variables: Variables) -> Spec:
    def refuse(reason: str) -> InvalidOptionError:
        return InvalidOptionError(f"MCP server {name!r}: {reason}")

    given = {key: variables.expand(value, refuse) for key, value in _usual(server).items() if value is not None}
    urls = [key for key in _URLS if key in given]
    if ("command" in given) + len(urls) != 1:
        raise refuse("give either 'command' (a child process) or 'url' (a server over HTTP)")
    transport = _transport(given, urls, refuse)
    for key in urls:
        given["url"] = given.pop(key)
    keys = _HTTP if urls else _PROCESS
    for key in sorted(given.keys() - keys.keys() - _FOREIGN):
        hint = did_you_mean(key, keys)
        log.warning("MCP server %r: unknown key %r in its config is ignored%s", name, key, hint)
    known = {key: value for key, value in given.items() if key in keys}
    for key, value in known.items():
        fits, kind = keys[key]
        if not fits(value):
            raise refuse(f"{key!r} must be {kind}")
    if "command" in known:
        for key in {"command", "cwd"} & known.keys():
            known[key] = home(known[key])
        known["args"] = [home(arg) for arg in known.get("args", ())]
        return ProcessSpec(name=name, **known)
    known["url"] = known["url"].strip()
    _check_url(known["url"], refuse)
    for header, value in known.get("headers", {}).items():
        if not (is_line(header) and is_line(value)):
            raise refuse(f"its header {header!r} must be one line of printable ASCII characters")
    return HTTPSpec(name=name, transport=transport, **known)


def _usual(server: Mapping[str, Any]) -> dict[str, Any]:
    """Return a server with the command in one text, and the environment under its usual name, without nulls."""
    given = dict(server)
    if isinstance(command := given.get("command"), Mapping):  # of older versions of Zed
        given = {**given, **command, "command": command.get("path")}
        given.pop("path", None)
    command, more = given.get("command"), given.get("args") or []
    if isinstance(command, list) and command and isinstance(more, list):
        given["command"], given["args"] = command[0], [*command[1:], *more]
    if "env" not in given and "environment" in given:
        given["env"] = given.pop("environment")
    for key in {"env", "headers"} & given.keys():
        if isinstance(items := given[key], Mapping):
            given[key] = {name: _word(item) for name, item in items.items() if item is not None}
    return given


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _check_url(url: str, refuse: Callable[[str], InvalidOptionError]) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:  # its text may show a password
        raise refuse("its url is not valid; correct its host and port") from exc
    if parts.scheme.lower() not in ("http", "https"):
        raise refuse("its url must begin with http:// or https://")
    if not host:
        raise refuse("its url has no host")


def _transport(
    given: dict[str, Any], urls: list[str], refuse: Callable[[str], InvalidOptionError]
) -> Literal["http", "sse"] | None:
    """Take the transport out of a server's keys; None if they do not say it."""
    words = [given.pop(key) for key in ("transport", "type", "transportType") if key in given]
    words = [word for word in words if word not in _UNSAID or not urls]
    transports: list[Literal["stdio", "http", "sse"] | None] = [
        _TRANSPORTS.get(word.lower().replace("_", "-")) if isinstance(word, str) else None for word in words
    ]
    for word, transport in zip(words, transports, strict=True):
        if transport is None or (transport == "stdio") == bool(urls):
            raise refuse(f"{word!r} does not match; type must be 'stdio' with 'command', or 'http' or 'sse' with 'url'")
    return next((transport for transport in transports if transport in ("http", "sse")), None)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_TEXT = (_is_text, "a string")
_MAPPING = (_is_mapping, "an object of strings")
_PROCESS = {"command": _TEXT, "args": (_is_texts, "a list of strings"), "env": _MAPPING, "cwd": _TEXT}
_HTTP = {"url": _TEXT, "headers": _MAPPING}
