"""Checks of what callers pass, each of which raises InvalidOptionError: validators for attrs fields, texts, lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from inspect import isawaitable
from typing import Any

from attrs import Attribute

from aimu.errors import InvalidOptionError
from aimu.tools._like import ToolLike


def not_empty(instance: object, attribute: Attribute[Any], value: Sized) -> None:
    if not value:
        raise InvalidOptionError(f"{attribute.name} is empty; give at least one runner")


def at_least_one(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if not _is_int(value) or value < 1:
        raise InvalidOptionError(f"{attribute.name} must be an integer of at least 1, got {value!r}")


def at_least_one_or_none(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if value is not None:
        at_least_one(instance, attribute, value)


def one_of(*names: str) -> Callable[[object, Attribute[Any], Any], None]:
    def check(instance: object, attribute: Attribute[Any], value: Any) -> None:
        if value not in names:
            raise InvalidOptionError(f"{attribute.name} must be {' or '.join(map(repr, names))}, got {value!r}")

    return check


def calls_at_once(instance: object, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, int) or value < 0:
        raise InvalidOptionError(
            f"{attribute.name} must be True, False or the number of calls that may run at once, got {value!r}"
        )


def checked_text(text: Any, name: str, images: Sequence[Any] | None = None) -> str:
    """Return what the user asks as a plain str: a str, which may be blank only beside images."""
    if not isinstance(text, str):
        raise InvalidOptionError(f"{name} must be a string, got {_shown(text)}; {_instead_of(text)}")
    if not images and (not text or text.isspace()):
        raise InvalidOptionError(f"{name} is {'blank' if text else 'empty'}; pass the text to send, or add images=")
    return text if type(text) is str else str.__str__(text)


def checked_system(text: Any) -> str | None:
    """Return a system message as a plain str, or None."""
    if text is None or type(text) is str:
        return text
    if not isinstance(text, str):
        raise InvalidOptionError(f"a system message must be a string or None, got {_shown(text)}; {_instead_of(text)}")
    return str.__str__(text)


def tool_list(tools: Sequence[ToolLike]) -> list[ToolLike]:
    """Return `tools=` as a list of its own; the items are checked when the conversation uses them."""
    given: Any = tools
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping | type):
        return list(given)
    name = getattr(given, "__name__", None) or getattr(given, "name", None) or type(given).__name__
    if given is None or isinstance(given, str | bytes | Mapping):
        shown, remedy = _shown(given), "pass the functions themselves in a list, or [] for none"
    else:
        shown, remedy = f"the single {type(given).__name__} {name!r}", f"put it in a list, as in tools=[{name}]"
    raise InvalidOptionError(f"tools= must be a list, got {shown}; {remedy}")


def _shown(value: object) -> str:
    shown = repr(value)
    kind = type(value).__name__
    return shown if value is None else f"{kind} {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _instead_of(value: object) -> str:
    """Return the remedy for a value that should be a text."""
    if isawaitable(value):
        return "await it first"
    if isinstance(value, bytes | bytearray):
        return "decode it to a str first"
    if isinstance(value, Mapping | list | tuple):
        return "pass the text alone; to continue earlier messages, assign them to client.messages"
    return "pass the text to send" if value is None else "convert it to a str first"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
