"""The tools of one conversation: names, schemas, and one call from request to result.

A tool's failure is told to the model and logged under `aimu.tools` at WARNING, with the traceback where a tool raised.
What is recorded, and that calls overlap or not, is the caller's business.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import aclosing, contextmanager
from typing import Any, TypeAlias, TypeGuard, final

import anyio
import attrs

from aimu._core.groups import unwrap
from aimu._core.images import url_of
from aimu._core.reply import ToolCall
from aimu._core.threads import InThread, run_in_thread
from aimu.errors import ToolError, ToolNameClashError, UnknownToolError
from aimu.tools._definition import Tool, as_tool

log = logging.getLogger("aimu.tools")

Content: TypeAlias = str | list[dict[str, Any]]
OnEnd: TypeAlias = Callable[[Content], object]


@final
class Toolbox:
    """Tools by name. Two of one name are a ToolNameClashError, what is no tool is a ToolSignatureError."""

    def __init__(self, tools: Iterable[Callable[..., Any] | Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in map(as_tool, tools):
            first = self._tools.setdefault(tool.name, tool)
            if first is not tool:
                raise ToolNameClashError(tool.name, first.origin, tool.origin)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    def get(self, name: str) -> Tool | None:
        return self._tools.get(name)

    @functools.cached_property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """In OpenAI function format; made once, not to be mutated."""
        return tuple(tool.schema for tool in self._tools.values())

    async def call(
        self, call: ToolCall, *, on_start: Callable[[], object], on_end: OnEnd, in_thread: InThread = run_in_thread
    ) -> None:
        """Run what `call` asks for. `on_start` is called directly before the function begins, `on_end` with the
        content for the model directly after it ended, both on the thread that runs the function.

        A call that cannot be made (unknown tool, arguments that do not fit) is ended without a start. An exception of
        the tool is its result, and is raised too if the tool's `raises` names it. A cancellation passes, and leaves the
        call without an end; where a sync tool runs in its thread it is waited for, and ended, first. `in_thread` is
        what calls sync tools.
        """
        try:
            tool = self._tools.get(call.name)
            if tool is None:
                raise UnknownToolError(call.name, self.names)
            arguments = tool.bind(call.arguments)
        except ToolError as exc:
            log.warning("tool call not executed: %s", exc)
            on_end(f"Error: {exc}")
            return

        def begin() -> list[Awaitable[Any]]:  # in a list, since trio takes no coroutine out of a thread
            on_start()
            with _failures_told(tool, on_end):
                result = tool.function(**arguments)
                if (pending := pending_of(result)) is not None:
                    return [pending]
                on_end(content_of(result))
            return []

        here = tool.is_async or tool.on_event_loop
        with anyio.move_on_after(tool.timeout) as scope:
            for pending in begin() if here else await in_thread(begin):
                with _failures_told(tool, on_end):
                    on_end(content_of(await pending))
        if scope.cancelled_caught:
            log.warning("tool %r was stopped at its timeout of %g s", tool.name, tool.timeout)
            on_end(f"Error: {tool.name} did not end within {tool.timeout:g} seconds and was stopped.")


@contextmanager
def _failures_told(tool: Tool, on_end: OnEnd) -> Generator[None]:
    try:
        yield
    except Exception as exc:  # a tool may raise anything: that is its result
        error = unwrap(exc)
        log.warning("tool %r failed", tool.name, exc_info=exc)
        on_end(": ".join(filter(None, ("Error", type(error).__name__, str(error)))))
        if isinstance(error, tool.raises):
            raise error  # noqa: B904 - it keeps its own cause


def pending_of(result: Any) -> Awaitable[Any] | None:
    """What is still to be awaited for a result, or None: of an async generator, the list of what it yields."""
    if inspect.isasyncgen(result):
        return _listed(result)
    return result if inspect.isawaitable(result) else None


async def _listed(generator: AsyncGenerator[Any, Any]) -> list[Any]:
    async with aclosing(generator):
        return [item async for item in generator]


def content_of(result: Any) -> Content:
    """What a model reads: text as it is, content parts as they are, anything else as JSON, or `str()` in its place."""
    if type(result) is str:
        return result
    if _is_parts(result):
        return result
    from pydantic_core import to_jsonable_python

    value = to_jsonable_python(result, fallback=_plain)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return attrs.asdict(value, recurse=False) if attrs.has(type(value)) else str(value)


def _is_parts(result: Any) -> TypeGuard[list[dict[str, Any]]]:
    if not isinstance(result, list) or not result:
        return False
    return all(isinstance(part, dict) and _is_part(part) for part in result)


def _is_part(part: dict[str, Any]) -> bool:
    if part.get("type") == "text":
        return isinstance(part.get("text"), str)
    return part.get("type") == "image_url" and url_of(part) != ""
