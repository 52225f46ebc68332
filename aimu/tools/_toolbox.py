"""Holds the tools of one conversation: names, schemas, and the execution of one call.

A failure of a tool becomes the result of its call, and is logged under `aimu.tools` at WARNING; with the traceback,
unless the exception is one of the library's that says what happened. The caller records results and decides which calls
overlap.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias, TypeGuard, cast, final

import anyio
import attrs
from anyio.lowlevel import checkpoint
from attrs import frozen

from aimu._core.escaping import escaping
from aimu._core.groups import single_failure, unwrap
from aimu._core.images import url_of
from aimu._core.reply import ToolCall
from aimu._core.threads import InThread, run_in_thread
from aimu._doors import public
from aimu.errors import AimuError, ToolError, ToolNameClashError, UnknownToolError, UsageError
from aimu.tools._current import CALL
from aimu.tools._definition import Tool, as_tool
from aimu.tools._signature import without_bound

log = escaping(logging.getLogger("aimu.tools"))

_AT_ONCE = 16  # schemas that are made before other tasks get their turn

Content: TypeAlias = str | list[dict[str, Any]]
OnEnd: TypeAlias = Callable[[Content], object]


@public("aimu.tools")
@final
class Toolbox:
    """The tools of a conversation, by name.

    Args:
        tools: Tools, or functions as in `as_tool`.

    Raises:
        ToolNameClashError: Two tools have the same name.
        ToolSignatureError: An item is not a tool, or a model could not call it.

    Example:
        Toolbox([add, get_weather]).names  # ("add", "get_weather")
    """

    def __init__(self, tools: Iterable[Callable[..., Any] | Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in map(as_tool, tools):
            first = self._tools.setdefault(tool.name, tool)
            if first is not tool:
                raise ToolNameClashError(tool.name, first.origin, tool.origin)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools, in the order in which they were given."""
        return tuple(self._tools)

    def get(self, name: str) -> Tool | None:
        """Look up a tool.

        Args:
            name: Name of the tool, as the model knows it.

        Returns:
            The tool, or None if there is none of that name.
        """
        return self._tools.get(name)

    @functools.cached_property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """The tools in OpenAI function format. Made once; do not modify."""
        return tuple(tool.schema for tool in self._tools.values())

    async def offered(self) -> tuple[dict[str, Any], ...]:
        """Return `schemas`. Between the tools it lets other tasks run: making a schema may take a millisecond."""
        if "schemas" not in self.__dict__:
            for number, tool in enumerate(self._tools.values(), 1):
                _ = tool.schema  # the tool keeps the costly part
                if number % _AT_ONCE == 0:
                    await checkpoint()
        return self.schemas

    async def call(
        self, call: ToolCall, *, on_start: Callable[[], object], on_end: OnEnd, in_thread: InThread = run_in_thread
    ) -> None:
        """Execute one tool call and report its start and its result.

        If the call is invalid (unknown tool, invalid arguments), `on_end` is called without `on_start`. An exception of
        the tool becomes its result. A cancellation is raised without a call of `on_end`; but if a sync tool is running
        in a worker thread, the thread is waited for and `on_end` is called first.

        Args:
            call: The tool call that the model asks for.
            on_start: Called directly before the function begins, in the thread that runs the function.
            on_end: Called with the content for the model directly after the function ends, in the same thread.
            in_thread: Runs a sync tool in a worker thread.

        Raises:
            Exception: The tool raised an exception that its `raises` names. `on_end` has been called.
        """
        await self.execute(
            call,
            on_start=on_start,
            on_result=lambda result: on_end(content_of(result)),
            on_failure=lambda reason: on_end(f"Error: {reason}"),
            in_thread=in_thread,
        )

    async def execute(
        self,
        call: ToolCall,
        *,
        on_start: Callable[[], object],
        on_result: Callable[[Any], object],
        on_failure: Callable[[str], object],
        in_thread: InThread = run_in_thread,
    ) -> None:
        """Execute one tool call like `call`, but report what the function returns, or why there is nothing.

        If `on_result` raises, the tool has failed. If the tool raised, `on_failure` is called before this raises.
        """
        try:
            tool = self._tools.get(call.name)
            if tool is None:
                raise UnknownToolError(call.name, self.names)
            arguments = tool.bind(call.arguments)
        except ToolError as exc:
            log.warning("did not execute a tool call: %s", exc)
            on_failure(str(exc))
            return

        def begin() -> list[Awaitable[Any]]:  # in a list, since trio refuses a coroutine as the result of a thread
            on_start()
            with _ReportedFailures(tool, on_failure):
                result = tool.function(**arguments)
                if (pending := pending_of(result)) is not None:
                    return [pending]
                on_result(result)
            return []

        here = tool.is_async or tool.on_event_loop
        with anyio.move_on_after(tool.timeout) as scope:
            if not here and in_thread is not run_in_thread and (current := CALL.get()) is not None:
                current.keep_deadline()
            for pending in begin() if here else await in_thread(begin):
                with _ReportedFailures(tool, on_failure), single_failure(levels=0):
                    on_result(await pending)
        if scope.cancelled_caught:
            log.warning("stopped tool %r at its timeout of %g s", tool.name, tool.timeout)
            on_failure(f"{tool.name} did not end within {tool.timeout:g} seconds and was stopped.")


@final
@frozen
class _ReportedFailures:
    """A block in which a tool runs: an Exception becomes its result, and is raised too if the tool declares that.

    Not a generator: its frame, in the traceback, holds that of `contextlib`, and that the exception (in Python 3.12).
    """

    tool: Tool
    on_failure: Callable[[str], object]

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> bool:
        if not isinstance(exc, Exception):
            return False
        error = unwrap(exc)
        try:
            if isinstance(error, AimuError) and not isinstance(error, UsageError):  # it says what happened
                log.warning("tool %r failed: %s", self.tool.name, error)
            else:
                log.warning("tool %r failed", self.tool.name, exc_info=exc)
            reason = without_bound(self.tool.function, str(error))
            self.on_failure(": ".join(filter(None, (type(error).__name__, reason))))
            if isinstance(error, self.tool.raises) and error is not exc:
                raise error
            return not isinstance(error, self.tool.raises)
        finally:
            del error, exc, traceback  # whose frames may hold this one, and with it the stream


def pending_of(result: Any) -> Awaitable[Any] | None:
    """Return the awaitable that still has to finish, or None; an async generator gives a list of its items."""
    if inspect.isasyncgen(result):
        return _listed(result)
    return result if inspect.isawaitable(result) else None


async def _listed(generator: AsyncGenerator[Any, Any]) -> list[Any]:
    async with aclosing(generator):
        return [item async for item in generator]


def content_of(result: Any) -> Content:
    """Convert a result for the model: text and content parts stay as they are, other values become JSON or `str()`."""
    if type(result) is str:
        return result
    return result if is_parts(result) else text_of(plain_data(result))


def text_of(value: Any) -> str:
    """Return JSON data as a text for the model; a string stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain_data(result: Any) -> Any:
    """Convert a result to JSON data."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(result, fallback=_plain)
    except (UnicodeError, PydanticSerializationError):
        return _by_parts(result)


def _plain(value: Any) -> Any:
    return attrs.asdict(value, recurse=False) if attrs.has(type(value)) else str(value)


def _by_parts(value: Any) -> Any:
    """Convert a result that has half a surrogate, which pydantic refuses in keys and in the texts of its models."""
    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, BaseModel):
        value = value.model_dump()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    elif attrs.has(type(value)):
        value = _plain(value)
    if isinstance(value, Mapping):
        return {_key(key): _by_parts(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_by_parts(item) for item in cast("Iterable[Any]", value)]
    try:
        return to_jsonable_python(value, fallback=_plain)
    except UnicodeError:
        return str(value)


def _key(key: Any) -> str:
    from pydantic_core import to_jsonable_python

    try:
        return str(next(iter(to_jsonable_python({key: None}))))
    except UnicodeError:
        return str(key)


def is_parts(result: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Return whether a result is a list of content parts."""
    if not isinstance(result, list) or not result:
        return False
    return all(isinstance(part, dict) and _is_part(part) for part in result)


def _is_part(part: dict[str, Any]) -> bool:
    if part.get("type") == "text":
        return isinstance(part.get("text"), str)
    return part.get("type") == "image_url" and url_of(part) != ""
