"""The options of an MCP client: their types, defaults and checks."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, cast, final, get_args

from attrs import Attribute, field, fields_dict, frozen

from aimu._core.nearest import did_you_mean
from aimu._doors import public
from aimu.aio._mcp.names import Naming, is_fit
from aimu.aio._mcp.variables import Inputs, Variables, is_line
from aimu.errors import InvalidOptionError

Protocol = Literal["auto", "legacy", "2026-07-28"]


@public("aimu.types")
@final
@frozen(kw_only=True)
class Elicitation:
    """A question that an MCP server asks the user while a call runs.

    Attributes:
        server: The server's name.
        message: The question.
        schema: The JSON Schema of the answer, an object of plain fields; None if the user shall visit `url`.
        url: The page that the user shall visit to answer there, or None.
    """

    server: str
    message: str
    schema: Mapping[str, Any] | None = None
    url: str | None = None


Headers: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
Bearer: TypeAlias = str | Callable[[], str | Awaitable[str]]
Elicit: TypeAlias = Callable[[Elicitation], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]


@public("aimu.types")
class MCPOptions(TypedDict, total=False):
    """The further keyword arguments of an MCP client.

    Attributes:
        protocol: The protocol to speak: "2026-07-28"; "legacy", which is all earlier ones; or "auto", which asks the
            server, and starts afresh with "legacy" if it does not survive the question or answers it incompletely.
        max_message_bytes: The largest message that is accepted from a server, in bytes; what is larger is discarded,
            and its call raises MCPTooLargeError.
        on_error: "raise" raises the first error of a server that is configured wrongly or does not connect; "skip"
            leaves such servers out, with a warning.
        inputs: Values for `${input:ID}` in the configuration, or a function that is asked for each, with its id and
            description.
        headers: Headers for each request to a server over HTTP, with variables as in the configuration; or a function,
            which may be `async def`, that returns them, and is called again when the server answers 401. A plain
            function runs in a worker thread. Not for several servers, which would get each other's secrets.
        bearer: A token, sent as `Authorization: Bearer`, likewise.
        prefix: What comes before the name of each tool: True is the server's name and "_", as with several servers by
            default; False is nothing; a text comes first of all.
        rename: New names for tools by their own names, or by `<server>_<tool>`; no prefix is added to them.
        include: The tools to offer, by their own names or `<server>_<tool>`; `*` stands for any characters. None is
            all.
        exclude: The tools to leave out, likewise.
        elicit: Answers the questions that a server asks the user while a call runs: a dict accepts, and is the answer
            (empty for a page that the user visited); None declines. May be `async def`; a plain function runs in a
            worker thread, so it may use `input()`. If it raises, or its answer does not fit the question's schema, a
            warning is logged and the server is told that the question was cancelled. Without it, servers are told that
            nobody can be asked. `aimu.tools.ask_in_terminal` is one.
        roots: Folders that a server may work in, if it asks.
    """

    protocol: Protocol
    max_message_bytes: int
    on_error: Literal["raise", "skip"]
    inputs: Inputs | None
    headers: Headers | None
    bearer: Bearer | None
    prefix: bool | str | None
    rename: Mapping[str, str]
    include: Sequence[str] | None
    exclude: Sequence[str]
    elicit: Elicit | None
    roots: Sequence[str | os.PathLike[str]]


def _is_protocol(_: object, __: object, value: object) -> None:
    if value not in get_args(Protocol):
        raise InvalidOptionError(f"protocol must be one of {', '.join(get_args(Protocol))}, got {value!r}")


def _is_size(_: object, __: object, value: object) -> None:
    if type(value) is not int or value < 1:
        raise InvalidOptionError(f"max_message_bytes must be a whole number of at least 1, got {value!r}")


def _is_reaction(_: object, __: object, value: object) -> None:
    if value not in ("raise", "skip"):
        raise InvalidOptionError(f"on_error must be 'raise' or 'skip', got {value!r}")


def _is_inputs(_: object, __: object, value: Any) -> None:
    if value is not None and not callable(value) and not isinstance(value, Mapping):
        raise InvalidOptionError(f"inputs must be a dict or a function, got {type(value).__name__}")


def _is_headers(_: object, __: object, value: Any) -> None:
    if value is None or callable(value):
        return
    if not isinstance(value, Mapping) or not all(is_line(item) for pair in value.items() for item in pair):
        raise InvalidOptionError("headers must be a dict of names and values in one line each, or a function")


def _is_token(_: object, __: object, value: Any) -> None:
    if value is not None and not callable(value) and not (is_line(value) and value):
        raise InvalidOptionError("bearer must be a token in one line, or a function")


def _is_prefix(_: object, __: object, value: Any) -> None:
    if not isinstance(value, bool) and value is not None and not is_fit(value):
        raise InvalidOptionError(f"prefix must be True, False or 1 to 64 letters, digits, '_' and '-', got {value!r}")


def _is_renaming(_: object, __: object, value: object) -> None:
    if not isinstance(value, Mapping):
        raise InvalidOptionError(f"rename must be a dict of names, got {value!r}")
    names: list[object] = list(cast("Mapping[object, object]", value).values())
    for name in names:
        if not is_fit(name):
            raise InvalidOptionError(f"rename must give names of 1 to 64 letters, digits, '_' and '-', got {name!r}")
        if names.count(name) > 1:
            raise InvalidOptionError(f"rename gives two tools the name {name!r}")


def _is_list_of_names(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is None and attribute.default is None:
        return
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in value):
        raise InvalidOptionError(f"{attribute.name} must be a list of names, got {value!r}")


def _is_callable(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise InvalidOptionError(f"{attribute.name} must be a function, got {type(value).__name__}")


def _is_list_of_paths(_: object, __: object, value: object) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str | os.PathLike) for item in value):
        raise InvalidOptionError(f"roots must be a list of paths, got {value!r}")


@frozen(kw_only=True)
class Settings:
    """The checked options of one client."""

    timeout: float | None = None
    reconnect: bool = False
    protocol: Protocol = field(default="auto", validator=_is_protocol)
    max_message_bytes: int = field(default=64 * 1024 * 1024, validator=_is_size)
    on_error: Literal["raise", "skip"] = field(default="raise", validator=_is_reaction)
    inputs: Inputs | None = field(default=None, validator=_is_inputs)
    headers: Headers | None = field(default=None, repr=False, validator=_is_headers)
    bearer: Bearer | None = field(default=None, repr=False, validator=_is_token)
    prefix: bool | str | None = field(default=None, validator=_is_prefix)
    rename: Mapping[str, str] = field(factory=dict[str, str], validator=_is_renaming)
    include: Sequence[str] | None = field(default=None, validator=_is_list_of_names)
    exclude: Sequence[str] = field(default=(), validator=_is_list_of_names)
    elicit: Elicit | None = field(default=None, validator=_is_callable)
    roots: Sequence[str | os.PathLike[str]] = field(default=(), validator=_is_list_of_paths)

    @property
    def naming(self) -> Naming:
        """How tools are named."""
        include = None if self.include is None else tuple(self.include)
        return Naming(prefix=self.prefix, rename=self.rename, include=include, exclude=tuple(self.exclude))


def _unresolved(reason: str) -> InvalidOptionError:
    return InvalidOptionError(f"headers= or bearer=: {reason}")


def settings(given: Mapping[str, Any], **more: Any) -> Settings:
    """Return the checked options.

    Raises:
        InvalidOptionError: An option has an unknown name or an invalid value.
    """
    known = fields_dict(Settings)
    for name in given:
        if name not in known:
            raise InvalidOptionError(f"an MCP client has no option {name!r}{did_you_mean(name, known)}")
    chosen = dict(given)
    variables = Variables(chosen.get("inputs"))
    for name in {"headers", "bearer"} & chosen.keys():
        chosen[name] = variables.expand(chosen[name], _unresolved)
    return Settings(**more, **chosen)
