"""Our tools, or a runner, as an MCP server for the programs of others. Owns no transport: that is FastMCP's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import anyio

from aimu._core.images import split_data_url, url_of
from aimu._core.threads import run_in_thread
from aimu.errors import MissingExtraError, ToolError
from aimu.tools._definition import Tool, as_tool
from aimu.tools._toolbox import Toolbox, content_of, pending_of

if TYPE_CHECKING:
    from fastmcp import FastMCP


@runtime_checkable
class _Runner(Protocol):
    @property
    def messages(self) -> Any: ...
    def run(self, task: str) -> Any: ...


def serve_mcp(tools_or_agent: Callable[..., Any] | Iterable[Any] | _Runner, *, name: str = "aimu") -> FastMCP[Any]:
    """A FastMCP server with our tools, or with one tool `run(task)` that gives a task to an agent or workflow.

    `tools_or_agent` is a tool, an iterable of tools, or a runner, of either surface. Start it with `server.run()`
    (stdio), or `server.run(transport="http", port=...)`. A runner keeps its history from task to task and takes one at
    a time, as always. Raises ToolSignatureError, ToolNameClashError, MissingExtraError.
    """
    try:
        from fastmcp import FastMCP
    except ImportError as exc:
        raise MissingExtraError("fastmcp", "mcp") from exc
    if isinstance(tools_or_agent, _Runner):
        tools = [_run_tool(tools_or_agent)]
    else:
        given = tools_or_agent if isinstance(tools_or_agent, Iterable) else [tools_or_agent]
        tools = [as_tool(tool) for tool in given]
    Toolbox(tools)  # refuses two of one name
    server: FastMCP[Any] = FastMCP(name)
    served = _served_tool()
    for tool in tools:
        server.add_tool(
            served(name=tool.name, description=tool.description, parameters=tool.parameters, call=partial(_call, tool))
        )
    return server


def _run_tool(runner: _Runner) -> Tool:
    runner = getattr(runner, "__aio__", runner)  # a sync runner is a facade: its async twin does not block the server

    async def run(task: str) -> str:
        return cast(str, await runner.run(task))

    who = getattr(runner, "name", None) or type(runner).__name__
    return Tool(name="run", function=run, description=f"Give a task to {who}; returns its answer.")


async def _call(tool: Tool, arguments: dict[str, Any]) -> list[Any]:
    """The content of a call's result; whatever the tool raises is FastMCP's to tell."""
    bound = tool.bind(json.dumps(arguments))

    def begin() -> list[Any]:  # in a list, since trio takes no coroutine out of a thread
        return [tool.function(**bound)]

    with anyio.move_on_after(tool.timeout):
        [result] = begin() if tool.is_async or tool.on_event_loop else await run_in_thread(begin)
        pending = pending_of(result)
        content = content_of(result if pending is None else await pending)
        return [_block(part) for part in ([_text(content)] if isinstance(content, str) else content)]
    raise ToolError(f"{tool.name} did not end within {tool.timeout:g} seconds and was stopped")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _block(part: dict[str, Any]) -> Any:
    from mcp_types import ImageContent, TextContent

    if part["type"] == "text":
        return TextContent(type="text", text=part["text"])
    url = url_of(part)
    split = split_data_url(url)
    if split is None:
        return TextContent(type="text", text=url)
    return ImageContent(type="image", mime_type=split[0], data=split[1])


def _served_tool() -> Any:
    from fastmcp.tools.base import Tool as FastMCPTool
    from fastmcp.tools.base import ToolResult

    class Served(FastMCPTool):  # type: ignore[misc,unused-ignore]
        """A tool of ours as FastMCP holds it, with our schema and our validation."""

        call: Any

        async def run(self, arguments: dict[str, Any]) -> ToolResult:
            return ToolResult(content=await self.call(arguments))

    return Served
