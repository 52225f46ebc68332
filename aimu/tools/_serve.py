"""Serves tools, or a runner, over MCP to other programs. Owns no transport: FastMCP does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import anyio

from aimu._core.answer import AROUND, account_within
from aimu._core.images import split_data_url, url_of
from aimu._core.reply import new_call_id
from aimu._core.threads import run_in_thread
from aimu._doors import public
from aimu.errors import MissingExtraError, ToolError
from aimu.tools._current import CALL, CurrentCall
from aimu.tools._definition import Tool, as_tool
from aimu.tools._signature import without_bound
from aimu.tools._toolbox import Toolbox, content_of, pending_of

if TYPE_CHECKING:
    from fastmcp import FastMCP


@runtime_checkable
class _Runner(Protocol):
    @property
    def messages(self) -> Any: ...
    def run(self, task: str) -> Any: ...


@public("aimu.tools")
def serve_mcp(
    tools_or_agent: Callable[..., Any] | Iterable[Any] | _Runner, *, name: str = "aimu", context: Any = None
) -> FastMCP[Any]:
    """Make a FastMCP server that offers tools, or one tool `run(task)` that runs an agent or workflow.

    Start it with `server.run()` (stdio) or `server.run(transport="http", port=8000)`.

    Args:
        tools_or_agent: A tool, an iterable of tools, or a runner, sync or async. A runner keeps its history from task
            to task and works on one task at a time, as always.
        name: Name of the server.
        context: Any object for the tools, which get it with `current_call().context`. With None, they get that of the
            run that calls them, if the server is used in the same process.

    Returns:
        The server, not yet running.

    Raises:
        ToolSignatureError: An item is not a tool, or a model could not call it.
        ToolNameClashError: Two tools have the same name.
        MissingExtraError: FastMCP is not installed.

    Example:
        serve_mcp([add, get_weather], name="demo").run()
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
    Toolbox(tools)  # raises ToolNameClashError
    server: FastMCP[Any] = FastMCP(name)
    served = _served_tool()
    for tool in tools:
        call = partial(_call, tool, context)
        server.add_tool(served(name=tool.name, description=tool.description, parameters=tool.parameters, call=call))
    return server


def _run_tool(runner: _Runner) -> Tool:
    runner = getattr(runner, "__aio__", runner)  # a sync runner would block the server; its async twin does not

    async def run(task: str) -> str:
        return cast(str, await runner.run(task))

    who = getattr(runner, "name", None) or type(runner).__name__
    return Tool(name="run", function=run, description=f"Give a task to {who}; returns its answer.")


async def _call(tool: Tool, context: Any, arguments: dict[str, Any]) -> list[Any]:
    """Call a tool and return the content of its result; FastMCP reports what the tool raises."""
    account, outer = account_within(context), CALL.get()
    if outer is None:
        current = CurrentCall(new_call_id(), tool.name, context=account.context)
    else:  # an agent of this process calls, over memory
        current = CurrentCall(outer.id, tool.name, outer.agent, outer.iteration, account.context, outer._seen)
    tokens = CALL.set(current), AROUND.set(account)
    try:
        return await _result(tool, arguments)
    except Exception as exc:
        reason = without_bound(tool.function, str(exc))
        if reason == str(exc):
            raise
        raise ToolError(f"{type(exc).__name__}: {reason}") from None
    finally:
        CALL.reset(tokens[0])
        AROUND.reset(tokens[1])


async def _result(tool: Tool, arguments: dict[str, Any]) -> list[Any]:
    bound = tool.bind(json.dumps(arguments))

    def begin() -> list[Any]:  # in a list, since trio refuses a coroutine as the result of a thread
        return [tool.function(**bound)]

    with anyio.move_on_after(tool.timeout):
        [result] = begin() if tool.is_async or tool.on_event_loop else await run_in_thread(begin)
        pending = pending_of(result)
        content = content_of(result if pending is None else await pending)
        return [_block(part) for part in ([_text(content)] if isinstance(content, str) else content)]
    raise ToolError(f"{tool.name} did not end within {tool.timeout:g} seconds and was stopped")


def _text(text: str) -> dict[str, Any]:
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # without half surrogates
    return {"type": "text", "text": whole}


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
        """A FastMCP tool that uses the schema and the validation of an aimu tool."""

        call: Any

        async def run(self, arguments: dict[str, Any]) -> ToolResult:
            return ToolResult(content=await self.call(arguments))

    return Served
