"""The configuration of MCP servers: reads, expands and checks the `mcpServers` JSON. Connects to nothing."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, final
from urllib.parse import urlsplit

from attrs import field, frozen

from aimu._core.escaping import escaping
from aimu._core.json_text import read_json
from aimu.errors import InvalidOptionError

log = escaping(logging.getLogger("aimu.aio"))

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@final
@frozen(kw_only=True)
class ProcessSpec:
    """A server to run as a child process; `env` is added to the few variables that it inherits."""

    name: str
    command: str
    args: tuple[str, ...] = field(default=(), converter=_texts)
    env: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    cwd: str | None = None

    @property
    def place(self) -> str:
        return f"command {self.command!r}"


@final
@frozen(kw_only=True)
class HTTPSpec:
    """A server at a URL that speaks streamable HTTP."""

    name: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)

    @property
    def place(self) -> str:
        """The URL without the parts that may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


Spec: TypeAlias = ProcessSpec | HTTPSpec


def read_file(path: str | os.PathLike[str]) -> list[Spec]:
    """Return the servers of a JSON file.

    Raises:
        InvalidOptionError: The file cannot be read, or its contents are invalid.
    """
    try:
        config = read_json(Path(path).read_text(encoding="utf8"))
    except OSError as exc:
        raise InvalidOptionError(f"MCP config {os.fspath(path)!r} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise InvalidOptionError(f"MCP config {os.fspath(path)!r} is not JSON: {exc}") from exc
    return read_config(config)


def read_config(config: Any) -> list[Spec]:
    """Return the servers of `{"mcpServers": {name: server}}`, or of the inner mapping alone.

    A server has `command` (with `args`, `env`, `cwd`) or `url` (with `headers`); a server with `"disabled": true` is
    left out. `${VAR}` and `${VAR:-default}` in any text are replaced by environment variables.

    Raises:
        InvalidOptionError: The configuration is invalid, or an environment variable is not set.
    """
    servers = config.get("mcpServers", config) if isinstance(config, Mapping) else None
    if not isinstance(servers, Mapping) or not all(isinstance(server, Mapping) for server in servers.values()):
        raise InvalidOptionError(
            "the MCP config has the wrong shape; it must be "
            '{"mcpServers": {"name": {"command": "...", "args": [...]} or {"url": "..."}}}'
        )
    specs = [_spec(str(name), server) for name, server in servers.items() if not server.get("disabled")]
    if not specs:
        raise InvalidOptionError("the MCP config has no enabled server; add one under 'mcpServers'")
    return specs


def _spec(name: str, server: Mapping[str, Any]) -> Spec:
    def refuse(reason: str) -> InvalidOptionError:
        return InvalidOptionError(f"MCP server {name!r}: {reason}")

    given = {key: _expanded(value, refuse) for key, value in server.items() if value is not None}
    if ("command" in given) == ("url" in given):
        raise refuse("give either 'command' (a child process) or 'url' (streamable HTTP)")
    keys, transports = (_PROCESS, _STDIO) if "command" in given else (_HTTP, _STREAMABLE)
    for key in ("transport", "type"):
        if given.pop(key, transports[0]) not in transports:
            raise refuse(f"{key!r} does not match; it must be 'stdio' with 'command', or 'http' with 'url'")
    for key in sorted(given.keys() - keys.keys() - {"disabled"}):
        log.warning("MCP server %r: unknown key %r in its config is ignored", name, key)
    known = {key: value for key, value in given.items() if key in keys}
    for key, value in known.items():
        fits, kind = keys[key]
        if not fits(value):
            raise refuse(f"{key!r} must be {kind}")
    if "command" in known:
        return ProcessSpec(name=name, **known)
    if urlsplit(known["url"]).scheme not in ("http", "https"):
        raise refuse("its url must begin with http:// or https://")
    return HTTPSpec(name=name, **known)


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
_STDIO, _STREAMABLE = ("stdio",), ("http", "streamable-http", "streamable_http", "streamableHttp")


def _expanded(value: Any, refuse: Callable[[str], InvalidOptionError]) -> Any:
    """Return `value` with the environment variables in its texts expanded, and with numbers as texts."""

    def variable(match: re.Match[str]) -> str:
        text = os.environ.get(match[1])
        if not text and match[2] is not None:
            return match[2]
        if text is None:
            raise refuse(f"the environment variable {match[1]} is not set; set it or write ${{{match[1]}:-default}}")
        return text

    if isinstance(value, str):
        head, brace, tail = value.rpartition("}")  # without what no brace closes, where each `${` looks for one
        return _VARIABLE.sub(variable, head + brace) + tail
    if isinstance(value, list):
        return [_expanded(item, refuse) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _expanded(item, refuse) for key, item in value.items()}
    return str(value) if type(value) in (int, float) else value
