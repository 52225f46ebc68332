"""The options of an MCP client: their types, defaults and checks."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, final, get_args

from attrs import Attribute, field, fields_dict, frozen

from aimu._core.nearest import did_you_mean
from aimu._doors import public
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


Elicit: TypeAlias = Callable[[Elicitation], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]


@public("aimu.types")
class MCPOptions(TypedDict, total=False):
    """The further keyword arguments of an MCP client.

    Attributes:
        protocol: The protocol to speak: "2026-07-28"; "legacy", which is all earlier ones; or "auto", which asks the
            server, and starts afresh with "legacy" if it does not survive the question or answers it incompletely.
        max_message_bytes: The largest message that is accepted from a server, in bytes; what is larger is discarded,
            and its call raises MCPTooLargeError.
        elicit: Answers the questions that a server asks the user while a call runs: a dict accepts, and is the answer
            (empty for a page that the user visited); None declines. May be `async def`; a plain function runs in a
            worker thread, so it may use `input()`. Without it, servers are told that nobody can be asked.
            `aimu.tools.ask_in_terminal` is one.
        roots: Folders that a server may work in, if it asks.
    """

    protocol: Protocol
    max_message_bytes: int
    elicit: Elicit | None
    roots: Sequence[str | os.PathLike[str]]


def _is_protocol(_: object, __: object, value: object) -> None:
    if value not in get_args(Protocol):
        raise InvalidOptionError(f"protocol must be one of {', '.join(get_args(Protocol))}, got {value!r}")


def _is_size(_: object, __: object, value: object) -> None:
    if type(value) is not int or value < 1:
        raise InvalidOptionError(f"max_message_bytes must be a whole number of at least 1, got {value!r}")


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
    elicit: Elicit | None = field(default=None, validator=_is_callable)
    roots: Sequence[str | os.PathLike[str]] = field(default=(), validator=_is_list_of_paths)


def settings(given: Mapping[str, Any], **more: Any) -> Settings:
    """Return the checked options.

    Raises:
        InvalidOptionError: An option has an unknown name or an invalid value.
    """
    known = fields_dict(Settings)
    for name in given:
        if name not in known:
            raise InvalidOptionError(f"an MCP client has no option {name!r}{did_you_mean(name, known)}")
    return Settings(**more, **given)
