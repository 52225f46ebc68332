"""Results that do not quite follow the protocol, put right before the SDK checks them.

The SDK refuses a whole list for one item, and a whole result for one kind of content that it does not know. Here a tool
without a schema takes no arguments, an item that is not valid is left out, and content of an unknown kind is named.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self, final

from aimu._core.escaping import escaping
from aimu.aio._mcp.faults import words

log = escaping(logging.getLogger("aimu.aio"))

_MODERN = "2026-07-28"
_LISTS = {
    "tools": "tools/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
    "prompts": "prompts/list",
}
_KINDS = ("text", "image", "audio", "resource_link", "resource")


@asynccontextmanager
async def tolerant(transport: AbstractAsyncContextManager[Any], server: str) -> AsyncGenerator[tuple[Any, Any]]:
    """Enter a transport, and put its results right."""
    async with transport as (incoming, outgoing):
        yield _Incoming(incoming, Tolerance(server)), outgoing


@final
class Tolerance:
    """Puts the results of one connection right."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._version = _MODERN  # until the handshake of an earlier protocol
        self._told: set[tuple[str, str]] = set()

    def mend(self, result: dict[str, Any]) -> None:
        """Change a result in place."""
        version = result.get("protocolVersion")
        if isinstance(version, str):
            self._version = version
        for key, method in _LISTS.items():
            if isinstance(result.get(key), list):
                self._mend_list(result, key, method)
        content = result.get("content")
        if content is None and ("structuredContent" in result or "isError" in result):
            result["content"] = []
        elif isinstance(content, list):
            result["content"] = list(map(_block, content))

    def _mend_list(self, result: dict[str, Any], key: str, method: str) -> None:
        if self._problem(method, result) is None or self._problem(method, {**result, key: []}) is not None:
            return  # all items are valid, or the result is not, whatever they are
        kept: list[Any] = []
        for item in result[key]:
            problem = self._problem(method, {**result, key: [item]})
            forms = [item] if problem is None else _tool_forms(item) if key == "tools" else []
            fitting = next((form for form in forms if self._problem(method, {**result, key: [form]}) is None), None)
            if fitting is not None:
                kept.append(fitting)
            if problem is not None and (fitting is None or fitting is not forms[0]):
                self._warn(key, item, "left out" if fitting is None else "read only a part of", problem)
        result[key] = kept

    def _warn(self, key: str, item: Any, done: str, problem: str) -> None:
        name = str(item.get("name")) if isinstance(item, dict) else repr(item)
        if (key, name) not in self._told:
            self._told.add((key, name))
            log.warning(
                "MCP server %r: %s %r of its %s, which is not valid: %s", self._server, done, name, key, problem
            )

    def _problem(self, method: str, result: dict[str, Any]) -> str | None:
        """Return why a result is not valid; None if it is."""
        from mcp_types.methods import validate_server_result

        try:
            validate_server_result(method, self._version, result)
        except KeyError:  # the version does not know the method
            return None
        except ValueError as exc:
            return words(exc)
        return None


def _tool_forms(tool: Any) -> list[Any]:
    """Return a tool in the forms in which it may be valid, the best first."""
    if not isinstance(tool, dict):
        return [tool]
    schema = tool.get("inputSchema")
    if schema is None or schema is True:
        schema = {}
    if isinstance(schema, dict):
        schema = {"type": "object"} | {key: value for key, value in schema.items() if value is not None}
    whole = {key: value for key, value in tool.items() if value is not None} | {"inputSchema": schema}
    needed = {key: whole[key] for key in ("name", "title", "description", "inputSchema") if key in whole}
    return [whole, needed, {key: needed[key] for key in ("name", "inputSchema") if key in needed}]


def _block(block: Any) -> Any:
    """Return a block of content; a text that names it if the protocol does not know its kind."""
    if not isinstance(block, dict):
        return block
    kind = block.get("type")
    return {"type": "text", "text": f"[{kind}, not shown]"} if isinstance(kind, str) and kind not in _KINDS else block


@final
class _Incoming:
    """The messages of a server, as the SDK reads them."""

    def __init__(self, messages: Any, tolerance: Tolerance) -> None:
        self._messages = messages
        self._tolerance = tolerance

    @property
    def last_context(self) -> Any:
        """The context variables of whoever sent the last message, which the SDK looks for."""
        return getattr(self._messages, "last_context", None)

    async def receive(self) -> Any:
        return self._mended(await self._messages.receive())

    async def aclose(self) -> None:
        await self._messages.aclose()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return self._mended(await anext(self._messages))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _mended(self, item: Any) -> Any:
        result = getattr(getattr(item, "message", None), "result", None)
        if isinstance(result, dict):
            self._tolerance.mend(result)
        return item
