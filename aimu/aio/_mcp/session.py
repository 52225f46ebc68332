"""The requests to a connected client of the mcp package, whatever its transport."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, final

from aimu._core.escaping import escaping
from aimu.aio._mcp.schemas import problem_of, validator_of

log = escaping(logging.getLogger("aimu.aio"))

MOST_PAGES = 1000  # of one list; a server may give a new cursor for ever


@final
class Session:
    """What is asked of a server; raises the SDK's errors.

    Results are checked against the output schemas of the tools, but without the schemas' regular expressions, because
    one of a server's choosing can take hours, and nothing can interrupt it.
    """

    def __init__(self, client: Any, server: str) -> None:
        self.client = client
        self._server = server
        self._schemas: dict[str, Any] = {}
        self._validators: dict[str, Any] = {}
        client.session.validate_tool_result = self._check  # the SDK calls it for every result

    async def tools(self, *, fresh: bool) -> list[Any]:
        """Return the tools of all pages, as `mcp_types.Tool`.

        Without `fresh`, the SDK's cache may answer, for as long as the server declares the list valid.
        """
        found = await self._pages(self.client.list_tools, "tools", fresh=fresh)
        once = {tool.name: tool for tool in reversed(found)}  # the first of those that share a name
        self._schemas = {name: tool.output_schema for name, tool in once.items()}
        self._validators.clear()
        return list(reversed(once.values()))

    async def call(
        self, name: str, arguments: Mapping[str, Any], on_progress: Callable[..., Awaitable[None]] | None
    ) -> Any:
        """Call a tool and return the `mcp_types.CallToolResult`."""
        return await self.client.call_tool(name, dict(arguments), progress_callback=on_progress)

    async def resources(self) -> list[Any]:
        """Return the resources; none if the server has no such thing."""
        return await self._if_known(self._pages(self.client.list_resources, "resources", fresh=False))

    async def templates(self) -> list[Any]:
        """Return the resource templates; none if the server has no such thing."""
        return await self._if_known(self._pages(self.client.list_resource_templates, "resource_templates", fresh=False))

    async def read(self, uri: str) -> Any:
        """Return the `mcp_types.ReadResourceResult` of a resource."""
        return await self.client.read_resource(uri)

    async def prompts(self) -> list[Any]:
        """Return the prompts; none if the server has no such thing."""
        return await self._if_known(self._pages(self.client.list_prompts, "prompts", fresh=False))

    async def prompt(self, name: str, arguments: Mapping[str, str]) -> Any:
        """Return the `mcp_types.GetPromptResult` of a prompt."""
        return await self.client.get_prompt(name, dict(arguments))

    async def _if_known(self, listed: Awaitable[list[Any]]) -> list[Any]:
        """Return a list; an empty one if the server does not know the request."""
        from mcp import MCPError
        from mcp_types import METHOD_NOT_FOUND

        try:
            return await listed
        except MCPError as exc:
            if exc.code != METHOD_NOT_FOUND:
                raise
            return []

    async def _pages(self, request: Callable[..., Awaitable[Any]], field: str, *, fresh: bool) -> list[Any]:
        """Return the items of all pages of a list; an empty or a repeated cursor ends it."""
        page = await request(cache_mode="refresh" if fresh else "use")
        found, seen = list(getattr(page, field)), set[str]()
        while page.next_cursor:
            if page.next_cursor in seen or len(seen) == MOST_PAGES:
                log.warning("MCP server %r: its list of %s does not end; read %d pages", self._server, field, len(seen))
                break
            seen.add(page.next_cursor)
            page = await request(cursor=page.next_cursor)
            found += getattr(page, field)
        return found

    async def _check(self, name: str, result: Any) -> None:
        """Raise RuntimeError if a result does not fit the output schema of its tool."""
        schema = self._schemas.get(name)
        if schema is None:
            return
        if result.structured_content is None:
            raise RuntimeError(f"tool {name!r} has an output schema, but its result has no structured content")
        who = f"MCP server {self._server!r}: tool {name!r}"
        if name not in self._validators:
            complaint = f"{who} has an invalid output schema, so its results are not checked"
            self._validators[name] = validator_of(schema, complaint)
        problem = problem_of(result.structured_content, self._validators[name], f"{who} has an output schema")
        if problem is not None:
            raise RuntimeError(f"the result of tool {name!r} does not fit its output schema: {problem}")
