"""The options of an MCP client: their types, defaults and checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args

from attrs import field, fields_dict, frozen

from aimu._core.nearest import did_you_mean
from aimu._doors import public
from aimu.errors import InvalidOptionError

Protocol = Literal["auto", "legacy", "2026-07-28"]


@public("aimu.types")
class MCPOptions(TypedDict, total=False):
    """The further keyword arguments of an MCP client.

    Attributes:
        protocol: The protocol to speak: "2026-07-28"; "legacy", which is all earlier ones; or "auto", which asks the
            server, and starts afresh with "legacy" if it does not survive the question or answers it incompletely.
        max_message_bytes: The largest message that is accepted from a server, in bytes; what is larger is discarded,
            and its call raises MCPTooLargeError.
    """

    protocol: Protocol
    max_message_bytes: int


def _is_protocol(_: object, __: object, value: object) -> None:
    if value not in get_args(Protocol):
        raise InvalidOptionError(f"protocol must be one of {', '.join(get_args(Protocol))}, got {value!r}")


def _is_size(_: object, __: object, value: object) -> None:
    if type(value) is not int or value < 1:
        raise InvalidOptionError(f"max_message_bytes must be a whole number of at least 1, got {value!r}")


@frozen(kw_only=True)
class Settings:
    """The checked options of one client."""

    timeout: float | None = None
    reconnect: bool = False
    protocol: Protocol = field(default="auto", validator=_is_protocol)
    max_message_bytes: int = field(default=64 * 1024 * 1024, validator=_is_size)


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
