"""Resources and prompts of a served program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from mimetypes import guess_type
from typing import Any
from urllib.parse import urlsplit

from aimu._core.threads import settled_in_thread
from aimu.aio._mcp.faults import words
from aimu.aio._serve.blocks import blocks_of
from aimu.errors import InvalidOptionError


def add_resources(server: Any, resources: Mapping[str, Any]) -> None:
    """Add resources to a FastMCP server: a text, bytes, or a function that returns one.

    Raises:
        InvalidOptionError: A value is nothing of that kind, or a function does not take the variables of its URI.
    """
    for uri, given in resources.items():
        if not isinstance(given, str | bytes) and not callable(given):
            raise InvalidOptionError(
                f"resources[{uri!r}] must be a str, bytes or a function, got {type(given).__name__}"
            )
        name = getattr(given, "__name__", None) or uri
        parts = urlsplit(uri)
        mime_type = guess_type(parts.netloc + parts.path)[0] or (
            "application/octet-stream" if isinstance(given, bytes) else None
        )
        try:
            server.resource(uri, name=name, mime_type=mime_type)(
                _surviving(given) if callable(given) else _constant(given)
            )
        except ValueError as exc:
            raise InvalidOptionError(f"resources[{uri!r}]: {words(exc)}") from exc


def _surviving(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that fails its request only, whatever it does."""

    @wraps(function)
    async def read(**arguments: Any) -> Any:
        return await _called(function, arguments)

    return read


async def _called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return what a function returns; a sync one runs in a thread.

    Raises:
        ValueError: It would have ended the program, and so the server for all clients.
    """
    try:
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        return await settled_in_thread(partial(function, **arguments))
    except SystemExit as exc:
        raise ValueError(f"SystemExit: {exc}") from exc


def _constant(content: str | bytes) -> Callable[[], str | bytes]:
    def read() -> str | bytes:
        return content

    return read


def add_prompts(server: Any, prompts: Iterable[Callable[..., Any]]) -> None:
    """Add prompts to a FastMCP server: functions that return a text, or messages in the form of `messages`.

    Raises:
        InvalidOptionError: An item is not a function that can be a prompt.
    """
    for function in prompts:
        if not callable(function):
            raise InvalidOptionError(f"prompts must be functions, got {type(function).__name__}")
        try:
            server.prompt(_prompt(function))
        except (ValueError, TypeError) as exc:
            raise InvalidOptionError(f"prompt {getattr(function, '__name__', function)!r}: {exc}") from exc


def _prompt(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that returns FastMCP's messages instead."""

    @wraps(function)
    async def prompt(**arguments: Any) -> list[Any]:
        returned = await _called(function, arguments)
        given = returned if _are_messages(returned) else [{"role": "user", "content": returned}]
        return [made for message in given for made in _messages(message)]

    return prompt


def _are_messages(returned: Any) -> bool:
    return isinstance(returned, list) and all(isinstance(item, dict) and "role" in item for item in returned)


def _messages(message: Mapping[str, Any]) -> list[Any]:
    """Return a message as FastMCP's, one for each block of its content.

    Raises:
        ValueError: It is neither the user's nor the assistant's; the protocol knows no others.
    """
    from fastmcp.prompts import Message

    if message["role"] not in ("user", "assistant"):
        raise ValueError(f"a prompt has messages of 'user' and 'assistant' only, not of {message['role']!r}")
    return [Message(block, role=message["role"]) for block in blocks_of(message["content"])]
